"""The loop of a server that somebody looks into.

A server's own loop knows nothing of traces, logs and counts: it pays nothing for them while they
are off. A system message that switches one of them on is performed by this loop, which takes its
place until the last is off again (OTP has one loop, and an empty list of debug functions).

    suspended   only system messages are taken; all others, timers and Downs included, wait. To
                be asked to stop ends it at once, also a server that drains: what waits is lost,
                its callers are told (OTP: `sys:suspend`, and the parent's exit).
    else        every message is taken and served as ever, and noted.
"""

from collections import deque
from contextlib import suppress
from typing import Any

import attrs
import trio
from trio.lowlevel import ParkingLot

from . import logs
from .exits import NOTHING, CallCycle, Exit, ExitReason, crash_in, crashed, is_a, left_with
from .hook_errors import awaited
from .process import LAST, Process
from .request import Request
from .server import Server
from .status import Event, Kind, show
from .system import SystemMessage

logger = logs.logger("okibi.actors")


@attrs.frozen
class Statistics:
    """What a server has done since somebody began to count (OTP: `sys:statistics`).

    Attributes:
        since: when that was, in seconds of trio's clock.
        messages_in: how many messages it took; system messages are not counted.
        replies_out: how many calls it answered, refusals included. Not the replies that it put
            off (`reply_later`): those are given by any task, past the loop (OTP: the same).
    """

    since: float
    messages_in: int = 0
    replies_out: int = 0


class Debug:
    """What is switched on for one server, and what it has brought."""

    __slots__ = ("_process", "log", "orders", "statistics", "suspended", "tracing")

    def __init__(self, process: Process) -> None:
        self._process = process
        self.suspended = False
        self.tracing = False
        self.statistics: Statistics | None = None
        self.log: deque[Event] = deque(maxlen=0)
        # Where a suspended server waits: no reader of its mailbox, it would be handed a message.
        self.orders = ParkingLot()

    @property
    def on(self) -> bool:
        """Whether anything is."""
        counts = self.statistics is not None
        return self.suspended or self.tracing or counts or self.log.maxlen != 0

    @property
    def events(self) -> tuple[Event, ...]:
        """The last events, oldest first; none if no log is on."""
        return tuple(self.log)

    def keep(self, most: int) -> None:
        """Log the last `most` events from now on; those that are known already stay."""
        self.log = deque(self.log, maxlen=most)

    # -- what happens

    def came(self, message: object) -> None:
        """It has taken a message."""
        self._count(came=1)
        self._note("in", message)

    def went(self, message: Request, refusal: Exception | None) -> None:
        """It is done with a call or a cast."""
        if refusal is not None:
            self._count(went=int(message.wanted))
            self._note("refused", message, reason=refusal)
        elif message.deferred:
            self._note("deferred", message)
        elif message.settled:
            self._count(went=1)
            # It may have been refused meanwhile, so that another's end can come.
            with suppress(CallCycle):
                self._note("reply", message, reply=message.result())

    def left(self, message: object, error: BaseException) -> None:
        """An exception has left it; a cancellation is none."""
        crash = crash_in(error)
        if crash is None:
            return
        if is_a(crash, Exit):
            self._note("exit", message, reason=left_with(crash))
        else:
            self._note("crash", message, reason=crashed(crash))

    def _count(self, came: int = 0, went: int = 0) -> None:
        counted = self.statistics
        if counted is not None:
            self.statistics = attrs.evolve(
                counted,
                messages_in=counted.messages_in + came,
                replies_out=counted.replies_out + went,
            )

    def _note(
        self,
        kind: Kind,
        message: object,
        *,
        reply: object = NOTHING,
        reason: ExitReason | Exception | None = None,
    ) -> None:
        if not self.tracing and self.log.maxlen == 0:
            return
        process = self._process
        shown = show(process.actor, message, reply, reason)
        caller = message.caller if is_a(message, Request) else None
        event = Event(
            trio.current_time(),
            process.path,
            kind,
            shown["message"] or "None",
            "" if caller is None else caller.path,
            shown["reply"] or shown["reason"],
        )
        self.log.append(event)
        if self.tracing:
            self._print(event)

    def _print(self, event: Event) -> None:
        try:
            print(event, flush=True)
        except (OSError, ValueError) as error:
            # Standard output is closed, or nobody reads it: no reason for a server to die.
            self.tracing = False
            logger.warning("%s is traced no more: standard output fails: %s", event.path, error)


async def attend(server: Server) -> bool:
    """Serve a server as long as anything is switched on for it; True if it is to end."""
    process = server._process
    debug = process.debug
    while isinstance(debug, Debug) and debug.on:
        if debug.suspended:
            (await _order(process, debug)).settle(server)
        elif process.continuations:
            await _noting(debug, process, server._continue())
        else:
            message = await process.mailbox.receive()
            if message is LAST:
                return True
            if is_a(message, SystemMessage):
                message.settle(server)
            else:
                await _serve(server, debug, message)
    process.debug = None
    return False


async def _serve(server: Server, debug: Debug, message: object) -> None:
    process = server._process
    process.mailbox.idle = float("inf")
    process.current, process.since = message, trio.current_time()
    debug.came(message)
    if is_a(message, Request):
        debug.went(message, await _noting(debug, process, server._serve(message)))
    else:
        await _noting(debug, process, awaited(server.handle_info(message), server, "handle_info"))
    process.current = None


async def _noting(debug: Debug, process: Process, served: Any) -> Any:
    try:
        return await served
    except BaseException as error:
        debug.left(process.current, error)
        raise


async def _order(process: Process, debug: Debug) -> SystemMessage:
    """The next system message of a suspended server; what else waits is not touched."""
    # A stop must not wait behind what a suspended server will not read.
    drains, process.drains = process.drains, False
    try:
        while (order := take(process.mailbox.control)) is None:
            await debug.orders.park()
    finally:
        process.drains = drains
    return order


def take(control: deque[object], wanted: SystemMessage | None = None) -> SystemMessage | None:
    """Take the first system message off a control lane, or a certain one; None without any."""
    for at, message in enumerate(control):
        # By identity: another message's own `__eq__` is a user's.
        if is_a(message, SystemMessage) and wanted in (None, message):
            del control[at]
            return message
    return None
