"""Tasks that a handler leaves running on the asyncio loop when the handler returns.

Such a task keeps running and is logged, once for each place in the code.

The task keeps running, as in Node.js and after `loop.run_until_complete`, because a client of the
module may need the task: a reader of a connection, started by the first event. okibi cannot
distinguish a reader from a forgotten `create_task(audit())`, and cancelling a reader would break
the client for the rest of the sandbox's life.

The task is logged because the sandbox may be frozen right after the answer, in the middle of the
task's work. `keep_running` marks a task as intended. A task that must end with its invocation
belongs in an `asyncio.TaskGroup`.
"""

import asyncio
from types import CodeType
from typing import Any, TypeVar

from ...actors import logs

T = TypeVar("T")

logger = logs.logger("okibi")

_kept: set["asyncio.Task[Any]"] = set()


def keep_running(task: "asyncio.Task[T]") -> "asyncio.Task[T]":
    """Mark an asyncio task as intended to run between invocations.

        keep_running(asyncio.create_task(refresh_prices(), name="prices"))

    okibi then logs no warning about the task, and holds a reference until the task ends (asyncio
    holds only a weak one). While the sandbox is frozen, the task is frozen too. The task is
    cancelled when the sandbox ends.

    Args:
        task: the task.

    Returns:
        The task.
    """
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task


class LeftoverTaskLog:
    """Logs each place in the code that leaves a task running, once."""

    def __init__(self) -> None:
        self._logged: set[object] = set()

    def log_new(self, background: "set[asyncio.Task[Any]]") -> None:
        """Log the leftover tasks when a handler has ended and no other handler runs.

        While another handler runs, a task may belong to that handler.

        Args:
            background: tasks of the Handler instances' nurseries and of actors, which are not
                leftovers.
        """
        for task in asyncio.all_tasks():
            if task in _kept or task in background:
                continue
            place, description = _place(task)
            if place not in self._logged:
                self._logged.add(place)
                logger.warning(
                    "a handler returned and left task %r running: %s. The task is frozen with the "
                    "sandbox. Await the task (asyncio.TaskGroup), or mark the task as intended: "
                    "okibi.runtime.keep_running(task)",
                    task.get_name(),
                    description,
                )


def _place(task: "asyncio.Task[Any]") -> tuple[object, str]:
    """Return the place of a task's code, as an identity and as text."""
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    if not isinstance(code, CodeType):
        return str(coroutine.__class__), repr(coroutine)
    return code, f'{coroutine.__qualname__}, File "{code.co_filename}", line {code.co_firstlineno}'
