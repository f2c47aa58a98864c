"""Where the alarm waits a moment: what it would hit is none of the handler's, but asyncio's loop.

An exception that is raised in a task's step ends that task, and the loop tells who waits for it.
Raised in the loop itself it comes between what the loop has in hand and whom that is for: a task
is never woken, a timer never rings, and if a callback was called it is told of in the log and goes
no further. Of what a module keeps running beside its events, too, and there for good: such a task
is not the event's, and is not to be ended with it either.

The loop's own turns take microseconds. Where it waits for something with nothing in hand an
exception leaves all of it whole.
"""

import sys
from types import FrameType
from typing import Any

from ._cpython_internals import has_work
from .current import works_for_the_last
from .failure import is_users

# What makes up a loop, and what runs one (nest_asyncio puts functions of its own in their place);
# and what the interpreter calls at the end of a task, and lets nothing out of.
_LOOPS = frozenset({
    "_weakrefset", "asyncio.base_events", "asyncio.events", "asyncio.runners",
    "asyncio.selector_events", "asyncio.unix_events", "nest_asyncio", "weakref",
})  # fmt: skip


def running_loop() -> Any:
    """The loop of asyncio's that runs in this thread, if any."""
    events = sys.modules.get("asyncio.events")
    try:
        return None if events is None else events.get_running_loop()
    except RuntimeError:
        return None


def is_between(frame: FrameType | None) -> bool:
    """Whether it is the loop that runs in a frame, or a task that is not of the last event."""
    if "asyncio.events" not in sys.modules:
        return False
    loop = running_loop()
    if loop is not None and not works_for_the_last():
        return True
    innermost = frame
    while frame is not None:
        if frame.f_globals.get("__name__") in _LOOPS:
            return not _is_idle(loop, innermost)
        if is_users(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return False


def _is_idle(loop: Any, innermost: FrameType | None) -> bool:
    """Whether it waits for something, and has nothing in hand."""
    if loop is None or innermost is None or innermost.f_globals.get("__name__") != "selectors":
        return False
    return not has_work(loop)
