"""The signal that ends a handler which holds the main thread past its deadline.

Nothing else reaches it there: the loop does not run while the handler does. The watchdog sends
the signal again and again until the handler is gone, and the handler's frame gets
DeadlineExceeded, a BaseException, so `except Exception: pass` does not hold it. Python runs a
signal's handler also out of an interrupted system call or lock, so a sleep, a recv and a
deadlock end as a busy loop does. C code that holds the interpreter is beyond it. (Lest the watchdog
has no core in time, the kernel's own timer signals, too: room `ring`.)

A plain `def` is signalled from its limit on. What the exception has set off in it, a `finally` or
the end of a `with`, has until half of the margin: a transaction is rolled back, a connection given
back. Only then is it raised in there too. An `async def` has its cancel scope for that; one
that holds the loop does not hear of it, and is signalled from half of the margin on, when it would
be abandoned if the loop went on. An exception in the middle of trio's work, or of okibi's, would
be the end of both, so for that one the signal raises only where the stack says that the handler's
own code is what runs (`handled_in`). trio's own Ctrl-C is raised in tasks by the same means, and by
a laxer rule: also inside trio's rooms that tasks call.

Most code that lets it end here does not know of it: `except BaseException` around each record of a
batch, a `return` in a `finally`, the wrapper of a library that must not break whom it watches. What
comes back then is half of an answer, and to Lambda a success: the batch would be gone. So an answer
counts only if a module of the functions that were running names DeadlineExceeded. Else the delivery
keeps what was swallowed, and is answered with that.

C code may wait on when a signal cuts its wait short, and as long again, before it lets Python look:
psycopg's does, for a tenth of a second. Signals that come sooner than that would hold it there for
ever. So where none of a few has been taken the next one comes later; they wait for whoever looks.

A module that is left half imported may be one for good: Python takes it back, but not those that it
has imported until then, and C code is told once where its module is. pandas could not be imported
any more, in any event after that. So such a process ends once the error is answered.

A `def` that is ended while it waits for a loop of asyncio's leaves its tasks there. They are ended,
too, in the time that a `finally` has (room `unfinished`). Where it is that loop which would be hit,
between two tasks, the signal comes once more in a moment (room `between`). A loop that is none of
the standard library's, as uvloop's, takes a signal in a callback of its own, and lets nothing but a
KeyboardInterrupt or a SystemExit out of that: what is raised there is one, too.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, TypeVar, cast

import trio

from ._cpython_internals import may_skip_cleanup
from .between import is_between, running_loop
from .delivery import Delivery
from .failure import DeadlineExceeded, calls_handler, is_below, is_own, is_users
from .ring import Ring
from .standing import awaited_in, is_asyncio_s_wait

# By which trio says that it runs in this thread. A trio without sniffio says it to nobody.
try:
    from sniffio import thread_local as sniffio
except ImportError:
    sniffio = SimpleNamespace(name=None)  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., object])

# Not SIGALRM, which user code uses; not SIGUSR1 or SIGUSR2, which profilers and servers do. Where
# there are no real-time signals (macOS), the one that nobody takes and that does no harm. Windows
# has neither, and serves nobody; but handlers are written and tested there.
SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGURG", 0)
# How many may be on their way, for one may come just before what it is to cut short; and for how
# many seconds there are no more of them then.
UNTAKEN, PAUSE = 3, 0.15
# Seconds in which none is sent after one was raised, but from half of the margin on: the kernel's
# and the watchdog's first come as one. In a task of asyncio's the second would hit its loop, which
# is about to tell who waits for the task. Half of the time to the watchdog's next, which is meant.
TOLD = 0.005
# For how many seconds it is put off where it would hit asyncio's loop, and how often in a row.
MOMENT, MOMENTS = 1e-4, 50
# Whose half-done work the loop would have to live with: what wraps trio's nurseries and scopes, or
# keeps trio's sets of weak references.
_DELICATE = frozenset({"anyio", "contextlib", "weakref", "_weakrefset"})
_DELICATE_NAMES = frozenset({"__aenter__", "__aexit__", "__del__", "__enter__", "__exit__"})
# Whose frame says that a module is being made.
_IMPORTS, _LOADS = "<frozen importlib._bootstrap>", "_load_unlocked"
_handling: set[CodeType] = set()


class Alarm:
    """Takes the signal while it is entered, and raises while a handler runs."""

    __slots__ = (
        "_armed", "_cleans", "_entered", "_left", "_lock", "_looks", "_patient", "_put_off",
        "_raised", "_ring", "_sent", "_untaken", "import_cut", "meant", "raises", "runs",
    )  # fmt: skip

    def __init__(self) -> None:
        self._armed = False
        self._cleans = False
        self._entered = False
        # What of asyncio's the handler waited for when it was to end.
        self._left = list[Any]()
        self._looks = False
        self._patient = False
        self._ring = Ring(SIGNAL)
        self._lock = threading.Lock()
        # How many signals nobody has taken yet, and when the last one was sent.
        self._untaken, self._sent = 0, 0.0
        # How many in a row have been put off, for it was asyncio's loop that ran.
        self._put_off = 0
        # In which run the last one was raised, and when.
        self._raised = 0, -math.inf
        # How many have run, and which of them is meant; None for whichever it is. Who signals may
        # lose the core between its look at an event and the signal, and the next event be there.
        self.runs = 0
        self.meant: int | None = None
        self.raises: type[DeadlineExceeded] = DeadlineExceeded
        # Called in the main thread when a module that a handler imports is left half made.
        self.import_cut: Callable[[], None] = lambda: None

    @property
    def armed(self) -> bool:
        """Whether a plain handler runs, which it can end wherever it is."""
        return self._armed

    @calls_handler
    def run(self, handler: Callable[[Any, Any], Any], event: Any, context: Any) -> Any:
        """Run a plain handler that can be ended.

        Raises:
            DeadlineExceeded: it was.
        """
        # A handler that calls `asyncio.run` must not be told that it is on trio: httpx and anyio
        # would believe it.
        library, sniffio.name = sniffio.name, None
        self.runs += 1
        self._armed = True
        ended: BaseException | None = None
        result: Any = None
        try:
            try:
                result = handler(event, context)
            except BaseException as error:
                if not self._left:
                    raise
                self._cleans, ended = True, error
            if self._left:
                self._cleans = True
                # Out of the block above: what the tasks raise at their end does not come of it.
                self._end_tasks()
            if ended is not None:
                raise ended
            return result
        finally:
            self._armed = self._cleans = False
            sniffio.name = library
            # Its traceback holds this frame.
            ended = None

    def _end_tasks(self) -> None:
        """End the tasks that the handler has left; the alarm waits meanwhile as for a `finally`."""
        from . import unfinished

        left, self._left = self._left, []
        unfinished.end(left)

    def send(self) -> None:
        """Signal the main thread, from any other; does nothing unless a plain handler runs. What an
        earlier one has set off in it is let be.
        """
        if self._armed and not self._has_just_raised():
            self._patient = True
            self._signal()

    def interrupt(self) -> None:
        """Signal the main thread, from any other: a late handler that holds it is to end."""
        self._patient = False
        self._signal()

    def ring_in(self, limit: float, half: float) -> None:
        """Have the kernel signal the main thread once, from any other: whoever watches may not
        have a core by then.

        Args:
            limit: in how many seconds, if a plain handler runs.
            half: in how many, if none does: one that holds the loop is late then.
        """
        with self._lock:
            if self._entered:
                self._patient = True
                self._ring.set(limit if self._armed else half)

    def ring_not(self) -> None:
        """What it was to ring for has its answer."""
        self._ring.take_back()

    def _signal(self) -> None:
        # Where nobody takes it, the signal would end the process.
        with self._lock:
            now = time.monotonic()
            if not self._entered or (self._untaken >= UNTAKEN and now - self._sent < PAUSE):
                return
            self._untaken, self._sent = self._untaken + 1, now
            try:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            except OSError:
                # Too many wait already: one of them will do.
                return

    def _raise(self, _: int, frame: FrameType | None) -> None:
        self._untaken = 0
        # The next one comes while this one looks at a deep stack.
        if self._looks:
            return
        self._looks = True
        try:
            self._raise_in(frame)
        finally:
            self._looks = False

    def _raise_in(self, frame: FrameType | None) -> None:
        # One that comes when the handler has just returned must not hit the runtime.
        if self._armed:
            # At the end of the process each of them is.
            meant = self.meant in (None, self.runs) or self.raises is not DeadlineExceeded
            if meant and not (self._patient and self._is_let_be()):
                if self._raised[0] == self.runs:
                    self._have_loop_raise()
                if not self._puts_off(frame):
                    self._raised = self.runs, time.monotonic()
                    raise self._error_for(frame)
        elif _is_late(handled_in(frame)):
            raise self._error_for(frame)

    def _is_let_be(self) -> bool:
        # Asked here, too: one may be on its way while another is raised.
        return self._cleans or self._has_just_raised() or _is_being_handled()

    def _has_just_raised(self) -> bool:
        run, at = self._raised
        return run == self.runs and time.monotonic() - at < TOLD

    def _puts_off(self, frame: FrameType | None) -> bool:
        """Whether it has the kernel signal once more, in a moment: room `between`."""
        if self._put_off == MOMENTS or not self._ring.made or not is_between(frame):
            self._put_off = 0
            return False
        self._put_off += 1
        self._ring.set(MOMENT)
        return True

    def _have_loop_raise(self) -> None:
        """Have the loop that runs, if any, raise it between two tasks, too: of many that compute
        each time would end one, and `gather(return_exceptions=True)` waits for all of them.
        """
        loop = running_loop()
        if not self._cleans and _is_standard(loop):
            # Behind what tells of the task that this one ends, which may be what it runs for.
            loop.call_soon(loop.call_soon, self._raise_in_loop, self.runs)

    def _raise_in_loop(self, run: int) -> None:
        # The loop may have ended before, and run in what that has set off, or in the next event.
        self._looks = True
        try:
            if self._armed and run == self.runs and not (self._cleans or _is_being_handled()):
                raise self._error_for(sys._getframe(), in_loop=True)
        finally:
            self._looks = False

    def _error_for(self, frame: FrameType | None, in_loop: bool = False) -> DeadlineExceeded:
        """What is raised in a frame; its delivery keeps it if nobody there can know of it."""
        loop = running_loop() if self._armed else None
        error, frames = _raised_in(self.raises, loop, in_loop), dict[int, FrameType]()
        imports = False
        # The stack of a greenlet ends where it began, and goes on in its parent. SQLAlchemy has
        # code of the user's in one (AsyncSession).
        library: Any = getattr(sys.modules.get("greenlet"), "getcurrent", lambda: None)
        greenlet: Any = library()
        while frame is not None and frame.f_code not in _handling:
            # One of each function: a recursion may be deep.
            frames[id(frame.f_code)] = frame
            imports = imports or (
                frame.f_code.co_name == _LOADS and frame.f_code.co_filename == _IMPORTS
            )
            if self._armed and not self._cleans and is_asyncio_s_wait(frame):
                waited_for = frame.f_locals.get("future")
                # A coroutine is no task yet, or one whose name it has not got.
                known = hasattr(waited_for, "get_loop")
                self._left.append(waited_for if known else frame.f_locals.get("self"))
                # Now: `asyncio.run` ends its task before anybody asks.
                error.awaited = error.awaited or awaited_in(frame).joined
                loop = None
            frame = frame.f_back
            if frame is None and (greenlet := getattr(greenlet, "parent", None)) is not None:
                frame = getattr(greenlet, "gr_frame", None)
        if imports:
            self.import_cut()
        if loop is not None and not self._cleans:
            # What it runs for stands in no frame of Python's, or in one of nest_asyncio's.
            self._left.append(loop)
        delivery = None if frame is None else frame.f_locals.get("delivery")
        # What is raised in the tasks' clean-up is not the handler's to let out.
        if not self._cleans and isinstance(delivery, Delivery) and delivery.swallowed is None:
            users = (each for each in frames.values() if is_users(each.f_code.co_filename))
            # The first says where the handler stood at its deadline.
            delivery.swallowed = None if any(map(_names_it, users)) else error
        return error

    def forked(self) -> None:
        """In a child of this process nobody sends the signal."""
        self._entered = False
        signal.signal(SIGNAL, signal.SIG_DFL)

    def __enter__(self) -> None:
        signal.signal(SIGNAL, self._raise)
        self._entered = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered = False
            self._ring.take_back()
            drop_signal()


def drop_signal(number: int = SIGNAL) -> None:
    """Have nobody take the signal any more, nor the process end by one that is on its way."""
    signal.signal(number, signal.SIG_IGN)
    signal.signal(number, signal.SIG_DFL)


def handles(function: F) -> F:
    """Mark the function that runs a handler, and can take from it whatever it raises.

    Its variable `delivery` is the event that the handler runs for.
    """
    _handling.add(function.__code__)
    return calls_handler(function)


def handled_in(frame: FrameType | None) -> Delivery | None:
    """The delivery whose handler's own code runs in a frame, None if any other code does.

    Inside of what the user has written there is nothing of trio's or okibi's, and nothing that
    wraps their scopes: what is raised here leaves their work whole. Around it there is nothing but
    okibi's way to a handler. So the loop itself, other tasks, actors, and callbacks in the middle
    of somebody else's work are no handlers.
    """
    users = False
    if frame is not None and may_skip_cleanup(frame):
        return None
    while frame is not None and not is_below(frame.f_code.co_filename):
        if _is_delicate(frame):
            return None
        users = users or is_users(frame.f_code.co_filename)
        frame = frame.f_back
    while users and frame is not None and is_own(frame.f_code.co_filename):
        if frame.f_code in _handling:
            delivery: object = frame.f_locals.get("delivery")
            return delivery if isinstance(delivery, Delivery) else None
        frame = frame.f_back
    return None


def _is_delicate(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in _DELICATE or frame.f_code.co_name in _DELICATE_NAMES


def _is_being_handled() -> bool:
    """Whether the code that was interrupted is what a DeadlineExceeded has set off; or what the
    worker's scope has, of a `def` that yields.
    """
    error = sys.exception()
    # A circle of the user's making would have no end.
    for _ in range(100):
        if error is None or isinstance(error, DeadlineExceeded | trio.Cancelled):
            break
        error = error.__context__
    return isinstance(error, DeadlineExceeded | trio.Cancelled)


def _is_standard(loop: object) -> bool:
    base = sys.modules.get("asyncio.base_events")
    return base is not None and isinstance(loop, base.BaseEventLoop)


def _raised_in(
    kind: type[DeadlineExceeded], loop: object, interrupts: bool = False
) -> DeadlineExceeded:
    """What is raised where a loop runs, if any; one that interrupts is let out by a callback."""
    if loop is None or (_is_standard(loop) and not interrupts):
        return kind()
    both: type[DeadlineExceeded] = type(kind.__name__, (kind, KeyboardInterrupt), {})
    return both()


def _names_it(frame: FrameType) -> bool:
    """Whether a function's module has a name for DeadlineExceeded, or for a tuple with it, or the
    function itself says `runtime.DeadlineExceeded`, or imports it.

    The module's, for who catches it need not be on the stack when it is raised: the code behind a
    `with`, or a method that is called at its end.
    """
    names = frame.f_code.co_names
    if DeadlineExceeded.__name__ in names:
        package = sys.modules[__package__ or ""]
        if "runtime" in names or any(frame.f_globals.get(name) is package for name in names):
            return True
    return any(_is_it(value) for value in [*frame.f_globals.values()])


def _is_it(value: Any) -> bool:
    # Neither `in` nor `isinstance`, which ask values of the user's.
    values = cast("tuple[object, ...]", value if type(value) is tuple else (value,))
    return any(each is DeadlineExceeded for each in values)


def _is_late(delivery: Delivery | None) -> bool:
    """Whether its scope has had its time, and the dispatcher may answer in its place."""
    if delivery is None or not delivery.unsettled:
        return False
    return delivery.is_overdue(trio.current_time())
