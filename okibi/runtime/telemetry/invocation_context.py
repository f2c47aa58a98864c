"""Which invocation a piece of code runs for: what a log line is marked with.

A context variable of the worker's task says it. Whatever the handler starts inherits it: trio's
tasks, asyncio's, a function in `trio.to_thread`. So it is right with many events in flight, and
in a task that goes on after its event was answered, where the official client's one global names
whichever event came last.

A thread of the user's own (`threading.Thread`, an executor) inherits no context. While only one
event can be in flight it is marked with that one, as in the official client; with more it could
only be guessed, and is not marked.

What an `async def` sets of its own, a tenant say, is of its event too, as `asyncio.run` in a plain
`def` would have it: its worker's task goes on without it (`leave_behind`). A plain `def` on the
main thread keeps it, as in the official client.

The X-Ray trace is told likewise. `_X_AMZN_TRACE_ID` in the environment, where tracers look for it,
is the whole process's: it is set, or deleted, at each event as in the official client while only
one can be in flight, and never touched with more.
"""

from collections.abc import Mapping
from contextvars import Context, ContextVar, copy_context
from types import MappingProxyType

from trio.lowlevel import cancel_shielded_checkpoint, current_task

from ..protocol.runtime_api import TENANT, TRACE, header_text
from .xray_variable import set_trace

Invocation = tuple[str, Mapping[bytes, bytes]]

NOBODY: Invocation = ("", MappingProxyType({}))

_invocation: ContextVar[Invocation] = ContextVar("okibi_invocation")
# Of the whole process; in the module, where to set a name costs least.
_last: Invocation = NOBODY
_one_at_a_time = True


def expect(lanes: int) -> None:
    """Say how many events may be in flight at once."""
    global _last, _one_at_a_time
    _one_at_a_time = lanes == 1
    _last = NOBODY


def enter(request_id: str, headers: Mapping[bytes, bytes]) -> None:
    """From here on the running task works for this invocation."""
    global _last
    _last = here = (request_id, headers)
    _invocation.set(here)
    if _one_at_a_time:
        # Each time: the function may have set it itself.
        set_trace(headers.get(TRACE))


async def leave_behind(before: Context) -> None:
    """Have the running task go on as it was, in another context: a token that was taken before is
    of no use there.

    Rejected: a context for each event, which trio would have to be given before the handler's first
    step: a pass of its loop more.

    Args:
        before: a copy of its context, from when nothing had been set.
    """
    try:
        if before == copy_context():
            return
    except Exception:
        # What was set is a value of the user's, whose `__eq__` has raised: so it was set.
        pass
    current_task().context = before
    # What is to be without it is the next step.
    await cancel_shielded_checkpoint()


def invocation() -> Invocation:
    """The request id and the headers of the invocation this code runs for; empty for none."""
    here = _invocation.get(None)
    if here is None:
        return _last if _one_at_a_time else NOBODY
    return here


def request_id() -> str:
    """The invocation's id; empty outside of any."""
    return invocation()[0]


def tenant_id() -> str | None:
    """The tenant the invocation is for; None without one."""
    return header_text(invocation()[1], TENANT)


def xray_trace_id() -> str | None:
    """The X-Ray trace header of the invocation this code runs for; None without one.

    A tracer reads it from `_X_AMZN_TRACE_ID` in the environment. With many events in flight there
    is no such variable, and this tells it in any task and any `trio.to_thread` of the event's own.
    """
    return header_text(invocation()[1], TRACE)
