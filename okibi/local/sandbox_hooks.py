"""What the owner of a sandbox may want to hear of it."""

from collections.abc import Callable

import attrs

from .invocation import Invocation
from .outcomes import InvocationOutcome

__all__ = ["SandboxHooks"]


def _nothing() -> None:
    pass


def _ignore(_: Invocation, __: float | None) -> None:
    pass


def _ignore_error(_: InvocationOutcome, __: float) -> None:
    pass


@attrs.frozen
class SandboxHooks:
    """Functions that a sandbox calls. They must neither block nor raise.

    Args:
        on_idle: called when the runtime waits and there is no event; in multi-concurrency, when a
            slot waits.
        on_end: called with each invocation that has ended, and the peak memory of the process in
            MB, or None.
        on_init_failed: called with the error of a failed init phase, and its milliseconds.
        on_exit: called when a process is dead, and its invocations have their outcome.
    """

    on_idle: Callable[[], None] = _nothing
    on_end: Callable[[Invocation, float | None], None] = _ignore
    on_init_failed: Callable[[InvocationOutcome, float], None] = _ignore_error
    on_exit: Callable[[], None] = _nothing
