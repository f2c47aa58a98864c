"""What a plain `def` that was ended at its deadline has left on a loop of asyncio's; imported then.

Mangum, Powertools' asynchronous batches, and whoever keeps clients of asyncio's between events have
one loop for all of them, and run it until a task is done. An exception out of that leaves the task
where it stands. It would go on when the next event runs the loop, into that one's answer, and do
what its own event was answered with an error for. So it is cancelled, as `asyncio.run` does it.

So is what it had begun beside it: `gather` leaves the others where the exception was raised in one
of them, `asyncio.wait`, `as_completed` and `shield` do so whenever who waits is cancelled. Of all
tasks no one tells which are meant to last, so these are what the event has begun itself.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._cpython_internals import context_of, mark_stopped
from .current import begun_by_this

if TYPE_CHECKING:
    import asyncio


def end(waited_for: Iterable[Any]) -> None:
    """Cancel the tasks, and run their loops until they have ended.

    Args:
        waited_for: the futures that `run_until_complete` was given, if any; or a loop, where it is
            not known what that was given.
    """
    for each in {*waited_for}:
        whole = isinstance(each, _asyncio().AbstractEventLoop)
        # Whatever it raises: the event has its answer. By the alarm it ends at half of the margin.
        with suppress(BaseException):
            loop = each if whole else each.get_loop()
            try:
                mark_stopped(loop)
                _end(None if whole else each, loop)
            finally:
                mark_stopped(loop)


def _end(waited_for: Any, loop: "asyncio.AbstractEventLoop") -> None:
    if loop.is_closed():
        return
    left = {*filter(_is_of_this_event, _asyncio().all_tasks(loop))}
    if waited_for is not None and not waited_for.done():
        left.add(waited_for)
    for each in left:
        each.cancel()
    # It may be about to stop, for what was done when the exception came: so it would do in the
    # next event, before that has its answer.
    loop.call_soon(loop.stop)
    loop.run_forever()
    if left:
        loop.run_until_complete(_asyncio().gather(*left, return_exceptions=True))


def _is_of_this_event(task: "asyncio.Task[object]") -> bool:
    context = context_of(task)
    return context is None or begun_by_this(context)


def _asyncio() -> Any:
    # The user's code has imported it: there is none to be looked for.
    return sys.modules["asyncio"]
