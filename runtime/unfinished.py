"""What a plain `def` that was ended at its deadline has left on a loop of asyncio's; imported then.

Mangum, Powertools' asynchronous batches, and whoever keeps clients of asyncio's between events have
one loop for all of them, and run it until a task is done. An exception out of that leaves the task
where it stands. It would go on when the next event runs the loop, into that one's answer, and do
what its own event was answered with an error for. So it is cancelled, as `asyncio.run` does it.

So is what ran beside a task that the exception was raised in, and has ended by it: `gather` leaves
the others, also if it is cancelled in its turn before anybody has been told of that. Of those no
one tells which are meant to last, so these are what the event has begun itself. (Python 3.11 does
not tell that: all there are.)
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .current import begun_by_this
from .failure import DeadlineExceeded

if TYPE_CHECKING:
    import asyncio


def end(waited_for: Iterable[Any], in_task: bool = False) -> None:
    """Cancel the tasks, and run their loops until they have ended.

    Args:
        waited_for: the futures that `run_until_complete` was given, if any; or a loop, where it is
            not known what that was given.
        in_task: whether the exception was raised in a task.
    """
    for each in {*waited_for}:
        # Whatever it raises: the event has its answer. By the alarm it ends at half of the margin.
        with suppress(BaseException):
            _end(each, in_task)


def _end(waited_for: Any, in_task: bool) -> None:
    whole = isinstance(waited_for, _asyncio().AbstractEventLoop)
    loop: asyncio.AbstractEventLoop = waited_for if whole else waited_for.get_loop()
    if loop.is_closed():
        return
    left = {*(_of_this_event(loop) if whole else _left_by(waited_for, loop, in_task))}
    for each in left:
        each.cancel()
    if left:
        loop.run_until_complete(_asyncio().gather(*left, return_exceptions=True))


def _left_by(
    future: "asyncio.Future[object]", loop: "asyncio.AbstractEventLoop", in_task: bool
) -> "Iterable[asyncio.Future[object]]":
    if not future.done():
        return [future, *(_of_this_event(loop) if in_task else ())]
    if future.cancelled() or not isinstance(future.exception(), DeadlineExceeded):
        return []
    return _of_this_event(loop)


def _of_this_event(loop: "asyncio.AbstractEventLoop") -> "Iterable[asyncio.Future[object]]":
    return filter(_is_of_this_event, _asyncio().all_tasks(loop))


def _is_of_this_event(task: "asyncio.Task[object]") -> bool:
    context = getattr(task, "get_context", None)
    return context is None or begun_by_this(context())


def _asyncio() -> Any:
    # The user's code has imported it: there is none to be looked for.
    return sys.modules["asyncio"]
