"""Find the line that a handler was in at its deadline, for the error that answers the event.

The error names the innermost line of the user's own code. Installed libraries count only if no line
is the user's own. The frames come from

    the exception that ended the handler    Cancelled from the scope, DeadlineExceeded
    the worker's task                       the handler could not be ended, or never began
    the main thread                         the loop is held, perhaps by another task

The search continues in another thread if okibi runs the handler there, and in the task that a plain
`def` runs an asyncio loop for. An event that meets its deadline pays nothing for this.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar, cast

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

UNKNOWN = "the handler's line is not known"
DEPTH = 50
# Names of local variables in okibi's frames that may hold a FrameSource.
_SOURCE_NAMES = frozenset({"thread", "job"})


class FrameSource:
    """The frames of a handler that runs in another thread.

    A local variable of this type, under a name of `_SOURCE_NAMES`, marks okibi's frame as waiting
    for that handler.
    """

    __slots__ = ()

    def frames(self) -> Frames:
        """Return the handler's frames with their lines, outermost first."""
        raise NotImplementedError


class ThreadFrameSource(FrameSource):
    """The frames of a thread that runs a plain handler."""

    __slots__ = ("_ident",)

    def __init__(self) -> None:
        self._ident = 0

    @calls_handler
    def run(self, act: Callable[[], T]) -> T:
        """Call `act` in the current thread, whose frames count meanwhile."""
        self._ident = threading.get_ident()
        try:
            return act()
        finally:
            self._ident = 0

    def frames(self) -> Frames:
        frames = _frames_of_thread(self._ident)
        return _append_task_frames(
            frames, frames_of_asyncio_task(frames[-1][0] if frames else None)
        )


# -- the error


def deadline_error_from_exception(error: BaseException, request_id: str) -> Outcome:
    """Return the error response for a handler that an exception ended at its deadline.

    Args:
        error: DeadlineExceeded, or Cancelled from the worker's scope.
        request_id: the request id of the event.
    """
    return _located_error("the handler was", frames_of_error(error), request_id)


def deadline_error_from_worker(delivery: Delivery, workers: Iterable[Ref[Any]] = ()) -> Outcome:
    """Return the error response for a delivery past its deadline, by what its worker is doing.

    Args:
        delivery: an unsettled delivery.
        workers: the workers that could have taken it.
    """
    worker = delivery.worker
    if worker is not None and delivery.state >= DeliveryState.RUNNING:
        return _located_error("the handler was", _frames_of_worker(worker), delivery.request_id)
    there = [worker] if worker is not None else [each for each in workers if _is_alive(each)]
    if any(each.alive and not _activity(each) for each in there):
        return _error(
            "the event arrived too late for its handler to begin", [], delivery.request_id
        )
    words = "no worker became free"
    if not there:
        return _error(words, [], delivery.request_id)
    words = f"{words}: {there[0].path} was {_activity(there[0]) or 'about to end'}"
    return _located_error(words, _frames_of_worker(there[0]), delivery.request_id, must=False)


def deadline_error_from_loop(delivery: Delivery) -> Outcome:
    """Return the error response when the loop is held. Call it outside the loop's thread."""
    try:
        held = frames_in_loop()
        task = _frames_of_worker(delivery.worker) if delivery.worker is not None else []
        own = bool(task) and any(frame is task[0][0] for frame, _ in held)
        if not own and _user_summaries(held):
            return _located_error("the loop was held", held, delivery.request_id)
        return deadline_error_from_worker(delivery)
    except Exception:
        # The state that is read here may change meanwhile. A response must go out anyway.
        return _error(UNKNOWN, [], delivery.request_id)


def _located_error(words: str, frames: Frames, request_id: str, *, must: bool = True) -> Outcome:
    """Return the error response with a place after the words, if the place is known.

    Args:
        must: whether the words need a place.
    """
    users = _user_summaries(frames)
    if not users:
        return _error(UNKNOWN if must else words, [], request_id)
    # From the inside: `is_written_by_user` reads directories, and little time is left.
    at = next((frame for frame in reversed(users) if is_written_by_user(frame.filename)), users[-1])
    comma = "" if must else ","
    place = f'{words}{comma} in File "{at.filename}", line {at.lineno}, in {at.name}'
    return _error(place + _awaited_reply(frames), users, request_id)


def _error(words: str, frames: Sequence[traceback.FrameSummary], request_id: str) -> Outcome:
    kind, message = "Runtime.DeadlineExceeded", f"{LATE}: {words}"
    body = error_json(kind, message, format_frames(frames), request_id)
    return Outcome(body, error_type=kind, cause=x_ray_cause([(kind, message, frames)]))


def _user_summaries(frames: Frames) -> list[traceback.FrameSummary]:
    """Return the frames from the user's outermost to the user's innermost; none without user code.

    trio's and okibi's between them are left out. The standard library's show what the code waits
    for.
    """
    above = [at for at in frames if not is_framework_file(at[0].f_code.co_filename)]
    every = traceback.StackSummary.extract(iter(above), lookup_lines=False)
    at = [n for n, frame in enumerate(every) if is_user_file(frame.filename)]
    return every[at[0] : at[-1] + 1] if at else []


def _awaited_reply(frames: Frames) -> str:
    """Name the actor whose reply the handler awaits, and the line that the actor is at."""
    for frame, _ in reversed(frames):
        if is_user_file(frame.f_code.co_filename):
            break
        if frame.f_code.co_name == "call":
            # `call` of an address, of a Portal, or of `from_asyncio`.
            known = frame.f_locals
            address = known.get("address", known.get("self"))
            if isinstance(address, Address):
                with suppress(NoProcess, RuntimeError):
                    process, method = address.process(), known["method"].__name__
                    line = line_of(process.waits.task)
                    at = f" (it is at {line})" if line else ""
                    return f", waiting for {process.path} to answer {method}{at}"
    return ""


def _activity(worker: Ref[Any]) -> str:
    doing: str = getattr(worker.process().actor, "doing", "")
    return doing


def _is_alive(worker: Ref[Any]) -> bool:
    return worker.process().actor is not None


# -- frames


def frames_of_error(error: BaseException, further: int = DEPTH) -> Frames:
    """Return the frames that an exception has passed through, outermost first.

    If a Cancelled was raised in the clean-up after another Cancelled, the first one counts: it says
    where the handler was. Of a group the first member counts.

    Args:
        error: the exception with its traceback so far.
        further: the number of contexts and groups to follow; user code can make them circular.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if isinstance(error, DeadlineExceeded):
        frames = _append_task_frames(frames, error.awaited)
    inner: BaseException | None = None
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    elif isinstance(error.__context__, type(error)):
        inner = error.__context__
    if inner is None or further == 0:
        return _follow_source(frames)
    return _merge_frames(frames, frames_of_error(inner, further - 1))


def frames_of_coroutine(coroutine: Any) -> Frames:
    """Return the frames of a suspended coroutine and of what it awaits, outermost first."""
    frames: Frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if not isinstance(frame, FrameType):
            break
        frames.append((frame, frame.f_lineno))
        inner = getattr(coroutine, "cr_await", None)
        coroutine = inner if inner is not None else getattr(coroutine, "gi_yieldfrom", None)
    return frames


def frames_of_asyncio_task(frame: FrameType | None) -> Frames:
    """Return the frames of the task that a frame runs an asyncio loop for.

    None if the frame is user code, which names the place itself, or if the loop runs for no task.
    """
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        if frame.f_code.co_name == "run_until_complete":
            # The future need not be a task: user code can pass any awaitable.
            with suppress(Exception):
                return frames_of_coroutine(frame.f_locals["future"].get_coro())
        frame = frame.f_back
    return []


def _append_task_frames(frames: Frames, task: Frames) -> Frames:
    """Return a thread's frames down to the user's innermost, then those of the task it runs."""
    while task and frames and not is_user_file(frames[-1][0].f_code.co_filename):
        frames = frames[:-1]
    return frames + task


def _frames_of_worker(worker: Ref[Any]) -> Frames:
    return _follow_source(frames_of(worker.process().waits.task))


def _frames_of_thread(ident: int) -> Frames:
    return list(traceback.walk_stack(sys._current_frames().get(ident)))[::-1] if ident else []


def frames_in_loop() -> Frames:
    """Return the main thread's frames from the loop inwards, without the loop's callers."""
    frames = _frames_of_thread(threading.main_thread().ident or 0)
    names = [frame.f_code.co_filename for frame, _ in frames]
    is_loop = [is_framework_file(name) and not is_okibi_file(name) for name in names]
    return frames[is_loop.index(True) :] if True in is_loop else []


def _follow_source(frames: Frames) -> Frames:
    """Append the frames of the other thread, if the handler runs there."""
    for frame, _ in reversed(frames):
        if is_okibi_file(frame.f_code.co_filename):
            # Reading `f_locals` attaches a copy to the frame (before Python 3.13). In a frame that
            # has caught the error, the copy would be part of a reference cycle.
            for name in _SOURCE_NAMES.intersection(
                frame.f_code.co_varnames + frame.f_code.co_cellvars
            ):
                value = frame.f_locals.get(name)
                if isinstance(value, FrameSource):
                    return frames + value.frames()
    return frames


def _merge_frames(outer: Frames, inner: Frames) -> Frames:
    """Replace the outer frames by the inner ones from the first common frame on."""
    first = inner[0][0] if inner else None
    at = next((n for n, (frame, _) in enumerate(outer) if frame is first), len(outer))
    return outer[:at] + inner
