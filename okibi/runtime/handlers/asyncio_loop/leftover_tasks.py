"""What handlers leave running on the asyncio loop when they return.

The rule: it goes on, and is told of. It goes on, as in Node.js and as after
`loop.run_until_complete`, since what a module keeps across invocations needs it: a client's
reader, a pool's healer, started by whichever event came first. Nothing tells such a task from a
forgotten `create_task(audit())`, and to cancel a reader would leave a client that is broken for
good in a sandbox that stays warm. But behind an answer the sandbox may freeze at once, with the
task in the middle of something: so one that nobody has said to keep is told of, once for each
place in the code. What must end with its invocation belongs in an `asyncio.TaskGroup`.
"""

import asyncio
from types import CodeType
from typing import Any, TypeVar

from ....actors import logs

T = TypeVar("T")

logger = logs.logger("okibi")

_kept: set["asyncio.Task[Any]"] = set()


def keep_running(task: "asyncio.Task[T]") -> "asyncio.Task[T]":
    """Say that a task is meant to go on between invocations.

    asyncio itself holds a task by a weak reference only; this holds it until it has ended, and no
    log line tells of it as left behind.

        keep_running(asyncio.create_task(refresh_prices(), name="prices"))

    Between two invocations the sandbox is frozen, and the task with it. It is cancelled when the
    sandbox ends.
    """
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task


class Left:
    """Tells of each place in the code that has left a task behind, once."""

    def __init__(self) -> None:
        self._told: set[object] = set()

    def look(self, beside: "set[asyncio.Task[Any] | None]") -> None:
        """Look at what is left when a handler has ended, and no other runs.

        (While others do, nobody knows whose a task is.)

        Args:
            beside: what runs beside the handlers, not left by any.
        """
        for task in asyncio.all_tasks():
            if task in _kept or task in beside:
                continue
            place, words = _place(task)
            if place not in self._told:
                self._told.add(place)
                logger.warning(
                    "a handler has returned and left task %r running: %s. It goes on while the "
                    "sandbox is awake. Await it (asyncio.TaskGroup), or say that it is meant to "
                    "go on: okibi.runtime.keep_running(task)",
                    task.get_name(),
                    words,
                )


def _place(task: "asyncio.Task[Any]") -> tuple[object, str]:
    """Where the code of a task is, as something to know it by and as words."""
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    if not isinstance(code, CodeType):
        return str(coroutine.__class__), repr(coroutine)
    return code, f'{coroutine.__qualname__}, File "{code.co_filename}", line {code.co_firstlineno}'
