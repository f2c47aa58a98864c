"""The base class of all supervisors: an actor with children.

The tasks of the children run in the supervisor's nursery, each in a shield. Cancelling the
supervisor from outside therefore reaches only the supervisor, and the supervisor stops the children
in order. Ends of children arrive as messages, never as exceptions.

A supervisor ends after all of its children. It stops each child within the child's grace period.
When the supervisor's own grace period is over, it kills the remaining children and waits for them.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import trio

from ..actors import MailboxPolicy, Ref, Server, StartError, WhenFull, logs
from ..actors.exits import is_a, reason_for
from ..actors.hook_errors import require_awaitable
from .child_place import Children, Place, find_stop_report
from .stop_reports import Stopped, StopReport

logger = logs.logger("okibi.supervisors")


class Parent(Server):
    """A server with children: `init` starts children, `stop_children` stops all of them."""

    __slots__ = ("_children", "_stop_began", "_stop_ended", "_stop_results", "_stop_scope")

    # Requests to a supervisor are rare and must not be lost. OTP's mailboxes have no limit.
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1_000_000, WhenFull.REJECT)

    _children: Children
    _stop_scope: trio.CancelScope
    _stop_results: list[Stopped]
    _stop_began: float
    _stop_ended: float

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # `mailbox` may also be a property or a field: then only instances have a policy.
        if getattr(cls.mailbox, "when_full", None) is WhenFull.DROP_OLDEST:
            # A dropped Retry message would leave a child down for ever.
            raise TypeError(
                f"{cls.__name__}: the mailbox of a supervisor must not drop messages: use "
                f"WhenFull.REJECT"
            )

    # -- to override

    @property
    def places(self) -> Sequence[Place]:
        """The places of the children in start order. Read only."""
        raise NotImplementedError(f"{type(self).__name__} needs a property `places`")

    def _make_children(self, nursery: trio.Nursery) -> Children:
        """Create the Children object for the supervisor's nursery."""
        return Children(self._process, nursery)

    async def stop_children(self) -> None:
        """Stop all children with `stop`. Cancelled when the supervisor's grace period is over."""
        raise NotImplementedError(f"{type(self).__name__} needs a `stop_children`")

    # -- life cycle

    async def live(self, started: Callable[[], None]) -> None:
        # Raise errors outside the nursery: the nursery would wrap them in a group.
        errors: list[BaseException] = []
        self._stop_scope = trio.CancelScope()
        self._stop_results = []
        self._process.scopes.call_back(self._kill_children, self._set_stop_deadline)
        async with trio.open_nursery() as nursery:
            self._children = self._make_children(nursery)
            try:
                await require_awaitable(self.init(), self, "init")
                started()
                await self.run()
            except BaseException as caught:
                errors.append(caught)
            self._refuse_messages(*errors)
            try:
                await self._stop_all()
            except BaseException as caught:
                errors.append(caught)
        try:
            if errors[1:]:
                raise BaseExceptionGroup(f"{self.path} failed to stop its children", errors)
            if errors:
                raise errors[0]
        finally:
            # Break the reference cycle between the tracebacks and this frame.
            errors.clear()
            self._process.scopes.forget_callbacks()

    def _traceback_is_logged_elsewhere(self, crash: BaseException) -> bool:
        # The crash report of the child describes a StartError already. OTP writes no second report
        # either: the supervisor's reason is `{shutdown, {failed_to_start_child, ...}}`.
        return is_a(crash, StartError)

    async def stop(self, place: Place) -> None:
        """Stop one child and wait for its end, or call off its next attempt to start."""
        self._record_stop(await self._children.stop(place))

    def _build_stop_report(self) -> StopReport | None:
        """Return the report of the supervisor's stop up to now; None before the stop began."""
        began: float | None = getattr(self, "_stop_began", None)
        if began is None:
            return None
        remaining = [
            self._children.report_stop(place, process)
            for process, place in self._children.by_process.items()
        ]
        ended = getattr(self, "_stop_ended", None)
        seconds = (trio.current_time() if ended is None else ended) - began
        return StopReport(self.path, seconds, (*self._stop_results, *remaining))

    def _refuse_messages(self, error: BaseException | None = None) -> None:
        """Refuse new requests at once, not after the last child has ended.

        Otherwise a child whose `terminate` calls the supervisor would wait for itself.
        """
        life = self._process.life
        if life.ending_reason is None:
            life.refuse_messages(reason_for(error, killed=False, asked=None))

    async def _stop_all(self) -> None:
        """Stop all children in order; when the supervisor's grace period is over, kill the rest."""
        self._stop_began = trio.current_time()
        self._stop_scope.shield = True
        self._set_stop_deadline()
        try:
            with self._stop_scope:
                await self.stop_children()
        finally:
            # Also after an error in an overridden `stop_children`: the nursery waits for children.
            with trio.CancelScope(shield=True):
                self._kill_children()
                for place in reversed([*self._children.by_process.values()]):
                    self._record_stop(await self._children.wait_ended(place))
        self._stop_ended = trio.current_time()
        self._process.life.leave_stop_report(self._build_stop_report())
        if any(stopped.problem() for stopped in self._stop_results):
            logger.warning("%s", self._build_stop_report())

    def _record_stop(self, stopped: Stopped | None) -> None:
        if stopped is None:
            return
        if getattr(self, "_stop_began", None) is not None:
            self._stop_results.append(stopped)
        elif problem := stopped.problem():
            logger.warning("%s", problem)

    def _set_stop_deadline(self) -> None:
        """Apply the supervisor's grace period, also if that begins after the stop has begun."""
        self._stop_scope.deadline = self._process.deadline()

    def _kill_children(self) -> None:
        for process in reversed([*self._children.by_process]):
            self._children.kill(process)


def stop_report(ref: Ref[Any]) -> StopReport | None:
    """Return how the stop of a supervisor went, or goes.

    The report is read without a message to the supervisor. It is available while the supervisor
    waits for a child that does not end.

        top.stop()
        await top.wait()
        print(stop_report(top))  # /top stopped 2 of 2 children in 0.31 s

    Args:
        ref: the supervisor, running or ended.

    Returns:
        The report. None if the actor is no supervisor, or if its stop has not begun.
    """
    return find_stop_report(ref.process())
