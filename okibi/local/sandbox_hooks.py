"""What the owner of a sandbox may want to hear of it."""

from collections.abc import Callable

import attrs

from .hooks import ignore
from .invocation import Invocation
from .outcomes import InvocationOutcome

__all__ = ["SandboxHooks"]


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

    on_idle: Callable[[], None] = ignore
    on_end: Callable[[Invocation, float | None], None] = ignore
    on_init_failed: Callable[[InvocationOutcome, float], None] = ignore
    on_exit: Callable[[], None] = ignore
