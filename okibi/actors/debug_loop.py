"""The loop of a server while a debug function is on.

The loop of `Server` knows nothing of traces, logs and counts, so they cost nothing while they are
off. The system message that turns a debug function on runs this loop instead, until the last one is
off again. (OTP has one loop and an empty list of debug functions.)

    suspended     only system messages are handled; all others wait, timers and Downs included. A
                  stop request ends the server at once, even if it drains: waiting messages are
                  lost, and their callers get ActorExited (OTP: `sys:suspend`, exit of the parent).
    otherwise     every message is handled as in the loop of `Server`, and recorded.
"""

from collections import deque
from contextlib import suppress
from typing import Any

import attrs
import trio
from trio.lowlevel import ParkingLot

from . import logs
from .exits import NOTHING, CallCycle, Exit, ExitReason, crash_in, crashed, is_a, reason_of_exit
from .process import DRAINED, Process
from .request import Request
from .server import Server
from .status import Event, EventKind, show
from .system_messages import SystemMessage

logger = logs.logger("okibi.actors")


@attrs.frozen
class Statistics:
    """Counts of a server since `debug.statistics(server, on=True)` (OTP: `sys:statistics`).

    Attributes:
        since: the time at which counting began, in seconds of trio's clock.
        messages_in: messages received, without system messages.
        replies_out: calls answered, refusals included. Replies that were put off (`reply_later`)
            do not count, because any task may send them, outside the loop (OTP: the same).
    """

    since: float
    messages_in: int = 0
    replies_out: int = 0


class DebugState:
    """The debug functions of one server, and what they have recorded."""

    __slots__ = ("_process", "log", "statistics", "suspended", "suspended_loop", "tracing")

    def __init__(self, process: Process) -> None:
        self._process = process
        self.suspended = False
        self.tracing = False
        self.statistics: Statistics | None = None
        self.log: deque[Event] = deque(maxlen=0)
        # Where the loop of a suspended server waits for system messages. It must not wait as the
        # reader of the mailbox, which would hand it any message.
        self.suspended_loop = ParkingLot()

    @property
    def on(self) -> bool:
        """Whether any debug function is on."""
        counts = self.statistics is not None
        return self.suspended or self.tracing or counts or self.log.maxlen != 0

    @property
    def events(self) -> tuple[Event, ...]:
        """The last events, oldest first; empty if no log is on."""
        return tuple(self.log)

    def keep_events(self, most: int) -> None:
        """Keep the last `most` events from now on, those recorded before included."""
        self.log = deque(self.log, maxlen=most)

    # -- events

    def record_received(self, message: object) -> None:
        """Record that the server has received a message."""
        self._count(messages_in=1)
        self._record("in", message)

    def record_served(self, message: Request, refusal: Exception | None) -> None:
        """Record that the method of a call or cast has returned."""
        if refusal is not None:
            self._count(replies_out=int(message.wanted))
            self._record("refused", message, reason=refusal)
        elif message.deferred:
            self._record("deferred", message)
        elif message.settled:
            self._count(replies_out=1)
            # `wait_cycles` may have failed the call meanwhile.
            with suppress(CallCycle):
                self._record("reply", message, reply=message.result())

    def record_error(self, message: object, error: BaseException) -> None:
        """Record that an exception has left the server. A cancellation is not recorded."""
        crash = crash_in(error)
        if crash is None:
            return
        if is_a(crash, Exit):
            self._record("exit", message, reason=reason_of_exit(crash))
        else:
            self._record("crash", message, reason=crashed(crash))

    def _count(self, messages_in: int = 0, replies_out: int = 0) -> None:
        counted = self.statistics
        if counted is not None:
            self.statistics = attrs.evolve(
                counted,
                messages_in=counted.messages_in + messages_in,
                replies_out=counted.replies_out + replies_out,
            )

    def _record(
        self,
        kind: EventKind,
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
            # Standard output is closed or has no reader. The server must go on.
            self.tracing = False
            logger.warning("%s: trace ended, standard output failed: %s", event.path, error)


async def serve_debugged(server: Server) -> bool:
    """Run the server's loop while a debug function is on; True if the server must end."""
    process = server._process
    work = process.work
    debug = work.debug
    while isinstance(debug, DebugState) and debug.on:
        if debug.suspended:
            (await _wait_for_system_message(process, debug)).answer(server)
        elif work.continuations:
            await _recording(debug, process, server._run_continuations())
        else:
            message = await process.mailbox.receive()
            if message is DRAINED:
                return True
            if is_a(message, SystemMessage):
                message.answer(server)
            else:
                await _serve(server, debug, message)
    work.set_debug(None)
    return False


async def _serve(server: Server, debug: DebugState, message: object) -> None:
    process = server._process
    process.mailbox.idle_deadline = float("inf")
    process.work.begin(message, trio.current_time())
    debug.record_received(message)
    if is_a(message, Request):
        debug.record_served(
            message, await _recording(debug, process, server._handle_request(message))
        )
    else:
        await _recording(debug, process, server._call_handle_info(message))
    process.work.finish()


async def _recording(debug: DebugState, process: Process, served: Any) -> Any:
    try:
        return await served
    except BaseException as error:
        debug.record_error(process.work.message, error)
        raise


async def _wait_for_system_message(process: Process, debug: DebugState) -> SystemMessage:
    """Wait for the next system message of a suspended server. Other messages stay."""
    # A stop must not wait behind messages that a suspended server does not read.
    drains = process.work.drains
    process.work.drain(False)
    try:
        while (message := take_system_message(process.mailbox.control)) is None:
            await debug.suspended_loop.park()
    finally:
        process.work.drain(drains)
    return message


def take_system_message(
    control: deque[object], wanted: SystemMessage | None = None
) -> SystemMessage | None:
    """Remove the first system message, or `wanted`, from a control lane; None if absent."""
    for at, message in enumerate(control):
        # By identity, because `__eq__` of another message may be user code.
        if is_a(message, SystemMessage) and wanted in (None, message):
            del control[at]
            return message
    return None
