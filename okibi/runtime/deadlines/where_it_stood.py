"""Find the line that a handler was in at its deadline, for the error that answers the event.

The error names the innermost line of the user's own code. Installed libraries count only if no line
is the user's own. The frames come from

    the exception that ended the handler    Cancelled from the scope, DeadlineExceeded
    the worker's task                       the handler could not be ended, or never began
    the main thread                         the loop is held, perhaps by another task

The search continues in another thread if okibi runs the handler there, and in the task that a plain
`def` runs an asyncio loop for. Where a library waits for a thread of its own, as FastAPI does for a
`def` route, the error also names the user's lines in other threads. An event that meets its
deadline pays nothing for this.
"""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar, cast

from ...actors import Address, NoProcess, Ref
from ...actors.frames import (
    Frames,
    FrameSource,
    find_source,
    frames_of,
    frames_of_coroutine,
    line_of,
)
from ..errors.error_response import (
    DEADLINE_EXCEEDED,
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
UNKNOWN_FOLLOW_UP = "the line of the function that ran after the response is not known"
DEPTH = 50
# What was late, for messages.
HANDLER, FOLLOW_UP = "the handler", "a function that ran after the response"
# At most so many threads are named.
_THREADS = 3


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


def deadline_error_from_exception(
    error: BaseException, request_id: str, what: str = HANDLER
) -> Outcome:
    """Return the error response for a handler that an exception ended at its deadline.

    Args:
        error: DeadlineExceeded, or Cancelled from the worker's scope.
        request_id: the request id of the event.
        what: HANDLER or FOLLOW_UP, for the message.
    """
    return _located_error(f"{what} was", frames_of_error(error), request_id)


def describe_place(error: BaseException) -> str:
    """Return where code was when an exception ended it, for a log; empty if no line is known."""
    frames = frames_of_error(error)
    at = _innermost_own(_user_summaries(frames))
    place = "" if at is None else f'in File "{at.filename}", line {at.lineno}'
    return f"{place}{_awaited_reply(frames)}".removeprefix(", ")


def deadline_error_from_worker(delivery: Delivery, workers: Iterable[Ref[Any]] = ()) -> Outcome:
    """Return the error response for a delivery past its deadline, by what its worker is doing.

    Args:
        delivery: an unfinished delivery.
        workers: the workers that could have taken it.
    """
    worker = delivery.worker
    if worker is not None and delivery.state >= DeliveryState.RUNNING:
        what = HANDLER if delivery.unsettled else FOLLOW_UP
        return _located_error(f"{what} was", _frames_of_worker(worker), delivery.request_id)
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
        users = [frame for frame, _ in held if is_user_file(frame.f_code.co_filename)]
        if not users or (own and not _is_async(users[0])):
            return deadline_error_from_worker(delivery)
        cure = f"run blocking code in a thread: await {thread_call(held)}"
        if not own:
            return _located_error("the loop was held", held, delivery.request_id, hint=f"; {cure}")
        what = HANDLER if delivery.unsettled else FOLLOW_UP
        hint = f", and held the event loop; write a plain def, or {cure}"
        return _located_error(f"{what} was", task, delivery.request_id, hint=hint)
    except Exception:
        # The state that is read here may change meanwhile. A response must go out anyway.
        return _error(UNKNOWN, [], delivery.request_id)


def _located_error(
    words: str, frames: Frames, request_id: str, *, must: bool = True, hint: str = ""
) -> Outcome:
    """Return the error response with a place after the words, if the place is known.

    Args:
        must: whether the words need a place.
        hint: follows the place.
    """
    users = _user_summaries(frames)
    if not users:
        unknown = UNKNOWN if words != f"{FOLLOW_UP} was" else UNKNOWN_FOLLOW_UP
        return _error(unknown if must else words, [], request_id)
    at = _innermost_own(users)
    further = hint or _awaited_reply(frames)
    if at is None:
        at, further = users[-1], further or _lines_in_threads()
    comma = "" if must else ","
    place = f'{words}{comma} in File "{at.filename}", line {at.lineno}, in {at.name}'
    return _error(place + further, users, request_id)


def _error(words: str, frames: Sequence[traceback.FrameSummary], request_id: str) -> Outcome:
    kind, message = DEADLINE_EXCEEDED, f"{LATE}: {words}"
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


def _innermost_own(users: list[traceback.FrameSummary]) -> traceback.FrameSummary | None:
    """Return the innermost frame in the user's own files; None if all are in libraries."""
    # From the inside: `is_written_by_user` reads directories, and little time is left.
    return next((frame for frame in reversed(users) if is_written_by_user(frame.filename)), None)


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


def _lines_in_threads() -> str:
    """Name the lines of the user's own code at which other threads are."""
    lines = list[str]()
    for ident in sys._current_frames():
        if ident in (threading.main_thread().ident, threading.get_ident()):
            continue
        for frame, line in reversed(_frames_of_thread(ident)):
            if is_written_by_user(file := frame.f_code.co_filename):
                lines.append(f'File "{file}", line {line}, in {frame.f_code.co_name}')
                break
    return f", while a thread was in {' and one in '.join(lines[:_THREADS])}" if lines else ""


def _is_async(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))


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


def thread_call(frames: Frames) -> str:
    """Return the call that runs blocking code of these frames in a thread."""
    on_asyncio = any(frame.f_globals.get("__name__") == "asyncio.events" for frame, _ in frames)
    return f"{'asyncio.to_thread' if on_asyncio else 'trio.to_thread.run_sync'}(...)"


def _follow_source(frames: Frames) -> Frames:
    """Append the frames of the other thread or the asyncio task, if the handler runs there."""
    source = find_source(frames)
    if source is None:
        return frames
    if source.stopped_by:
        return frames + frames_of_error(source.stopped_by)
    return frames + _follow_source(source.frames())


def _merge_frames(outer: Frames, inner: Frames) -> Frames:
    """Replace the outer frames by the inner ones from the first common frame on."""
    first = inner[0][0] if inner else None
    at = next((n for n, (frame, _) in enumerate(outer) if frame is first), len(outer))
    return outer[:at] + inner
