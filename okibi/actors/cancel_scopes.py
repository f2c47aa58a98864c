"""The cancel scopes of an actor, and its grace.

The outer scope, `kill`, ends the actor without `terminate`; its deadline is the end of the grace.
The inner, `stop`, contains only the body: cancellation is level-triggered, so a `terminate` that
awaits must run outside every cancelled scope. An actor without `terminate` needs only `kill`. An
exception of the body is caught after it has left `stop`, because a scope must see the Cancelled
that it has sent.

Under a supervisor, `kill` is shielded. An outer cancellation reaches only the supervisor, which
stops its children one by one, in order. Without the shield trio would cancel all of them at once.
"""

from collections.abc import Callable

import trio


class CancelScopes:
    """The cancel scopes of one incarnation.

    Args:
        grace: seconds from a stop request until the actor is killed; infinity for no limit.
        linked: whether an outer cancellation reaches the actor, and a crash is raised into the
            surrounding nursery.

    Attributes:
        kill: surrounds the whole life.
        stop: surrounds the body; None for an actor without `terminate`: a scope takes 670 bytes,
            and time at each start.
    """

    __slots__ = ("_on_grace", "_on_kill", "grace", "kill", "linked", "stop")

    def __init__(self, grace: float, linked: bool) -> None:
        self.grace = grace
        self.linked = linked
        self.kill = trio.CancelScope(shield=not linked)
        self.stop: trio.CancelScope | None = None
        self._on_kill: Callable[[], None] | None = None
        self._on_grace: Callable[[], None] | None = None

    def call_back(self, on_kill: Callable[[], None], on_grace: Callable[[], None]) -> None:
        """Call functions at a kill, and whenever a grace begins, until `forget_callbacks`."""
        self._on_kill, self._on_grace = on_kill, on_grace

    def forget_callbacks(self) -> None:
        """Undo `call_back`."""
        self._on_kill = self._on_grace = None

    def add_stop(self) -> None:
        """Make the scope of the body, for an actor with `terminate`."""
        self.stop = trio.CancelScope()

    def cancel_all(self) -> None:
        """Cancel the body and `terminate`."""
        self.kill.cancel()
        if self._on_kill is not None:
            self._on_kill()

    def shield_clean_up(self) -> None:
        """Let only the grace cancel `terminate`; an outer cancellation may not."""
        self.kill.shield = True

    def begin_grace(self, seconds: float) -> None:
        """Cancel everything after some seconds. Of several graces, the earliest end counts."""
        self.kill.deadline = min(self.kill.deadline, trio.current_time() + seconds)
        if self._on_grace is not None:
            self._on_grace()

    def grace_has_ended(self) -> bool:
        """Return whether the end of the grace has cancelled the actor."""
        kill = self.kill
        # Without `stop`, a stop request cancels `kill` before the deadline.
        return kill.cancel_called and (
            self.stop is not None or trio.current_time() >= kill.deadline
        )
