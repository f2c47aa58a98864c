"""Functions of the owner that a local Lambda calls. They must neither block nor raise."""

from collections.abc import Callable

import attrs

from .invocation import Invocation
from .outcomes import InvocationOutcome


def ignore(*_: object) -> None:
    """Do nothing."""


@attrs.frozen
class RuntimeApiHooks:
    """Functions that a Runtime API calls. They must neither block nor raise.

    Args:
        on_begin: called with each invocation that is handed out.
        on_end: called with each invocation that has ended, with its outcome.
        on_init_error: called with the error of an /init/error.
        on_process_needed: called when an invocation waits and no runtime has come.
        on_idle: called when runtime and extensions wait and there is no event: the process may be
            frozen. In multi-concurrency, when a slot waits.
        on_kill: called when the sandbox must end: an invocation timed out, or an invoker left. A
            sandbox with an extension gets SIGTERM first. `RuntimeApi.sandbox_ended` must follow.
        on_snapshot: called when the snapshot is taken: the process may be stopped.
        on_restore: called when the restore begins: the process must continue.
        on_restored: called with the seconds that the restore took, and its error or None.
    """

    on_begin: Callable[[Invocation], None] = ignore
    on_end: Callable[[Invocation], None] = ignore
    on_init_error: Callable[[InvocationOutcome], None] = ignore
    on_process_needed: Callable[[], None] = ignore
    on_idle: Callable[[], None] = ignore
    on_kill: Callable[[], None] = ignore
    on_snapshot: Callable[[], None] = ignore
    on_restore: Callable[[], None] = ignore
    on_restored: Callable[[float, InvocationOutcome | None], None] = ignore


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
