"""Cut the connection at every byte of a cycle with a streamed response.

Run as `python -m tests.endurance.stream_cuts`. The engine is that of `tests.endurance.cuts`.

A stream follows the rules of any response, except that it cannot be repeated. Where a plain
response would be repeated, because none of it has arrived and the kernel had accepted all of it,
the invoker gets an error.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator

import trio

from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import Handler
from okibi.runtime.handlers.response import Item
from tests.endurance.cuts import (
    AGAIN,
    ENDED,
    Cut,
    CutWorld,
    Lengths,
    Shape,
    expected,
    judge,
    quiet,
    shapes,
    sweep_of,
)
from tests.endurance.verdict import verdict


class StreamWorld(CutWorld):
    """A run with a streaming handler: three pieces, or two and an error."""

    def handler(self) -> type[Handler[dict[str, object]]]:
        begun, shape = self.begun, self.shape

        class Stream(Handler[dict[str, object]]):
            async def handle(
                self, event: dict[str, object], context: Context
            ) -> AsyncIterator[Item]:
                number = event["n"]
                assert isinstance(number, int)
                begun[number] += 1
                await trio.lowlevel.checkpoint()
                yield f'{{"own":{number},'
                await trio.lowlevel.checkpoint()
                yield '"padding":"' + "x" * shape.padding
                if shape.fails:
                    raise ValueError(f"own {number}")
                await trio.lowlevel.checkpoint()
                yield '"}'

        return Stream

    def judged(self, cut: Cut, at: Lengths) -> tuple[str, list[str]]:
        return judge_stream(self, expected_of_stream(self.shape, cut, at))


def expected_of_stream(shape: Shape, cut: Cut, at: Lengths) -> tuple[str, ...]:
    """Return the possible outcomes of a cut: one, unless it depends on what the kernel had
    accepted.
    """
    into_answer = cut.byte - at.get
    if cut.outward and 0 < into_answer < at.answer:
        # The whole response was written before the break was seen, and its head has not arrived: an
        # error in its place is accepted.
        return (ENDED, AGAIN) if cut.blind and into_answer < at.head else (ENDED,)
    return (expected(shape, cut, at),)


def judge_stream(world: CutWorld, wanted: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return the outcome of a run, and what is wrong with it."""
    outcome, _ = judge(world, "")
    outcome, wrong = judge(world, outcome if outcome in wanted else wanted[0])
    lost = [
        each for each in world.invocations
        if each.outcome is not None and each.outcome.error_type == "Runtime.StreamLost"
    ]  # fmt: skip
    may_be_lost = 1 if AGAIN in wanted and world.cut is not None and world.cut.blind else 0
    if len(lost) > may_be_lost:
        wrong.append(f"{len(lost)} streams were lost")
    excused = [f"event {world.invocations.index(each)} was answered" for each in lost]
    wrong = [each for each in wrong if not any(map(each.startswith, excused))]
    return outcome, wrong


def main() -> int:
    every = int(os.environ.get("OKIBI_SWEEP_EVERY", "1"))
    began = time.perf_counter()
    counts: Counter[str] = Counter()
    failures: list[str] = []
    told = os.dup(sys.stdout.fileno())
    quiet()
    for shape in shapes():
        counted, failed = sweep_of(shape, every, StreamWorld)
        counts += counted
        failures += failed
    os.dup2(told, sys.stdout.fileno())
    took = time.perf_counter() - began
    print(f"{counts.total()} cuts of streams; {len(failures)} wrong; {took:.0f} s")
    return verdict(counts, failures)


if __name__ == "__main__":
    sys.exit(main())
