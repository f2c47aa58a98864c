"""The supervisor itself against a model: random families, crashes, refused starts and pauses."""

import os

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from actors import NORMAL, SHUTDOWN, ExitReason
from actors.names import names
from supervisors import Restart, Strategy, Supervision, SupervisorGaveUp, supervise
from tests.supervisors.stage import BOOM, Stage, alive, leave

FULL = os.environ.get("OKIBI_SWEEP") == "full"
PERIOD = 5.0

Deed = tuple[str, ExitReason] | float


class Model:
    """What OTP's manual says, in other words than the supervisor's."""

    def __init__(self, kinds: dict[str, Restart], strategy: Strategy, intensity: int) -> None:
        self.kinds = dict(kinds)
        self.strategy = strategy
        self.intensity = intensity
        self.up = list(kinds)
        self.starts = dict.fromkeys(kinds, 1)
        self.times: list[float] = []
        self.log: list[str] = []
        self.gave_up = False

    def end(self, child: str, reason: ExitReason, refused: set[str], now: float) -> None:
        if self.gave_up or child not in self.up:
            return
        self.up.remove(child)
        self.log.append(f"term {child} {reason.kind}")
        kind = self.kinds[child]
        if kind is Restart.TEMPORARY:
            del self.kinds[child]
        elif kind is Restart.PERMANENT or not reason.quiet:
            failed: str | None = child
            while failed and self.allowed(now):
                failed = self.attempt(failed, refused)

    def allowed(self, now: float) -> bool:
        self.times.append(now)
        self.gave_up = sum(now - time <= PERIOD for time in self.times) > self.intensity
        if self.gave_up:
            self.take_down(list(self.kinds))
        return not self.gave_up

    def attempt(self, child: str, refused: set[str]) -> str | None:
        order = list(self.kinds)
        at = order.index(child)
        reach = {
            Strategy.ONE_FOR_ONE: [child],
            Strategy.REST_FOR_ONE: order[at:],
            Strategy.ONE_FOR_ALL: order,
        }[self.strategy]
        self.take_down(reach)
        for name in reach:
            if self.kinds[name] is Restart.TEMPORARY:
                del self.kinds[name]
                continue
            self.starts[name] += 1
            if f"{name}{self.starts[name]}" in refused:
                self.log.append(f"fail {name}")
                return name
            self.log.append(f"start {name}")
            self.up.append(name)
        return None

    def take_down(self, reach: list[str]) -> None:
        for name in reversed(reach):
            if name in self.up:
                self.up.remove(name)
                self.log.append(f"term {name} shutdown")


DEEDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcd"), st.sampled_from([BOOM, NORMAL, SHUTDOWN])),
        st.sampled_from([1.0, PERIOD, 3600.0]),
    ),
    max_size=12,
)


@settings(derandomize=True, max_examples=2000 if FULL else 150, deadline=None, print_blob=True)
@given(
    kinds=st.lists(st.sampled_from(Restart), min_size=1, max_size=4),
    strategy=st.sampled_from(Strategy),
    intensity=st.integers(0, 4),
    refused=st.sets(st.sampled_from([f"{name}{n}" for name in "abcd" for n in (2, 3, 4)])),
    deeds=DEEDS,
)
def test_the_supervisor_does_what_the_model_says(
    kinds: list[Restart],
    strategy: Strategy,
    intensity: int,
    refused: set[str],
    deeds: list[Deed],
) -> None:
    family = dict(zip("abcd", kinds, strict=False))
    stage, model = Stage(refused=refused), Model(family, strategy, intensity)

    async def main() -> None:
        children = [stage.child(name, restart=kind) for name, kind in family.items()]
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, Supervision(children, strategy, intensity, PERIOD))
            stage.log.clear()
            with trio.CancelScope(shield=True):
                for deed in deeds:
                    if isinstance(deed, float):
                        await trio.sleep(deed)
                        continue
                    model.end(*deed, refused, trio.current_time())
                    if alive(deed[0]) is not None:
                        await leave(*deed)
                assert (top.reason is not None) is model.gave_up
                assert stage.log == model.log
                assert set(names()) == set(model.up)
            top.stop()
        assert names() == {}

    try:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    except* SupervisorGaveUp:
        assert model.gave_up
    up = [name for name in family if name in model.up]
    assert stage.log == [*model.log, *(f"term {name} shutdown" for name in reversed(up))]
