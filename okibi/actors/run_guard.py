"""Errors for using an actor from another thread or another `trio.run`.

trio can wake a task only from its own run. A message from elsewhere would not wake the actor, and
the actor could not wake the sender.
"""

from trio.lowlevel import current_root_task

from .process import Process

_CURE = "use `okibi.actors.from_thread`, a Portal, or `trio.from_thread.run_sync`"


def check_same_run(process: Process, action: str) -> None:
    """Check that the current task and the actor belong to the same `trio.run`.

    A dead actor belongs to none, and may be used from anywhere.

    Raises:
        RuntimeError: they do not.
    """
    try:
        here = current_root_task()
    except RuntimeError as no_run:
        raise wrong_run_error(process, action) from no_run
    if process.root is not here and process.root is not None:
        raise wrong_run_error(process, action)


def wrong_run_error(process: Process, action: str) -> RuntimeError:
    """Build the error for an action in another thread or another run."""
    return RuntimeError(
        f"{process.path}: {action} is impossible from another thread or `trio.run`: {_CURE}"
    )


def outside_run_error(action: str) -> RuntimeError:
    """Build the error for an action in a thread that runs no trio."""
    return RuntimeError(f"{action} is possible only inside `trio.run`: {_CURE}")
