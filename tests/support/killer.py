"""An Instrument that counts task steps and kills actors at chosen steps.

It only collects; tests assert afterwards, because trio drops an Instrument that raises.
"""

from collections.abc import Iterator
from typing import NamedTuple

import attrs
import trio

from okibi.actors.process import Process
from okibi.runtime.tree import PERIOD, lane_backoff
from okibi.supervisors import Supervisor
from okibi.supervisors.child_place import Place
from okibi.supervisors.strategy import next_delay
from tests.support.memory_platform import Point, RecordingLedger

EXITED = "Runtime.WorkerExited"


class Pause(NamedTuple):
    """The back-off after a killed actor of a lane, in seconds."""

    lane: int
    since: float
    until: float


@attrs.define(eq=False)
class Killer(trio.abc.Instrument):
    """Counts task steps once `root` is set, and kills at the chosen ones.

    Attributes:
        killed: killed or stopped actors, each with the error types that may answer its event.
        pauses: back-offs that may delay an event.
    """

    point: Point
    root: Process | None = attrs.field(default=None, init=False)
    ledger: RecordingLedger | None = attrs.field(default=None, init=False)
    steps: int = attrs.field(default=0, init=False)
    killed: dict[Process, set[str]] = attrs.field(factory=dict[Process, set[str]], init=False)
    pauses: list[Pause] = attrs.field(factory=list[Pause], init=False)
    errors: list[BaseException] = attrs.field(factory=list[BaseException], init=False)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.root is None:
            return
        self.steps += 1
        try:
            for step, kind in self.point.kills:
                if self._is_now(step):
                    self._kill(self.root, kind)
        except BaseException as error:
            self.errors.append(error)

    def _is_now(self, step: int) -> bool:
        return step == self.steps

    def _kill(self, root: Process, kind: str) -> None:
        found = [p for p in living(root) if p.path.rsplit("/", 1)[-1].startswith(kind)]
        found = [p for p in found if not isinstance(p.actor, Supervisor)]
        if found:
            self._cut(root, found[self.point.seed % len(found)])

    def _cut(self, root: Process, victim: Process) -> None:
        # A killed supervisor takes its descendants along.
        for each in living(victim):
            self.killed.setdefault(each, set()).add(EXITED)
        kind, _, lane = victim.path.rsplit("/", 1)[-1].rpartition("-")
        if self.point.lanes > 1 and kind in ("poller", "responder"):
            place = next(place for place in places(root) if place.process is victim)
            now = trio.current_time()
            last = place.delay if now - place.began <= PERIOD else None
            pause = next_delay(lane_backoff(), last, now)
            self.pauses.append(Pause(int(lane), now, pause.until))
        victim.kill()
        if self.ledger is not None:
            self.ledger.count_workers()


def places(root: Process) -> Iterator[Place]:
    """Yield every place of a tree."""
    if isinstance(root.actor, Supervisor):
        for place in root.actor.places:
            yield place
            if place.process is not None:
                yield from places(place.process)


def living(root: Process) -> list[Process]:
    """Return the processes of a tree."""
    return [root, *(place.process for place in places(root) if place.process is not None)]
