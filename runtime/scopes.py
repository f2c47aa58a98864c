"""The scope of many events: whether its task stands in it, whether it has rung, its next deadline.

A handler can leave one open, or a nursery: by an async generator that has one around its `yield`
and is not read to its end. Whoever closes a scope around it is told by trio. A worker, whose scope
is to last for many events, has to ask: else one event's mistake would be the next one's trouble.

What trio knows of the scope is private, and is read only with the releases that
`actors.trio_internals` knows. With any other release a worker opens a scope for each event.

Its deadline is moved as trio's own setter does it, without a context manager that is most of what
that takes; with another release, by trio's own setter.
"""

import math
from typing import Any

import trio
from trio.lowlevel import current_task

from actors import trio_internals


def stands_in(scope: trio.CancelScope) -> bool:
    """Whether it is this scope that the running task has entered last and not left."""
    task: Any = current_task()
    entered: Any = scope
    return trio_internals.CONTEXT is not None and task._cancel_status is entered._cancel_status


def rang(scope: trio.CancelScope) -> bool:
    """Whether trio has cancelled it.

    `cancel_called` looks at the clock besides, and cancels it if its time is over: nothing that
    matters to one whose deadline is about to be moved, and a tenth of what an event's hop costs.
    """
    told: Any = scope
    return bool(scope.cancel_called if trio_internals.CONTEXT is None else told._cancel_called)


def move_deadline(scope: trio.CancelScope, deadline: float) -> None:
    """What `scope.deadline = deadline` does, where trio is no other loop's guest.

    Args:
        scope: it has been entered, and not left.
        deadline: in seconds of trio's clock.
    """
    moved: Any = scope
    context = trio_internals.CONTEXT
    if context is None or moved._cancel_called or deadline == math.inf:
        scope.deadline = deadline
        return
    before = moved._registered_deadline
    moved._deadline = deadline
    if before != deadline:
        moved._registered_deadline = deadline
        deadlines = context.runner.deadlines
        if before != math.inf:
            deadlines.remove(before, scope)
        deadlines.add(deadline, scope)
