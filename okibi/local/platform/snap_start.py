# The rules for a runtime with SnapStart (Runtime API; rapid's core/states.go).
#
#    Started --restore/next--> RestoreReady --release--> Restoring --next--> Ready
#                                                            |
#                                                      restore/error or init/error
#                                                            v
#                                                       RestoreError
#
# RestoreReady is the snapshot: the process is stopped until an event waits. The restore then cuts
# every connection but the one that asked for it, because a runtime must not rely on them. The
# extensions stay registered, and may ask for their next event again.
#
# A runtime that calls /next first has no restore phase, as with an image whose label allows that.
"""The platform of a runtime with SnapStart, without I/O."""

import math
from collections.abc import Callable

import attrs

from .classic_mode import ClassicPlatform
from .hooks import ignore
from .invocation import Invocation
from .journal import EntryKind
from .outcomes import InvocationOutcome, function_error_type, restore_failed, restore_timed_out
from .platform import PendingNext
from .states import ApiError, RuntimeState, RuntimeTrigger, transition

# Seconds from the answer to /restore/next until the runtime asks for an event.
RESTORE_LIMIT = 10.0


@attrs.define(eq=False)
class SnapStartPlatform(ClassicPlatform):
    """A classic platform that takes a snapshot after the init phase (see `Platform`)."""

    # When the restore phase began; NaN outside of it.
    restore_began_at: float = attrs.field(default=math.nan, init=False)
    _answer_restore: Callable[[], None] = attrs.field(default=ignore, init=False)

    @property
    def restoring(self) -> bool:
        """Whether the restore phase has begun and not ended."""
        return not math.isnan(self.restore_began_at)

    def restore_next(self, answer: Callable[[], None]) -> ApiError | None:
        """GET /restore/next: return an error, or call `answer` after the restore."""
        state = transition(self.state, RuntimeTrigger.RESTORE_NEXT)
        if isinstance(state, ApiError):
            return self.refuse(state)
        self.state, self._answer_restore = state, answer
        self.extensions.close_registration()
        self.hand_out()
        return None

    def accept_restore_error(self, error_type: str) -> ApiError | None:
        """POST /restore/error: the error answers the waiting invoke.

        Args:
            error_type: `Lambda-Runtime-Function-Error-Type` or "".
        """
        state = transition(self.state, RuntimeTrigger.RESTORE_ERROR)
        if isinstance(state, ApiError):
            return self.refuse(state)
        self.state = state
        self.record(EntryKind.RESTORE_ERROR, detail=function_error_type(error_type))
        self._fail_restore(restore_failed())
        return None

    def expire_restore(self) -> None:
        """Fail the restore: the phase has lasted too long."""
        self._fail_restore(restore_timed_out())

    def hand_out(self) -> None:
        if self.state is not RuntimeState.RESTORE_READY:
            super().hand_out()
        elif self.extensions.ready and not self.closing:
            self._take_snapshot()
            if self.offered is not None:
                self._restore()

    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        if self.restoring:
            self._end_restore(None)
        return super().next(waiter)

    def accept_init_error(self, body: bytes, error_type: str) -> ApiError | None:
        if self.restoring:
            return self.accept_restore_error(error_type)
        return super().accept_init_error(body, error_type)

    def end(self, outcome: Callable[[str], InvocationOutcome] | None = None) -> None:
        super().end(outcome)
        self.restore_began_at = math.nan

    def _take_snapshot(self) -> None:
        if not self.initialised:
            self.end_init_phase()
            self.hooks.on_snapshot()

    def _restore(self) -> None:
        state = transition(self.state, RuntimeTrigger.RELEASE)
        assert isinstance(state, RuntimeState)  # RestoreReady has a release
        self.state, self.restore_began_at = state, self.clock()
        self.record(EntryKind.RESTORED)
        self.extensions.lose_requests()
        self.hooks.on_restore()
        self._answer_restore()

    def _fail_restore(self, error: InvocationOutcome) -> None:
        self._end_restore(error)
        if self.offered is not None:
            self.settle(self.offered, error)

    def _end_restore(self, error: InvocationOutcome | None) -> None:
        took, self.restore_began_at = self.clock() - self.restore_began_at, math.nan
        self.hooks.on_restored(took, error)
