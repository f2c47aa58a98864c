"""The invocation that the current code runs for: log records are marked with it.

A context variable of the worker's task holds the invocation. Whatever the handler starts inherits
it: trio tasks, asyncio tasks, functions in `trio.to_thread`. Therefore it is right with many events
in flight, and in a task that outlives its event. The official client has one global, which names
the last event. For the actors that a handler calls, the invocation is the caller.

A thread of the user's own (`threading.Thread`, an executor) inherits no context. With one event at
a time it gets the last invocation, as in the official client. With more it gets none.

A context variable that an `async def` sets, such as a tenant, also ends with the event, as with
`asyncio.run` in a plain `def`: the worker's task goes back to its earlier context
(`restore_context`). A plain `def` on the main thread keeps its settings, as in the official client.

The X-Ray trace works the same way. `_X_AMZN_TRACE_ID` in the environment, where tracers look for
the trace, belongs to the whole process. With one event at a time it is set or deleted for each
event, as in the official client. With more it is never touched.
"""

from collections.abc import Mapping
from contextvars import Context, copy_context
from types import MappingProxyType

from trio.lowlevel import cancel_shielded_checkpoint, current_task

from ...actors.calling_event import CallingEvent
from ...actors.process import Process
from ...actors.request import CALLING_EVENT
from ..protocol.runtime_api import TENANT, TRACE, header_text
from .xray_variable import export_trace


class Invocation(CallingEvent):
    """One invocation, for logs and for the actors that its handler calls.

    Args:
        request_id: the Runtime API's id of the invocation.
        headers: the headers of the event, names in lower case.
        process: the worker; None for no worker.
    """

    __slots__ = ("headers", "request_id")

    def __init__(
        self, request_id: str, headers: Mapping[bytes, bytes], process: Process | None
    ) -> None:
        super().__init__(process)
        self.request_id = request_id
        self.headers = headers

    @property
    def path(self) -> str:
        """The path of the worker, and the request id."""
        return f"{super().path}, event {self.request_id}"


NO_INVOCATION = Invocation("", MappingProxyType({}), None)

_new = object.__new__

# Of the whole process. Module globals are the cheapest to set.
_last: Invocation = NO_INVOCATION
_one_at_a_time = True


def set_lanes(lanes: int) -> None:
    """Set how many events may be in flight at once, before the first one."""
    global _last, _one_at_a_time
    _one_at_a_time = lanes == 1
    _last = NO_INVOCATION


def enter_invocation(
    request_id: str, headers: Mapping[bytes, bytes], process: Process | None = None
) -> Invocation:
    """Mark the current task as working for this invocation.

    Args:
        request_id, headers, process: as for Invocation.
    """
    global _last
    # Without a call of `__init__`: each event makes one.
    _last = current = _new(Invocation)
    current.process = process
    current._reason = current.monitors = None
    current.request_id = request_id
    current.headers = headers
    CALLING_EVENT.set(current)
    if _one_at_a_time:
        # For each event: the function may have changed the variable.
        export_trace(headers.get(TRACE))
    return current


async def restore_context(before: Context) -> None:
    """Continue the current task in an earlier copy of its context.

    Does nothing if no context variable has changed. Tokens of `ContextVar.set` from before the call
    cannot be used afterwards. Rejected: a new context for each event, which would cost a pass of
    trio's loop before the handler's first step.

    Args:
        before: a copy of the task's context.
    """
    try:
        if before == copy_context():
            return
    except Exception:
        # A user's value raised in `__eq__`, so a variable was set.
        pass
    current_task().context = before
    # The new context takes effect with the next step.
    await cancel_shielded_checkpoint()


def invocation() -> Invocation:
    """Return the current invocation; without request id and headers for none."""
    found = CALLING_EVENT.get(None)
    if not isinstance(found, Invocation):
        return _last if _one_at_a_time else NO_INVOCATION
    return found


def keep_invocation() -> None:
    """Keep the current invocation in the current context, which may outlive the event."""
    CALLING_EVENT.set(invocation())


def request_id() -> str:
    """Return the request id of the current invocation; empty for none."""
    return invocation().request_id


def tenant_id() -> str | None:
    """Return the tenant of the current invocation, or None."""
    return header_text(invocation().headers, TENANT)


def xray_trace_id() -> str | None:
    """Return the X-Ray trace header of the current invocation, or None.

    Tracers read the header from `_X_AMZN_TRACE_ID` in the environment. With many events in flight
    that variable does not exist; this function works in every task and every `trio.to_thread` of
    the event (Runtime API: `Lambda-Runtime-Trace-Id`).
    """
    return header_text(invocation().headers, TRACE)
