"""What okibi reads of CPython that no documentation promises, each with what happens without it.

names of opcodes, and a code's exception table    an exception may skip a `with` anywhere, so the
                                                  alarm raises none in an `async def`: one that
                                                  holds the loop costs the process
asyncio's private names                           see each function
"""

import dis
import sys
from contextvars import Context
from types import CodeType, FrameType
from typing import Any

_GET_AWAITABLE = dis.opmap.get("GET_AWAITABLE")
_JUMP_BACKWARD = dis.opmap.get("JUMP_BACKWARD")
# Python 3.14's; others have none.
_LOAD_SPECIAL = dis.opmap.get("LOAD_SPECIAL")


def may_skip_cleanup(frame: FrameType) -> bool:
    """Whether an exception that is raised in a frame just now may skip a `with` around it.

    An exception does so where a coroutine is made and not yet awaited: `async with` is left by one,
    its `__aexit__`, and would leave a nursery open for ever. Also where Python 3.14 enters a
    `with`, by a call that may be interrupted at its end, and at the jump back of a `while` with a
    condition: 3.12 and 3.13 forget to say that it is inside of what is around the loop.

    Args:
        frame: it runs; a signal has interrupted it.
    """
    if _GET_AWAITABLE is None or _JUMP_BACKWARD is None:
        return True
    code, at = frame.f_code.co_code, frame.f_lasti
    if code[at - 2] == _LOAD_SPECIAL:
        return True
    if code[at] == _JUMP_BACKWARD:
        return _differ(frame.f_code, at, at - 2)
    at += 2
    # What a call keeps for itself stands behind it, as zeroes.
    while at < len(code) and code[at] == 0:
        at += 2
    return at < len(code) and code[at] == _GET_AWAITABLE


def _differ(code: CodeType, one: int, other: int) -> bool:
    """Whether exceptions of two instructions go on in different places, or it is not known."""
    entries: list[Any] | None = getattr(dis.Bytecode(code), "exception_entries", None)
    if entries is None:
        return True
    targets = [next((e.target for e in entries if e.start <= n < e.end), -1) for n in (one, other)]
    return targets[0] != targets[1]


def mark_stopped(loop: Any) -> None:
    """Have a loop of asyncio's not run: interrupted as it began or ended, it would be said to run
    for ever, and no other could run in this thread. Without the private names that is what happens.
    """
    asyncio: Any = sys.modules["asyncio"]
    if hasattr(asyncio, "_set_running_loop"):
        asyncio._set_running_loop(None)
    if isinstance(loop, asyncio.BaseEventLoop):
        loop._thread_id = None
    # From Python 3.13 on; there a generator's hooks can be put back, too.
    if hasattr(loop, "_run_forever_cleanup"):
        loop._run_forever_cleanup()


def has_work(loop: Any) -> bool:
    """Whether a loop of asyncio's has something to do at once; True if that is not known, as of one
    that is none of the standard library's.
    """
    return bool(getattr(loop, "_ready", True)) or bool(getattr(loop, "_stopping", True))


def context_of(task: Any) -> Context | None:
    """The context that a task of asyncio's runs in; None if it is not known."""
    if hasattr(task, "get_context"):
        context: Context = task.get_context()
        return context
    # Python 3.11 does not tell it, but what is to wake the task does: what it waits for, or the
    # loop, whose turn it is.
    waits_for = getattr(task, "_fut_waiter", None)
    wakes = [*(getattr(waits_for, "_callbacks", None) or ())]
    ready = getattr(task.get_loop(), "_ready", ())
    wakes += [(each._callback, each._context) for each in ready]
    return next((c for call, c in wakes if getattr(call, "__self__", None) is task), None)
