"""How the process ends: what a signal does, and what the time it leaves is spent on.

The platform leaves 300 ms from SIGTERM to SIGKILL. Counted from the signal:

    0        no event is asked for any more; what is in flight runs on, and one that has come by
             half has the time to come whole
    DRAIN    what is still in flight is cut, and answered with an error; without anything in
             flight, or once it is answered, this comes at once. The tree is stopped in reverse
    HASTE    whoever has not been asked to end yet is asked now, all at once: in a hurry each
             `terminate` matters more than their order
    LIMIT    what is left is killed once nothing moves any more, and the log says what that was:
             a machine that is short of processor time must not cost anybody his `terminate`

A child's own `shutdown` is a promise of its supervisor's for a restart; at the end of the process
it counts as far as this leaves room for it. A second signal ends the process at once. What the
user's code had set for SIGTERM itself (`signal.signal`) has its turn last, outside of trio.

Python hears of a signal between two steps of its code, or from a call into the kernel that it has
interrupted. One that comes in the few microseconds before a plain handler begins such a call is
heard when that ends. (Rejected: to have another thread take it. It would have to be blocked in this
one, and with that in all that the handler starts, which then could not be told to end.)

An end that a failure brings has nothing to drain, and all the time that Lambda's shutdown phase
allows at most. That the root of the tree gives up is one, and begins as the others do, before any
child is stopped: what is answered then must ask for no event, and nobody may hold the end.

Nothing is started on the way to an end, since without memory a thread does not start, and
`Thread.start` waits for it for ever. The thread that cuts is the watchdog's; the end's limit is a
timer of the kernel's, where there is one (`end_within`).
"""

import atexit
import math
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from types import FrameType
from typing import Any

import trio

from ...actors import logs
from ...actors.process import Phase, Process
from ...supervisors import Supervisor, SupervisorSpec
from ...supervisors.parent import Parent
from ..deadlines.interrupt import Alarm
from ..deadlines.kill_timer import AGAIN, KillTimer
from ..deadlines.kill_timer import SIGNAL as KILLS
from ..errors.exceptions import ProcessStopped
from ..in_flight.lane import Lane
from ..system.signal_timer import Ring
from ..system.unlisted_thread import start_unlisted_thread
from ..telemetry.logs import write_raw

logger = logs.logger("okibi")

DRAIN = 0.06
HASTE = 0.18
LIMIT = 0.22
# Seconds from the decision to end until the end, whoever holds it up: what Lambda's shutdown
# phase allows at most. A shielded handler, or a thread of the user's, would hold the process for
# ever.
STOP_LIMIT = 2.0
FAILED_HASTE, FAILED_LIMIT = 1.0, 1.5
# Seconds between two looks, of which two without a change say that nothing moves: in the first
# it may have been this process that got no time.
STALLED_FOR = 0.01
LOOK_EVERY = 0.002
CUT_EVERY = 0.01
# Seconds that a handler which is cut has for what that sets off in it, a `finally` say.
CLEAN_UP = 0.06

# Seconds that the main thread has, once the limit is over, to take the signal that says so, on a
# machine where others compute: killed, the process would lack its exit code.
TO_SAY_SO = 0.5
# Beside that of room `kill_timer`.
SIGNAL = KILLS and KILLS + 1

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Whether the process is to end, with which code, and how it comes to that.

    Args:
        lanes: what is in flight.
        alarm: cuts a plain handler that holds the main thread.
        apart: has something done in a thread that runs already.
    """

    def __init__(
        self,
        lanes: list[Lane],
        alarm: Alarm,
        apart: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> None:
        self.code: int | None = None
        self.root: Process | None = None
        self._lanes = lanes
        self._alarm = alarm
        self._apart = apart
        alarm.spoiled = self.end_after_answer
        self._asked = trio.Event()
        self._began = 0.0
        self._left = False
        self._before: dict[signal.Signals, Any] = {}
        self._signalled: signal.Signals | None = None
        self._token = trio.lowlevel.current_trio_token()

    def fail(self, why: str) -> None:
        """End with a failure."""
        self.begin(1)
        logger.critical("%s", why)

    def begin(self, code: int) -> None:
        """Have the tree stopped; of several codes the worst is the process's."""
        # Cut short, it is no success: something in flight was not answered.
        end_within(STOP_LIMIT, 1)
        if self.code is None:
            self._began = trio.current_time()
        self.code = max(code, self.code or 0)
        for lane in self._lanes:
            lane.closing = True
        self._asked.set()

    def end_after_answer(self, why: str) -> None:
        """End with a failure once the event in flight is answered; also from a signal's handler."""
        if self._lanes[0].closing:
            return
        for lane in self._lanes:
            lane.closing = True
        self._token.run_sync_soon(self.fail, why)

    async def run(self) -> None:
        """Wait until the process is to end, and take the tree down."""
        await self._asked.wait()
        await self._drain()
        root = self.root
        assert root is not None
        haste, limit = (FAILED_HASTE, FAILED_LIMIT) if self.code else (HASTE, LIMIT)
        root.stop()
        with trio.move_on_at(self._began + haste):
            await root.wait_dead()
        each(root, Process.stop)
        with trio.move_on_at(self._began + limit):
            await root.wait_dead()
        await _stalled(root)
        each(root, _kill_if_childless)

    async def _drain(self) -> None:
        until = self._began + DRAIN
        # To be told would cost every invocation something.
        while not self.code and trio.current_time() < until and self._in_flight():  # noqa: ASYNC110
            await trio.sleep(LOOK_EVERY)

    def _in_flight(self) -> bool:
        return any(lane.delivery is not None or _is_half_read(lane) for lane in self._lanes)

    def forked(self) -> None:
        """In a child of this process signals do what they did before, unless the user's code has
        said otherwise since.
        """
        for number, before in self._before.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, before)

    def left_to_user(self) -> Callable[[], object] | None:
        """What the user's code had set for SIGTERM, to be called when all has ended; None if that
        has not come, or nothing was set. (For SIGINT trio itself may have set something.)
        """
        before = self._before.get(signal.SIGTERM)
        if self._signalled is not signal.SIGTERM or not callable(before):
            return None
        return partial(before, signal.SIGTERM, None)

    # -- signals, taken in the main thread wherever it stands; trio's own receiver would let them
    # -- wait for a loop that may be held

    def __enter__(self) -> None:
        # Before there may be no memory for them.
        _says.make()
        _kills.make()
        for number in SIGNALS:
            # None: set by no Python code, and not to be set by any.
            self._before[number] = signal.signal(number, self._take) or signal.SIG_DFL

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._left = True

    def _take(self, number: int, _: FrameType | None) -> None:
        if self._signalled is not None:
            write_raw(f"{signal.Signals(number).name} again: the process ends at once")
            os._exit(128 + number)
        self._signalled = signal.Signals(number)
        for lane in self._lanes:
            # Here, before the loop hears of it: what is answered meanwhile must ask for no event.
            lane.closing = True
        self._token.run_sync_soon(self._begin_by, number)
        # Said again once the loop hears of it: a handler that holds the loop, and lets nothing cut
        # it, must not hold the end.
        end_within(STOP_LIMIT, 1)
        # Also where none runs: one whose event is on its way begins before the loop hears of this.
        self._apart(self._cut)

    def _begin_by(self, number: int) -> None:
        self.begin(0)
        logger.info("%s: stopping", signal.Signals(number).name)

    def _cut(self) -> None:
        """End the plain handler that holds the main thread, when it has had its time."""
        sleep(DRAIN)
        until = math.inf
        # A plain `def` that yields holds it again and again.
        while not self._left:
            if self._alarm.armed:
                self._alarm.raises = ProcessStopped
                until = min(until, monotonic() + CLEAN_UP)
                if monotonic() < until:
                    self._alarm.send()
                else:
                    self._alarm.interrupt()
            sleep(CUT_EVERY)


def _is_half_read(lane: Lane) -> bool:
    """Whether a part of an answer has come, an event maybe, and the rest is on its way."""
    return lane.transport is not None and lane.parser.half_read


class Root(Supervisor):
    """The root of the tree, whose own failure is the process's.

    Args:
        flags: the tree.
        ending: told of it.
    """

    def __init__(self, flags: SupervisorSpec, ending: Ending) -> None:
        super().__init__(flags)
        self._ending = ending

    async def run(self) -> None:
        try:
            await super().run()
        except Exception:
            self._ending.begin(1)
            raise


def end_within(seconds: float, code: int) -> None:
    """End the process, if it does not end by itself until then; on the main thread.

    Called again, it changes the code only: the end comes no later for it.

    The kernel's timer signals the main thread, which says so and exits with the code wherever it
    is. It rings until it is heard: the alarm, or a signal's handler of the user's, may raise as its
    own begins. Where C code holds that thread, the process is killed TO_SAY_SO later. Where there
    is no such timer, as on macOS, a thread waits instead, and C code holds the end.
    """
    ends = not _code
    _code[:] = [code]
    if _says.make() and _kills.make():
        # The user's code may block them, as all signals, since another thread waits in sigwait.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (SIGNAL, KILLS))
        if ends:
            signal.signal(SIGNAL, partial(_end, seconds))
            _kills.set(seconds + TO_SAY_SO)
            _says.set(seconds)
    elif ends:
        # Without memory there may be no thread; the platform ends the process then.
        with suppress(RuntimeError, MemoryError):
            start_unlisted_thread(partial(_end_later, seconds))


@atexit.register
def _finalise_within() -> None:
    """The interpreter is finalised next: all that was registered after this has been called.

    It gives back its signals' handlers, and a signal would end the process instead of exit with its
    code. So it has STOP_LIMIT of its own, and only what exceeds that costs the exit code.
    """
    if _code:
        _says.take_back()
        if _kills.made:
            _kills.set(STOP_LIMIT)


def _end_later(seconds: float) -> None:
    sleep(seconds)
    _end(seconds)


def _end(seconds: float, *_: object) -> None:
    try:
        _says.take_back()
        write_raw(f"the process does not end by itself in {seconds:g} s")
    finally:
        os._exit(_code[0])


_code: list[int] = []
_says, _kills = Ring(SIGNAL, AGAIN), KillTimer()


def each(process: Process, do: Callable[[Process], None]) -> None:
    """Do something to all that live, a supervisor before its children, the last of them first.

    In this order a supervisor that is asked to end starts none of its children again.
    """
    if process.phase is Phase.DEAD:
        return
    do(process)
    if isinstance(process.actor, Parent):
        for place in reversed(process.actor.places):
            if place.process is not None:
                each(place.process, do)


async def _stalled(root: Process) -> None:
    """Wait until nobody below ends any more."""
    lives = math.inf
    looks = 0
    while looks < 2 and lives > 0:
        living = list[Process]()
        each(root, living.append)
        looks = looks + 1 if len(living) == lives else 0
        lives = len(living)
        with trio.move_on_after(STALLED_FOR):
            await root.wait_dead()


def _kill_if_childless(process: Process) -> None:
    # A supervisor ends by itself when its children have, and reports which had to be killed: a
    # report of each one's own takes half a millisecond, which nobody has now.
    if not isinstance(process.actor, Parent):
        process.reported_elsewhere = True
        process.kill()
