"""The cancel scope of a worker's events.

One serves for many: to open and to close one takes 6 us, of a warm cycle of 100, and this 0.8.

What trio knows of the scope is private, and is used only with the releases that
`okibi.actors.trio_internals` knows. With any other release each event has a scope of its own.
"""

import math
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any

import trio

from ...actors import trio_internals
from ...actors.exits import crash_in
from ..telemetry.invocation_context import leave_behind


class EventScope:
    """What is an event's own in its worker's task: its deadline, and its context variables.

        async with EventScope() as scope:
            while True:
                with scope.until(deadline):
                    await ...
                if scope.before is not None:
                    await scope.leave()

    Attributes:
        rang: whether the deadline has ended the last block.
        before: the context variables from before the first block; None where there was none.
    """

    __slots__ = ("_scope", "before", "rang")

    def __init__(self) -> None:
        self.rang = False
        self.before: Context | None = None
        # Entered, and without a deadline between two blocks; None where the next one makes it.
        self._scope: Any = None

    def until(self, deadline: float) -> "EventScope":
        """A block that is cancelled at its deadline, in seconds of trio's clock.

        The Cancelled leaves the block, since its traceback tells where that stood: see `rang`.

        Raises:
            RuntimeError: at the block's end, if a scope was entered in it and not left. An async
                generator that has one around its `yield`, and is not read to its end, does that.
        """
        if self.before is None:
            self.before = copy_context()
        self.rang = False
        scope = self._scope
        if scope is None:
            self._scope = scope = trio.CancelScope(deadline=deadline)
            scope.__enter__()
        elif deadline != math.inf:
            # As trio's own setter of `deadline` does it, without a context manager that is most of
            # what that takes.
            scope._deadline = scope._registered_deadline = deadline
            trio_internals.CONTEXT.runner.deadlines.add(deadline, scope)
        return self

    def __enter__(self) -> None:
        """`until` has entered it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope = self._scope
        if error is None and _stays_open(scope):
            deadline = scope._registered_deadline
            if deadline != math.inf:
                scope._deadline = scope._registered_deadline = math.inf
                trio_internals.CONTEXT.runner.deadlines.remove(deadline, scope)
            return
        self._scope = None
        if error is None or crash_in(error) is not None:
            scope.__exit__(None, None, None)
        else:
            scope.__exit__(kind, error, traceback)
            self.rang = scope.cancelled_caught

    async def leave(self) -> None:
        """Leave the context variables behind that have been set since the first block."""
        before, self.before = self.before, None
        if before is not None:
            await leave_behind(before)

    async def __aenter__(self) -> "EventScope":
        return self

    async def __aexit__(self, *_: object) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.__exit__(None, None, None)
        await self.leave()


def _stays_open(scope: Any) -> bool:
    """Whether the next block can have it: it has not rung, and the running task has left all that
    it has entered since.
    """
    context = trio_internals.CONTEXT
    return (
        context is not None
        and context.task._cancel_status is scope._cancel_status
        and not scope._cancel_called
    )
