"""Looking into a living server: what it holds, what it does, and making it wait (OTP: `sys`).

    get_state       its public fields, as they are
    replace_state   put other values into them, between two messages
    get_status      how it stands, as texts, redacted by its own `format_status`
    suspend         serve nothing but this room's questions, until `resume`
    trace           print what it does to standard output
    log             keep the last n things it did
    statistics      count its messages and replies

Each works on any `Server`, a supervisor included, by Ref or by Name, and needs nothing of it.

What `get_status`, `trace` and `log` show goes to logs, so it follows the rule of crash reports:
types and lengths, and values with `OKIBI_CRASH_REPORTS=full` (`actors.status`). `get_state` gives
code the values themselves.

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

They are system messages: the server's loop answers them itself, between two messages, before any
data that waits. So they wait while a method of it runs, as long as that takes: limit it with
`trio.fail_after`; `okibi.supervisors.snapshot` looks without asking. A server that is not looked
into pays nothing for this room, and a system message does not end the wait of `timeout_after`, nor
begin it anew (OTP begins it anew).

All of them raise:
    ActorExited: it has ended, is ending, or ends before it answers.
    NoProcess: nobody bears the name.
    CallCycle: it waits for the actor that asks, or is that actor.
    RuntimeError: it lives in another run of trio's.
    TypeError: it is no server, or one whose own `run` does without a server's loop.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import attrs
import trio
from trio.lowlevel import checkpoint_if_cancelled, current_task

from .debug_loop import Debug, Statistics, attend, take
from .exits import NO_PROCESS, ActorExited, StartError
from .frames import runs
from .mailbox import MailboxStatistics
from .process import CURRENT, Process
from .ref import Address
from .request import Request
from .run_guard import refuse_elsewhere
from .server import Server
from .status import Event, Status, fields_of, show
from .system import SystemMessage
from .wait_cycles import refuse_circle

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
    """How a server stands, as its own `format_status` lets it be shown (OTP: `sys:get_status`).

    Attributes:
        path: which server.
        incarnation: which start of that place.
        actor: its class's name.
        suspended: whether it serves nothing at present.
        tracing: whether what it does is printed.
        age: seconds since it was started.
        state: its public fields, cut short.
        mailbox: what waits for it.
        statistics: what was counted, None if nobody counts.
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
    """A server's public fields by name (OTP: `sys:get_state/1`).

    The values themselves, neither copied nor redacted: they are the server's own, to look at
    between two messages, and may have changed when somebody else has had a turn.
    """
    return await _ask(address, "get_state", fields_of)


async def replace_state(
    address: Address[Any], change: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    """Put other values into a server's public fields (OTP: `sys:replace_state/2`).

    For mending a living server by hand: a counter that went wrong, a limit that is too low.

        await debug.replace_state(POOL, lambda state: {"size": state["size"] * 2})

    Args:
        address: which server.
        change: is given the fields by name and returns those that are to change. It runs in the
            server's task, and is not `async`. A value that it changes in place is changed, whatever
            it then raises: return a new one.

    Returns:
        All public fields, as they are then.

    Raises:
        Whatever `change` raised, or the server's class (a frozen one, a validator), and those
        above. The fields then hold what they held before.
        AttributeError: it has no public field of that name.
    """
    return await _ask(address, "replace_state", lambda server: _replace(server, change))


async def get_status(address: Address[Any]) -> ServerStatus:
    """How a server stands, to be shown to people (OTP: `sys:get_status/1`)."""
    return await _ask(address, "get_status", _status)


async def suspend(address: Address[Any]) -> None:
    """Have a server serve nothing, until `resume` (OTP: `sys:suspend/1`).

    Calls queue up, and time out as their callers say; casts are served after `resume`; timers and
    Downs wait as well. This room's functions are still answered. Asked to stop it ends at once,
    also if it drains: what waits is lost, and its callers are told by ActorExited.
    """
    await _ask(address, "suspend", _suspend)


async def resume(address: Address[Any]) -> None:
    """Have a suspended server go on; others do anyway (OTP: `sys:resume/1`)."""
    await _ask(address, "resume", lambda server: _set(server, suspended=False))


async def trace(address: Address[Any], *, on: bool = True) -> None:
    """Print to standard output what a server does, a line each (OTP: `sys:trace/2`).

    That is: which messages come in and from whom, which replies go out, which are put off or
    refused, and that it crashes; redacted by its `format_status`.
    """
    await _ask(address, "trace", lambda server: _set(server, tracing=on))


async def log(address: Address[Any], most: int | None = None) -> tuple[Event, ...]:
    """The last events of a server, and how many are kept (OTP: `sys:log/2`).

    A crash report has them too.

    Args:
        address: which server.
        most: how many to keep from now on; 0 for none, None for as many as before.

    Returns:
        Those that were known before, the oldest first; none if no log was on.

    Raises:
        ValueError: `most` is less than 0; and those above.
    """
    if most is not None and most < 0:
        raise ValueError(f"a log keeps 0 events or more, not {most}")
    return await _ask(address, "log", lambda server: _log(server, most))


async def statistics(address: Address[Any], *, on: bool | None = None) -> Statistics | None:
    """What a server has done since somebody began to count (OTP: `sys:statistics/2`).

    Args:
        address: which server.
        on: True begins to count anew, False ends it, None lets it be.

    Returns:
        What was counted before that; None if nobody did.
    """
    return await _ask(address, "statistics", lambda server: _statistics(server, on))


# -- what the server's loop does


def _debug_of(server: Server) -> Debug:
    process = server._process
    debug = process.debug
    if not isinstance(debug, Debug):
        process.debug = debug = Debug(process)
    return debug


def _suspend(server: Server) -> None:
    doom = server._process.doom
    if doom is not None:
        # Asked to stop after it had been asked to wait: what it drains ends it.
        raise ActorExited(server._process.path, doom, "suspend")
    _set(server, suspended=True)


def _set(server: Server, **switches: bool) -> None:
    debug = _debug_of(server)
    for name, on in switches.items():
        setattr(debug, name, on)


def _log(server: Server, most: int | None) -> tuple[Event, ...]:
    debug = _debug_of(server)
    events = debug.events
    if most is not None:
        debug.keep(most)
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
        trio.current_time() - process.began,
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
            setattr(server, name, value)
    except BaseException:
        for name in after:
            # Past its validators: this is what it held.
            object.__setattr__(server, name, before[name])
        raise
    return fields_of(server)


# -- asking


async def _ask(address: Address[Any], what: str, act: Callable[[Server], T]) -> T:
    await checkpoint_if_cancelled()
    process = address.process()
    refuse_elsewhere(process, what)
    caller, task = CURRENT.get(), current_task()
    request = Request(what, (), {}, caller, True, task)
    message = SystemMessage(request, act, attend)
    if caller is None or not caller.held_by(task):
        return cast("T", await _answer(process, message))
    refuse_circle(caller, process, task, request)
    caller.begin_wait(task, process, request)
    try:
        return cast("T", await _answer(process, message))
    finally:
        caller.end_wait(task, process)


async def _answer(process: Process, message: SystemMessage) -> object:
    request = message.request
    with contextlib.suppress(StartError):
        await process.wait_started()
    if process.doom is not None:
        raise ActorExited(process.path, process.doom, request.method)
    if not runs(process.task, Server.run):
        name = type(process.actor).__name__
        what = f"{request.method} is answered by a Server's loop"
        raise TypeError(f"{process.path} ({name}) runs no such loop: {what}")
    process.watchers[message] = lambda process: _tell(process, request)
    process.mailbox.post(message)
    if isinstance(process.debug, Debug):
        process.debug.orders.unpark_all()
    try:
        return await request.reply()
    finally:
        process.watchers.pop(message, None)
        take(process.mailbox.control, message)


def _tell(process: Process, request: Request) -> None:
    request.fail(ActorExited(process.path, process.reason or NO_PROCESS, request.method))
