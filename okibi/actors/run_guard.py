"""Where an actor cannot be asked from: another thread, or another run of trio's in one.

Trio wakes a task in its own run only. Asked from elsewhere, an actor would not hear of it, or it
would have to wake there who waits for its answer or its end: that is an error in the actor.
"""

from trio.lowlevel import current_root_task

from .process import Process

_HOW = "use `okibi.actors.from_thread`, a Portal, or `trio.from_thread.run_sync` there"


def refuse_elsewhere(process: Process, verb: str) -> None:
    """See that a process is asked in its own run.

    Raises:
        RuntimeError: it is not.
    """
    try:
        here = current_root_task()
    except RuntimeError as no_run:
        raise elsewhere(process, verb) from no_run
    # One that is dead is in no run any more.
    if process.root is not here and process.root is not None:
        raise elsewhere(process, verb)


def elsewhere(process: Process, verb: str) -> RuntimeError:
    """The error of what is asked there."""
    return RuntimeError(f"{process.path}: {verb} outside its run of trio; {_HOW}")


def not_here(what: str) -> RuntimeError:
    """The error of what is looked for where there is no run."""
    return RuntimeError(f"{what} inside a run of trio only; {_HOW}")
