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
from types import FrameType
from typing import Any, TypeVar, cast

import trio

from ...actors import Address, NoProcess, Ref
from ...actors.frames import Frames, frames_of, line_of
from ..errors.error_response import (
    LATE,
    calls_handler,
    error_json,
    format_frames,
    x_ray_cause,
)
from ..errors.exceptions import DeadlineExceeded
from ..errors.user_code import is_framework_file, is_okibi_file, is_user_file, is_written_by_user
from ..in_flight.delivery import Delivery, DeliveryState
from ..protocol.outcome import Outcome

T = TypeVar("T")

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
        return _joined_by_task(frames, awaited_in(frames[-1][0] if frames else None))


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
    if worker is not None and delivery.state >= DeliveryState.RUNNING:
        return _stood("it stood", _frames_of_worker(worker), delivery.request_id)
    there = [worker] if worker is not None else [each for each in workers if _lives(each)]
    if any(each.alive and not _doing(each) for each in there):
        return _outcome("it came too late for its handler to begin", [], delivery.request_id)
    words = "no worker became free for it"
    if not there:
        return _outcome(words, [], delivery.request_id)
    words = f"{words}: {there[0].path} was {_doing(there[0]) or 'about to end'}"
    return _stood(words, _frames_of_worker(there[0]), delivery.request_id, must=False)


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
    return any(is_user_file(name) and not name.startswith(beside) for name in names)


def _stood(words: str, frames: Frames, request_id: str, *, must: bool = True) -> Outcome:
    """The answer that says where, if that is known.

    Args:
        must: whether the words make no sense without.
    """
    users = _users(frames)
    if not users:
        return _outcome(UNKNOWN if must else words, [], request_id)
    # From within: to tell what is installed takes time, and there is little of it.
    at = next((frame for frame in reversed(users) if is_written_by_user(frame.filename)), users[-1])
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
    above = [at for at in frames if not is_framework_file(at[0].f_code.co_filename)]
    every = traceback.StackSummary.extract(iter(above), lookup_lines=False)
    at = [n for n, frame in enumerate(every) if is_user_file(frame.filename)]
    return every[at[0] : at[-1] + 1] if at else []


def _waiting(frames: Frames) -> str:
    """Whose reply is waited for, if it is an actor's, and which line that one is at."""
    for frame, _ in reversed(frames):
        if is_user_file(frame.f_code.co_filename):
            break
        if frame.f_code.co_name == "call":
            # An address's own, or that of a Portal or of asyncio's side.
            known = frame.f_locals
            address = known.get("address", known.get("self"))
            if isinstance(address, Address):
                with suppress(NoProcess, RuntimeError):
                    process, method = address.process(), known["method"].__name__
                    line = line_of(process.task)
                    at = f" (it is at {line})" if line else ""
                    return f", waiting for {process.path} to answer {method}{at}"
    return ""


def _doing(worker: Ref[Any]) -> str:
    doing: str = getattr(worker.process().actor, "doing", "")
    return doing


def _lives(worker: Ref[Any]) -> bool:
    return worker.process().actor is not None


# -- frames


def frames_of_error(error: BaseException, further: int = DEPTH) -> Frames:
    """The frames that an exception has come through, the outermost first.

    A Cancelled that was raised in the clean-up after another one tells of that other: there the
    handler stood, and then it cleaned up. Of a group the first member counts.

    Args:
        error: the exception, its traceback as it has grown until now.
        further: how many such steps to go, for user code may have made a circle of them.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if isinstance(error, DeadlineExceeded):
        frames = _joined_by_task(frames, error.awaited)
    inner: BaseException | None = None
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    elif isinstance(error.__context__, type(error)):
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


def awaited_in(frame: FrameType | None) -> Frames:
    """The frames of the task that a loop of asyncio's is run for in a frame; none if code of the
    user's runs there, which says it already, or the loop runs for something else than a task.
    """
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        if frame.f_code.co_name == "run_until_complete":
            # A future need not be a task, nor one of asyncio's: whatever the user has made of it.
            with suppress(Exception):
                return frames_of_awaiting(frame.f_locals["future"].get_coro())
        frame = frame.f_back
    return []


def _joined_by_task(frames: Frames, task: Frames) -> Frames:
    """The frames of a thread, down to the user's, and those of the task that it waits for."""
    while task and frames and not is_user_file(frames[-1][0].f_code.co_filename):
        frames = frames[:-1]
    return frames + task


def _frames_of_worker(worker: Ref[Any]) -> Frames:
    return _followed(frames_of(worker.process().task))


def _frames_of_thread(ident: int) -> Frames:
    return list(traceback.walk_stack(sys._current_frames().get(ident)))[::-1] if ident else []


def _frames_in_loop() -> Frames:
    """The main thread's, from the loop's own on: what has called that holds nobody up."""
    frames = _frames_of_thread(threading.main_thread().ident or 0)
    names = [frame.f_code.co_filename for frame, _ in frames]
    is_loop = [is_framework_file(name) and not is_okibi_file(name) for name in names]
    return frames[is_loop.index(True) :] if True in is_loop else []


def _followed(frames: Frames) -> Frames:
    """Into the other thread, if the handler runs there."""
    for frame, _ in reversed(frames):
        if is_okibi_file(frame.f_code.co_filename):
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
