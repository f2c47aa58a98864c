"""Where a handler stood when its time was over: what the error of a deadline says.

The line is the user's own, the innermost one; what is installed beside it counts only where no
line is his. It is read off

    the exception that ended the handler      a scope's Cancelled, the alarm's DeadlineExceeded
    the worker's task                         a handler that could not be ended, or never began
    the main thread                           the loop is held, maybe by somebody else

and goes on in another thread where okibi has the handler run there, and in the task that a plain
`def` runs a loop of asyncio's for. Nothing of this costs an invocation that is in time.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, TypeVar, cast

import trio

from actors import Address, NoProcess, Ref
from actors.frames import Frames, frames_of, line_of
from actors.process import Process

from .delivery import Delivery, State
from .failure import (
    LATE,
    DeadlineExceeded,
    calls_handler,
    error_json,
    format_frames,
    is_below,
    is_own,
    is_users,
    is_users_own,
    x_ray_cause,
)
from .outcome import Outcome

T = TypeVar("T")

_CALL = cast("CodeType", cast("Any", Address).call.__code__)
UNKNOWN = "where it stood is not known"
DEPTH = 50
_WAITS = frozenset({"thread", "job"})


class Elsewhere:
    """Says where a handler stands that runs in another thread.

    A variable of this kind in one of okibi's own frames, by a name of `_WAITS`, says that the frame
    waits for it.
    """

    __slots__ = ()

    def frames(self) -> Frames:
        """Its frames with their lines, the outermost first."""
        raise NotImplementedError


class InThread(Elsewhere):
    """A thread that a plain handler runs in."""

    __slots__ = ("_ident",)

    def __init__(self) -> None:
        self._ident = 0

    @property
    def running(self) -> bool:
        """Whether the handler has begun and has not ended."""
        return self._ident != 0

    @calls_handler
    def run(self, act: Callable[[], T]) -> T:
        """Run it, in that thread."""
        self._ident = threading.get_ident()
        try:
            return act()
        finally:
            self._ident = 0

    def frames(self) -> Frames:
        frames = _frames_of_thread(self._ident)
        waits = [awaited_in(frame) for frame, _ in frames if is_asyncio_s_wait(frame)]
        return waits[-1].joined(frames) if waits else frames


class Awaited:
    """Where a task of asyncio's stands that a plain `def` runs a loop for.

    Args:
        frame: what runs the loop.
        frames: the task's, the outermost first.
    """

    __slots__ = ("_frame", "_frames")

    def __init__(self, frame: FrameType, frames: Frames) -> None:
        self._frame = frame
        self._frames = frames

    def joined(self, frames: Frames) -> Frames:
        """The frames down to what runs the loop, then the task's; those given where code of the
        user's ran in there, for then they say it already.
        """
        at = next((n for n, (frame, _) in enumerate(frames) if frame is self._frame), None)
        if at is None or any(is_users(f.f_code.co_filename) for f, _ in frames[at + 1 :]):
            return frames
        return frames[: at + 1] + self._frames


def is_asyncio_s_wait(frame: FrameType) -> bool:
    """Whether it is what runs a loop of asyncio's until a future is done."""
    return (
        frame.f_code.co_name == "run_until_complete"
        and frame.f_globals.get("__name__") == "asyncio.base_events"
    )


def awaited_in(frame: FrameType) -> Awaited:
    """What is waited for in a frame that `is_asyncio_s_wait`."""
    frames: Frames = []
    # A future need not be a task, nor one of asyncio's: whatever the user has made of it.
    with suppress(Exception):
        frames = frames_of_awaiting(frame.f_locals["future"].get_coro())
    return Awaited(frame, frames)


# -- the error


def late_by(error: BaseException, request_id: str) -> Outcome:
    """The answer of a handler that an exception has ended at its deadline.

    Args:
        error: as it passes the worker: DeadlineExceeded, or a Cancelled of its scope's.
    """
    return _stood("it stood", frames_of_error(error), request_id)


def late_at(delivery: Delivery, workers: Iterable[Ref[Any]] = ()) -> Outcome:
    """The answer of a delivery that is past its deadline, by what its worker is at.

    Args:
        delivery: unsettled.
        workers: who might have served it, had they become free.
    """
    worker = delivery.worker
    if worker is None:
        return _not_served(workers, delivery.request_id)
    if delivery.state >= State.RUNNING:
        return _stood("it stood", _frames_of_worker(worker), delivery.request_id)
    path, doing = worker.path, _doing(worker)
    words = f"its worker had not begun: {path} was {doing}" if doing else "its worker had not begun"
    return _stood(words, _frames_of_worker(worker), delivery.request_id, must=False)


def late_held(delivery: Delivery) -> Outcome:
    """The answer when the loop does not answer; asked in another thread than the loop's."""
    try:
        held = _frames_in_loop()
        task = _frames_of_worker(delivery.worker) if delivery.worker is not None else []
        own = bool(task) and any(frame is task[0][0] for frame, _ in held)
        if not own and _users(held):
            return _stood("the loop was held", held, delivery.request_id)
        return late_at(delivery)
    except Exception:
        # What is read here may change meanwhile: the answer must go out all the same.
        return _outcome(UNKNOWN, [], delivery.request_id)


def loop_is_held() -> bool:
    """Whether code of the user's runs where the loop does; asked in another thread.

    What lies beside trio okibi may have called itself.
    """
    beside = os.path.join(os.path.dirname(os.path.dirname(trio.__file__)), "")
    names = [frame.filename for frame in _users(_frames_in_loop())]
    return any(is_users(name) and not name.startswith(beside) for name in names)


def _not_served(workers: Iterable[Ref[Any]], request_id: str) -> Outcome:
    there = [worker for worker in workers if worker.process().actor is not None]
    if any(worker.alive and not _doing(worker) for worker in there):
        return _outcome("it came too late for its handler to begin", [], request_id)
    words = "no worker became free for it"
    if not there:
        return _outcome(words, [], request_id)
    words = f"{words}: {there[0].path} was {_doing(there[0]) or 'about to end'}"
    return _stood(words, _frames_of_worker(there[0]), request_id, must=False)


def _stood(words: str, frames: Frames, request_id: str, *, must: bool = True) -> Outcome:
    """The answer that says where, if that is known.

    Args:
        must: whether the words make no sense without.
    """
    users = _users(frames)
    if not users:
        return _outcome(UNKNOWN if must else words, [], request_id)
    # From within: to tell what is installed takes time, and there is little of it.
    at = next((frame for frame in reversed(users) if is_users_own(frame.filename)), users[-1])
    comma = "" if must else ","
    place = f'{words}{comma} in File "{at.filename}", line {at.lineno}, in {at.name}'
    return _outcome(place + _waiting(frames), users, request_id)


def _outcome(words: str, frames: Sequence[traceback.FrameSummary], request_id: str) -> Outcome:
    kind, message = "Runtime.DeadlineExceeded", f"{LATE}: {words}"
    body = error_json(kind, message, format_frames(frames), request_id)
    return Outcome(body, error_type=kind, cause=x_ray_cause([(kind, message, frames)]))


def _users(frames: Frames) -> list[traceback.FrameSummary]:
    """The frames from the user's first to the user's last; none if none is the user's.

    Without trio's and okibi's between them; the standard library's may say what is waited for.
    """
    above = [at for at in frames if not is_below(at[0].f_code.co_filename)]
    every = traceback.StackSummary.extract(iter(above), lookup_lines=False)
    at = [n for n, frame in enumerate(every) if is_users(frame.filename)]
    return every[at[0] : at[-1] + 1] if at else []


def _waiting(frames: Frames) -> str:
    """Whose reply is waited for, if it is an actor's, and which line that one is at."""
    for frame, _ in reversed(frames):
        if is_users(frame.f_code.co_filename):
            return ""
        if frame.f_code.co_name != "call":
            continue
        known = frame.f_locals
        if frame.f_code is _CALL:
            process, request = known.get("process"), known.get("request")
            return "" if process is None or request is None else _asked(process, request.method)
        if isinstance(known.get("address"), Address):
            # A Door's, or the asyncio loop's: another task waits in the place of this code.
            with suppress(NoProcess, RuntimeError):
                return _asked(known["address"].process(), known["method"].__name__)
    return ""


def _asked(process: Process, method: str) -> str:
    line = line_of(process.task)
    at = f" (it is at {line})" if line else ""
    return f", waiting for {process.path} to answer {method}{at}"


def _doing(worker: Ref[Any]) -> str:
    doing: str = getattr(worker.process().actor, "doing", "")
    return doing


# -- frames


def frames_of_error(error: BaseException, further: int = DEPTH) -> Frames:
    """The frames that an exception has come through, the outermost first.

    One that was raised in the clean-up after another of its kind tells of that other: there the
    handler stood, and then it cleaned up. Of a group the first member counts.

    Args:
        error: the exception, its traceback as it has grown until now.
        further: how many such steps to go, for user code may have made a circle of them.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if isinstance(error, DeadlineExceeded) and error.awaited is not None:
        frames = error.awaited(frames)
    inner: BaseException | None = None
    # What the alarm has raised may be of a class that was made for the loop it was raised in.
    kind = DeadlineExceeded if isinstance(error, DeadlineExceeded) else type(error)
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    elif isinstance(error.__context__, kind):
        inner = error.__context__
    if inner is None or further == 0:
        return _followed(frames)
    return _joined(frames, frames_of_error(inner, further - 1))


def frames_of_awaiting(coroutine: Any) -> Frames:
    """The frames of a coroutine that does not run: its own, and those of what it awaits."""
    frames: Frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if not isinstance(frame, FrameType):
            break
        frames.append((frame, frame.f_lineno))
        inner = getattr(coroutine, "cr_await", None)
        coroutine = inner if inner is not None else getattr(coroutine, "gi_yieldfrom", None)
    return frames


def _frames_of_worker(worker: Ref[Any]) -> Frames:
    return _followed(frames_of(worker.process().task))


def _frames_of_thread(ident: int) -> Frames:
    return list(traceback.walk_stack(sys._current_frames().get(ident)))[::-1] if ident else []


def _frames_in_loop() -> Frames:
    """The main thread's, from the loop's own on: what has called that holds nobody up."""
    frames = _frames_of_thread(threading.main_thread().ident or 0)
    names = [frame.f_code.co_filename for frame, _ in frames]
    is_loop = [is_below(name) and not is_own(name) for name in names]
    return frames[is_loop.index(True) :] if True in is_loop else []


def _followed(frames: Frames) -> Frames:
    """Into the other thread, if the handler runs there."""
    for frame, _ in reversed(frames):
        if is_own(frame.f_code.co_filename):
            # To look at a frame's variables keeps a copy of them with it (until Python 3.13): of
            # one that has caught the error, a circle.
            for name in _WAITS.intersection(frame.f_code.co_varnames + frame.f_code.co_cellvars):
                value = frame.f_locals.get(name)
                if isinstance(value, Elsewhere):
                    return frames + value.frames()
    return frames


def _joined(outer: Frames, inner: Frames) -> Frames:
    """Both in one: from the frame on that both have come through, the inner's."""
    first = inner[0][0] if inner else None
    at = next((n for n, (frame, _) in enumerate(outer) if frame is first), len(outer))
    return outer[:at] + inner
