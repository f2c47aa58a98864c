"""An actor that others live under: what every kind of supervisor is, whatever it decides.

Its children's tasks run in a nursery of its own, each shielded: of an outer cancellation only the
supervisor hears, and it takes its children down in its order. Their ends reach it as messages,
never as exceptions.

However it ends, it is after all of its children: it stops them, each within its own grace; when
its own grace is over it kills those that are left, all at once; and then it waits.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import trio

from ..actors import MailboxPolicy, Ref, Server, StartError, WhenFull, logs
from ..actors.exits import is_a, reason_for
from ..actors.hook_errors import awaited
from .child_place import Children, Place, report_of
from .stop_reports import Stopped, StopReport

logger = logs.logger("okibi.supervisors")


class Parent(Server):
    """A server with children: `init` starts the first of them, `stop_children` ends them all."""

    __slots__ = ("_children", "_stop_began", "_stop_ended", "_stop_results", "_stop_scope")

    # As in OTP nobody is turned away: what asks a supervisor is rare, and must not be lost.
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1_000_000, WhenFull.REJECT)

    _children: Children
    _stop_scope: trio.CancelScope
    _stop_results: list[Stopped]
    _stop_began: float
    _stop_ended: float

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A property's, or a field's, is each instance's own.
        if getattr(cls.mailbox, "when_full", None) is WhenFull.DROP_OLDEST:
            # Among those would be its own word to start a child again, and that would never live.
            raise TypeError(f"{cls.__name__}: a supervisor's mailbox drops nothing: say REJECT")

    # -- to override

    @property
    def places(self) -> Sequence[Place]:
        """Its children's places in start order; to look at, not to change."""
        raise NotImplementedError(f"{type(self).__name__} needs `places`")

    def children(self, nursery: trio.Nursery) -> Children:
        """What its children live in."""
        return Children(self._process, nursery)

    async def stop_children(self) -> None:
        """Stop them all in its own order, each with `stop`; cancelled when its grace is over."""
        raise NotImplementedError(f"{type(self).__name__} needs `stop_children`")

    # -- its life

    async def live(self, started: Callable[[], None]) -> None:
        # Raised again outside the nursery, which would wrap them in a group.
        errors: list[BaseException] = []
        self._stop_scope = trio.CancelScope()
        self._stop_results = []
        self._process.on_kill = self._kill_children
        self._process.on_grace = self._set_stop_deadline
        async with trio.open_nursery() as nursery:
            self._children = self.children(nursery)
            try:
                await awaited(self.init(), self, "init")
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
            # Their tracebacks hold this frame: they would wait for the garbage collector.
            errors.clear()

    def _was_told(self, crash: BaseException) -> bool:
        # By the child, in a report of its own. (OTP: `{shutdown, {failed_to_start_child, ...}}`,
        # for which there is no crash report at all.)
        return is_a(crash, StartError)

    async def stop(self, place: Place) -> None:
        """Stop one child and wait, or call its next start off; note how it went."""
        self._record_stop(await self._children.stop(place))

    def stop_report(self) -> StopReport | None:
        """What its stop has come to, up to now; None before it has begun."""
        began: float | None = getattr(self, "_stop_began", None)
        if began is None:
            return None
        living = [
            self._children.report_stop(at, who) for who, at in self._children.by_process.items()
        ]
        until = getattr(self, "_stop_ended", None)
        seconds = (trio.current_time() if until is None else until) - began
        return StopReport(self.path, seconds, (*self._stop_results, *living))

    def _refuse_messages(self, error: BaseException | None = None) -> None:
        """Who asks it for something now is told at once, not when the last child has ended.

        A child that asks its supervisor in its `terminate` would else wait for itself.
        """
        process = self._process
        if process.doom is None:
            process.doom = reason_for(error, killed=False, asked=None)

    async def _stop_all(self) -> None:
        """In its order, each within its grace; when this supervisor's own is over, at once."""
        self._stop_began = trio.current_time()
        self._stop_scope.shield = True
        self._set_stop_deadline()
        try:
            with self._stop_scope:
                await self.stop_children()
        finally:
            # Also when an overriding `stop_children` fails: its nursery would wait for ever.
            with trio.CancelScope(shield=True):
                self._kill_children()
                for place in reversed([*self._children.by_process.values()]):
                    self._record_stop(await self._children.wait_ended(place))
        self._stop_ended = trio.current_time()
        self._process.legacy = self.stop_report()
        if any(stopped.problem() for stopped in self._stop_results):
            logger.warning("%s", self.stop_report())

    def _record_stop(self, stopped: Stopped | None) -> None:
        if stopped is None:
            return
        if getattr(self, "_stop_began", None) is not None:
            self._stop_results.append(stopped)
        elif problem := stopped.problem():
            logger.warning("%s", problem)

    def _set_stop_deadline(self) -> None:
        """Its own grace may begin when it stops already: having given up, or for a restart."""
        self._stop_scope.deadline = self._process.deadline()

    def _kill_children(self) -> None:
        for process in reversed([*self._children.by_process]):
            self._children.kill(process)


def stop_report(ref: Ref[Any]) -> StopReport | None:
    """How a supervisor's stop went, or goes: who ended, how long it took, who had to be killed.

    Read without asking it, so also while it waits for a child that does not die.

    Returns:
        The report; None of an actor that is no supervisor, or of one that has not begun to stop.
    """
    return report_of(ref.process())
