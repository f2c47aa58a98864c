"""The order of starts and ends, against what Erlang/OTP 27.3.4.1 itself logged.

Each row was recorded by running the same children under OTP's own `supervisor`: gen_servers that
trap exits and log their start, the start they are told to refuse, and the reason of their end.
A number behind an id says which start of that child it is.
"""

import os

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ExitReason, Name, Server
from supervisors import Child, Strategy, Supervision, SupervisorGaveUp, supervise

SEEDS = 1000 if os.environ.get("OKIBI_SWEEP") == "full" else 100


@attrs.frozen
class Recorded:
    """One run of OTP's.

    Attributes:
        children: ids in start order.
        crash: which of them is made to crash, once, with reason `x`.
        refused: starts that fail.
        log: what happened from the crash on.
    """

    strategy: Strategy
    children: str
    crash: str
    refused: tuple[str, ...]
    log: str


TABLE = {
    "C1": Recorded(
        Strategy.ONE_FOR_ALL,
        "a b c",
        "b",
        (),
        "term b x; term c shutdown; term a shutdown; start a2; start b2; start c2",
    ),
    "C2": Recorded(
        Strategy.REST_FOR_ONE,
        "a b c d",
        "b",
        (),
        "term b x; term d shutdown; term c shutdown; start b2; start c2; start d2",
    ),
    "D2": Recorded(
        Strategy.ONE_FOR_ONE,
        "a b",
        "a",
        ("a2", "a3", "a4", "a5"),
        "term a x; FAIL a2; FAIL a3; FAIL a4; term b shutdown; gave up",
    ),
    "D3, b crashes": Recorded(
        Strategy.ONE_FOR_ALL,
        "a b c",
        "b",
        ("b2",),
        "term b x; term c shutdown; term a shutdown; start a2; FAIL b2; "
        "term a shutdown; start a3; start b3; start c2",
    ),
    "D3, c crashes": Recorded(
        Strategy.ONE_FOR_ALL,
        "a b c",
        "c",
        ("b2",),
        "term c x; term b shutdown; term a shutdown; start a2; FAIL b2; "
        "term a shutdown; start a3; start b3; start c2",
    ),
    "D4": Recorded(
        Strategy.REST_FOR_ONE,
        "a b c d",
        "b",
        ("c2",),
        "term b x; term d shutdown; term c shutdown; start b2; FAIL c2; start c3; start d2",
    ),
}


class Crash(Exception):
    """OTP's reason `x`."""


@attrs.define(eq=False)
class Worker(Server):
    id: str
    refused: tuple[str, ...]
    log: list[str]
    starts: dict[str, int]

    async def init(self) -> None:
        self.starts[self.id] = number = self.starts.get(self.id, 0) + 1
        # Where OTP may be interrupted, so may this be.
        await trio.lowlevel.checkpoint()
        if f"{self.id}{number}" in self.refused:
            self.log.append(f"FAIL {self.id}{number}")
            raise Crash
        self.log.append(f"start {self.id}{number}")

    async def crash(self) -> None:
        raise Crash

    async def terminate(self, reason: ExitReason) -> None:
        await trio.lowlevel.checkpoint()
        said = "x" if isinstance(reason.error, Crash) else reason.kind
        self.log.append(f"term {self.id} {said}")


def replay(row: Recorded) -> str:
    """Do to this supervisor what was done to OTP's, and give its log."""
    log: list[str] = []
    starts: dict[str, int] = {}

    def child(name: str) -> Child[Worker]:
        return Child(
            lambda: Worker(name, row.refused, log, starts), name=Name(name, Worker), id=name
        )

    async def main() -> None:
        ids = row.children.split()
        tree = Supervision([child(name) for name in ids], strategy=row.strategy)
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, tree)
            assert log == [f"start {name}1" for name in ids]
            log.clear()
            await Name(row.crash, Worker).cast(Worker.crash)
            await wait_all_tasks_blocked()
            said.append("; ".join(log))
            top.stop()

    said: list[str] = []
    try:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    except* SupervisorGaveUp:
        said[:] = ["; ".join([*log, "gave up"])]
    return said[0]


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_the_order_is_the_one_that_otp_logged(row: Recorded) -> None:
    assert replay(row) == row.log


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_the_order_does_not_hang_on_the_scheduler(
    row: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = trio._core._run
    monkeypatch.setattr(runner, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    for seed in range(SEEDS):
        runner._r.seed(seed)
        assert replay(row) == row.log, f"under scheduler seed {seed}"
