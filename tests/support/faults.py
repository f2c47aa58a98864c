"""Faults in a real process, what happened by them, and the metrics that it wrote."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import trio

from tests.support.functions.faulty import LETTERS
from tests.support.sandbox import Running, deadline_after, running

# By metric and path.
Counts = Counter[tuple[str, str]]
ACCOUNT, WORKER = "/function/children/{}", "/function/lambda/workers/worker"
# Seconds until an event is late: half of its time. A busy machine must not make others late.
LATE = 1.0
# Restarts of workers within their period end the tree.
BETWEEN_DEATHS = 1.2
# Restarts at once, before a child has to wait; and seconds after which a row of crashes has ended.
AT_ONCE, ROW_ENDS = 3, 7.0


@attrs.define
class Faults:
    """Makes faults, and counts what they should do to the tree.

    Attributes:
        happened: what should have been counted, by metric and path.
        events: the number of invocations.
        faults: the number of faults.
    """

    app: Running
    happened: Counts = attrs.Factory(Counts)
    events: int = 0
    faults: int = 0
    # Of each actor: its last crash, and how many there were in a row.
    _rows: dict[str, tuple[float, int]] = attrs.Factory(dict[str, tuple[float, int]])
    _last_death: float = -BETWEEN_DEATHS

    async def do(self, what: str, **fields: Any) -> Any:
        self.events += 1
        return await self.app.ask({"do": what, **fields})

    def note(self, what: str, path: str = "", number: int = 1) -> None:
        self.happened[what, path] += number

    async def make(self, kind: str) -> None:
        """Make a fault of this kind."""
        self.faults += 1
        await getattr(self, kind.replace(" ", "_"))()

    async def failing_handler(self) -> None:
        assert (await self.do("raise"))["errorType"] == "ValueError"
        self.note("HandlerErrors")

    async def late_event(self) -> None:
        assert (await self.do("be late"))["errorType"] == "Runtime.DeadlineExceeded"
        self.note("LateAnswers")

    async def dying_worker(self) -> None:
        await trio.sleep_until(self._last_death + BETWEEN_DEATHS)
        assert (await self.do("die"))["errorType"] == "Runtime.WorkerExited"
        self._last_death = trio.current_time()
        self.note("Crashes", WORKER)
        self.note("Restarts", WORKER)

    async def crashing_actor(self) -> None:
        await self._crash(await self._choose(AT_ONCE))

    async def actor_that_keeps_crashing(self) -> None:
        letter = await self._choose(1)
        for _ in range(AT_ONCE + 1):
            await self._crash(letter)
        self.note("GiveUps", ACCOUNT.format(letter))
        while await self.do("ask", account=letter) == "refused":
            self.note("RefusedMessages", ACCOUNT.format(letter))
            await trio.sleep(0.1)

    async def _choose(self, most: int) -> str:
        """Choose an actor that has crashed fewer times in a row; wait for one."""
        while True:
            now = trio.current_time()
            for letter in LETTERS[:-1]:
                last, crashes = self._rows.get(letter, (now, 0))
                if crashes < most or last + ROW_ENDS < now:
                    if last + ROW_ENDS < now:
                        self._rows.pop(letter)
                    return letter
            await trio.sleep(0.1)

    async def _crash(self, letter: str) -> None:
        assert await self.do("crash", account=letter) == "crashed"
        _, crashes = self._rows.get(letter, (0.0, 0))
        self._rows[letter] = trio.current_time(), crashes + 1
        self.note("Crashes", ACCOUNT.format(letter))
        self.note("Restarts", ACCOUNT.format(letter))

    async def full_mailbox(self) -> None:
        # One is handed to the waiting actor, and ten wait.
        assert await self.do("fill", account="j", messages=15) == 4
        self.note("RefusedMessages", ACCOUNT.format("j"), 4)
        self.happened["MailboxPeak", ACCOUNT.format("j")] = 10

    async def held_loop(self) -> None:
        assert (await self.do("hold the loop"))["errorType"] == "Runtime.DeadlineExceeded"
        self.note("LateAnswers")
        self.note("RecycledProcesses")
        # A new process counts from the beginning.
        self._rows.clear()
        self._last_death = -BETWEEN_DEATHS


async def run_faults(kinds: Mapping[str, int], seed: int) -> tuple[Faults, list[dict[str, Any]]]:
    """Make faults in a random order, and return what happened and the lines of metrics."""
    order = [kind for kind, number in kinds.items() for _ in range(number)]
    random.Random(seed).shuffle(order)
    environment = {"OKIBI_METRICS": "shop/tree"}
    async with running(
        "faulty.function", environment=environment, api=deadline_after(2 * LATE)
    ) as app:
        faults = Faults(app)
        for kind in order:
            await faults.make(kind)
    return faults, find_metrics(app.lines)


def find_metrics(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Return the lines of embedded metrics in a log."""
    return [json.loads(line) for line in lines if line.startswith('{"_aws"')]


def add_metrics(found: Sequence[Mapping[str, Any]]) -> Counts:
    """Add up the lines of embedded metrics, by metric and path."""
    counts = Counts()
    for line in found:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            what = metric["Name"]
            by_path = line["paths"].get(what, {"": line[what]})
            if what == "MailboxPeak":
                assert line[what] == max(by_path.values())
                counts |= Counts({(what, path): n for path, n in by_path.items()})
            else:
                assert line[what] == sum(by_path.values())
                counts += Counts({(what, path): n for path, n in by_path.items()})
    return counts
