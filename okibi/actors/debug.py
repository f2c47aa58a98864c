"""Inspect and control a running server (OTP: `sys`).

    get_state       its public fields, as values
    replace_state   change its public fields between two messages
    get_status      its state, mailbox and debug functions as texts, redacted by `format_status`
    suspend         handle only system messages until `resume`
    trace           print each message, reply and crash to standard output
    log             keep the last n events
    statistics      count messages and replies

Each function takes a Ref or a Name of any `Server`, a supervisor included. The server needs no code
for them.

`get_status`, `trace` and `log` show values as crash reports do, because their output goes to logs:
types and lengths, or values with `OKIBI_CRASH_REPORTS=full` (`actors.status`). `get_state` returns
the values themselves.

>>> import attrs, trio
>>> from okibi.actors import Server, debug, start
>>> @attrs.define(eq=False)
... class Visits(Server):
...     seen: dict[str, int] = attrs.Factory(dict)
...     async def visit(self, name: str) -> int:
...         self.seen[name] = self.seen.get(name, 0) + 1
...         return self.seen[name]
>>> async def main():
...     async with trio.open_nursery() as nursery:
...         visits = await start(nursery, Visits, path="/visits")
...         await debug.trace(visits)
...         await visits.call(Visits.visit, "bob")
...         await debug.trace(visits, on=False)
...         print(await debug.get_state(visits))
...         visits.stop()
>>> trio.run(main)
/visits got visit(str[3])
/visits replied int to visit(str[3])
{'seen': {'bob': 1}}

The server's loop answers between two messages, before any data that waits. While a method of the
server runs, the question waits: limit the wait with `trio.fail_after`. `okibi.supervisors.snapshot`
reads a server without asking its loop. A server without debug functions pays nothing for this
module. A system message neither ends nor restarts the wait of `timeout_after` (OTP restarts it).

All functions raise:
    ActorExited: the server has ended, is ending, or ends before it answers.
    NoProcess: no actor is registered under the Name.
    CallCycle: the server is the calling actor, or waits for it.
    RuntimeError: the server lives in another run of trio.
    TypeError: the actor is not a Server, or its `run` does not run the loop of a Server.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import attrs
import trio
from trio.lowlevel import checkpoint_if_cancelled, current_task

from .debug_loop import DebugState, Statistics, serve_debugged, take_system_message
from .exits import NO_PROCESS, ActorExited, StartError
from .frames import runs
from .mailbox_statistics import MailboxStatistics
from .process import CURRENT, Process, check_same_run
from .ref import Address
from .request import Request
from .server import Server
from .status import Event, Status, fields_of, show
from .system_messages import SystemMessage
from .wait_cycles import refuse_cycle

__all__ = [
    "Event",
    "ServerStatus",
    "Statistics",
    "Status",
    "get_state",
    "get_status",
    "log",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "trace",
]

T = TypeVar("T")


@attrs.frozen
class ServerStatus:
    """The status of a server, redacted by its `format_status` (OTP: `sys:get_status`).

    Attributes:
        path: the server's path.
        incarnation: the number of the start, from 1.
        actor: the name of the server's class.
        suspended: whether the server is suspended.
        tracing: whether a trace is on.
        age: seconds since the start.
        state: the public fields of the server as short texts.
        mailbox: the counts of the mailbox.
        statistics: the counts of `statistics`; None if off.
        log: the last events, if a log is on.
    """

    path: str
    incarnation: int
    actor: str
    suspended: bool
    tracing: bool
    age: float
    state: Mapping[str, str]
    mailbox: MailboxStatistics
    statistics: Statistics | None
    log: tuple[Event, ...]


async def get_state(address: Address[Any]) -> dict[str, Any]:
    """Get the public fields of a server by name (OTP: `sys:get_state/1`).

    The values are neither copied nor redacted. The server goes on to use and change them.

    Args:
        address: a Ref or a Name.
    """
    return await _ask(address, "get_state", fields_of)


async def replace_state(
    address: Address[Any], change: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    """Change public fields of a server (OTP: `sys:replace_state/2`).

    To repair a running server by hand, for example a limit that is too low:

        await debug.replace_state(POOL, lambda state: {"size": state["size"] * 2})

    Args:
        address: a Ref or a Name.
        change: a plain function that gets the fields by name and returns the changed fields. It
            runs in the server's task. Return new values: a value changed in place stays changed,
            even if `change` raises.

    Returns:
        All public fields after the change.

    Raises:
        AttributeError: the server has no public field of a returned name.
        Exception: any error of `change`, of a validator or of a frozen class. The fields then keep
            their values.
    """
    return await _ask(address, "replace_state", lambda server: _replace(server, change))


async def get_status(address: Address[Any]) -> ServerStatus:
    """Get the status of a server, redacted for display (OTP: `sys:get_status/1`).

    Args:
        address: a Ref or a Name.
    """
    return await _ask(address, "get_status", _status)


async def suspend(address: Address[Any]) -> None:
    """Make a server handle only system messages until `resume` (OTP: `sys:suspend/1`).

    Calls, casts, timers and Downs wait. The functions of this module are still answered. A stop
    request ends the server at once, even if it drains: waiting messages are lost, and their callers
    get ActorExited.

    Args:
        address: a Ref or a Name.
    """
    await _ask(address, "suspend", _suspend)


async def resume(address: Address[Any]) -> None:
    """Resume a suspended server; no effect on others (OTP: `sys:resume/1`).

    Args:
        address: a Ref or a Name.
    """
    await _ask(address, "resume", lambda server: _set(server, suspended=False))


async def trace(address: Address[Any], *, on: bool = True) -> None:
    """Print the events of a server to standard output, one line each (OTP: `sys:trace/2`).

    Events are: a message received (with its sender), a reply sent, put off or refused, an exit, a
    crash. `format_status` of the server redacts them.

    Args:
        address: a Ref or a Name.
        on: False ends the trace.
    """
    await _ask(address, "trace", lambda server: _set(server, tracing=on))


async def log(address: Address[Any], most: int | None = None) -> tuple[Event, ...]:
    """Get the last events of a server, and set how many it keeps (OTP: `sys:log/2`).

    A crash report contains them too.

    Args:
        address: a Ref or a Name.
        most: the number of events to keep from now on; 0 ends the log, None (the default)
            changes nothing.

    Returns:
        The events kept so far, oldest first; empty if no log was on.

    Raises:
        ValueError: `most` is less than 0.
    """
    if most is not None and most < 0:
        raise ValueError(f"most must be >= 0, got {most}")
    return await _ask(address, "log", lambda server: _log(server, most))


async def statistics(address: Address[Any], *, on: bool | None = None) -> Statistics | None:
    """Get the counts of a server, and start or stop counting (OTP: `sys:statistics/2`).

    Args:
        address: a Ref or a Name.
        on: True starts from zero, False stops, None (the default) changes nothing.

    Returns:
        The counts before this call; None if counting was off.
    """
    return await _ask(address, "statistics", lambda server: _statistics(server, on))


# -- in the server's loop


def _debug_of(server: Server) -> DebugState:
    process = server._process
    debug = process.work.debug
    if not isinstance(debug, DebugState):
        debug = DebugState(process)
        process.work.set_debug(debug)
    return debug


def _suspend(server: Server) -> None:
    ending_reason = server._process.life.ending_reason
    if ending_reason is not None:
        # The server drains and will end. Suspended, it would never finish draining.
        raise ActorExited(server._process.path, ending_reason, "suspend")
    _set(server, suspended=True)


def _set(server: Server, **switches: bool) -> None:
    debug = _debug_of(server)
    for name, on in switches.items():
        setattr(debug, name, on)


def _log(server: Server, most: int | None) -> tuple[Event, ...]:
    debug = _debug_of(server)
    events = debug.events
    if most is not None:
        debug.keep_events(most)
    return events


def _statistics(server: Server, on: bool | None) -> Statistics | None:
    debug = _debug_of(server)
    counted = debug.statistics
    if on is not None:
        debug.statistics = Statistics(trio.current_time()) if on else None
    return counted


def _status(server: Server) -> ServerStatus:
    process, debug = server._process, _debug_of(server)
    shown = show(server, log=debug.events)
    return ServerStatus(
        process.path,
        process.incarnation,
        type(server).__name__,
        debug.suspended,
        debug.tracing,
        trio.current_time() - process.started_at,
        shown["state"],
        process.mailbox.statistics(),
        debug.statistics,
        shown["log"],
    )


def _replace(
    server: Server, change: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    before = fields_of(server)
    after = dict(change(dict(before)))
    unknown = [name for name in after if name not in before]
    if unknown:
        raise AttributeError(f"{server._process.path} has no public field {unknown[0]!r}")
    try:
        for name, value in after.items():
            if value is not before[name]:
                setattr(server, name, value)
    except BaseException:
        for name in after:
            # Bypasses validators: the old value was valid. The `state` of a StateMachine, which
            # cannot be set, is unchanged.
            with contextlib.suppress(AttributeError):
                object.__setattr__(server, name, before[name])
        raise
    return fields_of(server)


# -- in the asking task


async def _ask(address: Address[Any], question: str, act: Callable[[Server], T]) -> T:
    await checkpoint_if_cancelled()
    process = address.process()
    check_same_run(process, question)
    caller, task = CURRENT.get(), current_task()
    request = Request(question, (), {}, caller, True, task)
    message = SystemMessage(request, act, serve_debugged)
    if caller is None or not caller.waits.held_by(task):
        return cast("T", await _answer(process, message))
    refuse_cycle(caller.waits, process.waits, task, request)
    caller.waits.begin(task, process.waits, request)
    try:
        return cast("T", await _answer(process, message))
    finally:
        caller.waits.end(task, process.waits)


async def _answer(process: Process, message: SystemMessage) -> object:
    request = message.request
    with contextlib.suppress(StartError):
        await process.wait_started()
    ending_reason = process.life.ending_reason
    if ending_reason is not None:
        raise ActorExited(process.path, ending_reason, request.method)
    if not runs(process.waits.task, Server.run):
        name = type(process.actor).__name__
        raise TypeError(
            f"{process.path} ({name}) cannot answer {request.method}: "
            "it does not run the loop of a Server"
        )
    process.watch(message, lambda process: _fail(process, request))
    process.mailbox.post(message)
    if isinstance(process.work.debug, DebugState):
        process.work.debug.suspended_loop.unpark_all()
    try:
        return await request.reply()
    finally:
        process.unwatch(message)
        take_system_message(process.mailbox.control, message)


def _fail(process: Process, request: Request) -> None:
    request.fail(ActorExited(process.path, process.life.reason or NO_PROCESS, request.method))
