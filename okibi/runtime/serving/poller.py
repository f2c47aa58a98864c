"""The poller: connects one lane to the Runtime API and reads events and statuses from it.

It reconnects after a break (`in_flight.broken_connection` says what a break costs), and hands each
event to the ledger, which has it dispatched.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import checkpoint

from ...actors import Actor, logs
from ..in_flight.broken_connection import Expected, Loss
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.ledger import Ledger
from ..protocol.runtime_api import ApiResponse, WireError
from ..protocol.transport import Transport
from .busy_poll import BusyPoll

if TYPE_CHECKING:
    from ..protocol.transport import Connect

logger = logs.logger("okibi")

# Sizes of successive reads. The first is small: an event's objects lie behind its buffer, and large
# buffers would spread sixteen lanes over the heap. After each full buffer the next read is larger;
# from 128 KB on, the allocator itself makes three system calls per buffer. The list ends, to keep a
# fast server from holding the loop.
READ_SIZES = (8 * 1024, 64 * 1024, *[256 * 1024] * 23)
# Bytes of a refusal's body that go into the log.
LOGGED_BODY = 2000
# Failed attempts to connect, some four seconds, before the lane is unavailable.
ATTEMPTS = 10


class Poller(Actor):
    """Reads one lane and keeps it connected.

    It waits for the socket before it reads: on a lane, a read without a wait would nearly always
    fail and cost a system call per event.

    Args:
        ledger: gets the events.
        lane: the lane to read.
        connect: opens a connection to the Runtime API.
        busy_poll: polls for the next event before the wait, where that pays.
    """

    def __init__(self, ledger: Ledger, lane: Lane, connect: "Connect", busy_poll: BusyPoll) -> None:
        self.ledger = ledger
        self.lane = lane
        self.connect = connect
        self.busy_poll = busy_poll
        # The connection on which this poller is parked.
        self._parked: Transport | None = None

    async def run(self) -> None:
        lane = self.lane
        if self.busy_poll.limit:
            lane.on_flushed = self._poll_if_parked
        # An earlier incarnation may have read an event and crashed before it woke the dispatcher.
        self.ledger.wake_dispatcher()
        while True:
            if lane.transport is None:
                await self._connect()
            if lane.refusals:
                # A refusal may last as long as an invocation: pause 0.1 s, 0.2 s, 0.4 s, up to 5 s.
                await trio.sleep(min(0.05 * 2 ** min(lane.refusals, 7), 5.0))
            wake(lane.responder)
            await self._read_until_idle()

    async def _connect(self) -> None:
        attempt = 0
        while True:
            try:
                self.lane.attach(await self.connect())
            except OSError as error:
                if attempt < ATTEMPTS:
                    logger.warning("the Runtime API cannot be reached: %s", error)
            else:
                return
            await trio.sleep(min(0.01 * 2 ** min(attempt, ATTEMPTS), 1.0))
            attempt += 1
            if attempt == ATTEMPTS:
                self.ledger.mark_unavailable(self.lane, "the Runtime API cannot be reached")

    async def _read_until_idle(self) -> None:
        """Read until the connection is gone or the Runtime API has nothing left to send."""
        lane = self.lane
        while (transport := lane.transport) is not None:
            arrived = self._should_poll()
            if arrived:
                # A pass of the loop: other tasks run while the server works.
                await checkpoint()
                arrived = self.busy_poll.poll(transport.pending)
            if not arrived:
                self._parked = transport
                try:
                    await transport.readable()
                except trio.ClosedResourceError:
                    # `_poll_if_parked` has interrupted the wait.
                    continue
                finally:
                    self._parked = None
            try:
                if not self._read(transport):
                    return
            except BaseException as interruption:
                if not self.ledger.fail_interrupted_step("reading an event", interruption):
                    # The parser may have lost bytes; the connection is of no further use.
                    self._disconnect("what came over it is lost")
                raise

    def _read(self, transport: Transport) -> bool:
        """Read what has come. False if the connection is gone or nothing more is expected.

        Synchronous: what was received is in the ledger before a kill can take effect.
        """
        for size in READ_SIZES:
            try:
                data = transport.receive(size)
            except BlockingIOError:
                break
            except OSError as error:
                self._disconnect(str(error))
                return False
            full, serial_before = len(data) == size, self.lane.serial
            goes_on = not self._take_data(data)
            # Freed before a handler runs: other lanes' buffers would lie behind this one.
            del data
            dispatched = self._dispatch_event(serial_before)
            if not goes_on:
                return False
            if dispatched or not full:
                break
        return True

    def _poll_if_parked(self) -> None:
        """Poll after a response has gone out.

        While a handler waits, the poller is parked already; if polling pays, its wait is ended.
        """
        if self._parked is not None and self._should_poll():
            self._parked.interrupt()

    def _should_poll(self) -> bool:
        """Whether the next event can arrive, and polling for it has paid lately."""
        lane = self.lane
        # GET /next is expected last and written; while a handler runs, no GET is out.
        asked = bool(lane.expected) and lane.expected[-1] is Expected.NEXT and not lane.outbox
        return asked and self.busy_poll.should_poll()

    def _take_data(self, data: bytes) -> bool:
        """Parse received bytes and take the responses. True if `run` has to act next."""
        lane, was_pipelined = self.lane, self.lane.pipelined
        problem = "" if data else "the server closed it"
        try:
            responses: Sequence[ApiResponse] = lane.parse(data)
        except WireError as error:
            # Complete responses before the noise count; one may be a status.
            responses, problem = error.responses, str(error)
        if was_pipelined and not lane.pipelined:
            self._warn_sequential()
        for response in responses:
            self._take_response(response)
            if lane.transport is None:
                return True
            if not response.keep_alive:
                self._disconnect("the Runtime API does not keep it alive", announced=True)
                return True
        if problem:
            self._disconnect(problem)
            return True
        return bool(responses) and not lane.expected and lane.delivery is None

    def _take_response(self, response: ApiResponse) -> None:
        lane = self.lane
        if not lane.expected:
            # Counted, to pause before the next attempt.
            lane.refusals += 1
            self._disconnect(f"an unexpected response came ({response.status})")
        elif lane.expected[0] is Expected.STATUS:
            self._take_status(response)
        elif (delivery := lane.take_event(response)) is None:
            self._log_refusal(response, "/next")
            if response.status == 403 and lane.resend_refused:
                why = "the Runtime API received half of a response and accepts nothing more"
                self.ledger.mark_unavailable(lane, why)
        elif not delivery.unsettled:
            logger.error("ignoring duplicate event %s", delivery.request_id)
            self.ledger.respond(lane)

    def _dispatch_event(self, serial_before: int) -> bool:
        """Dispatch an event that has come, after all responses around it are taken.

        The handler may begin, and end, within this call.

        Args:
            serial_before: the lane's serial before the last read.
        """
        delivery = self.lane.delivery
        if delivery is None or delivery.serial == serial_before or not delivery.unsettled:
            return False
        self.busy_poll.record_event()
        self.ledger.dispatch(self.lane, delivery)
        if delivery.unsettled:
            # The handler waits. Work done now is not in the way when it ends.
            self.lane.prepare_head(delivery)
        return True

    def _take_status(self, response: ApiResponse) -> None:
        delivery = self.lane.take_status(response.status)
        if not 200 <= response.status < 300 and delivery is not None:
            self._log_refusal(response, f"the response to {delivery.request_id}")

    def _log_refusal(self, response: ApiResponse, what: str) -> None:
        text = response.body[:LOGGED_BODY].decode("utf-8", "replace").strip()
        if response.status == 200:
            text = "it has no event, or repeats one that was answered"
        logger.error("the Runtime API refused %s with %d: %s", what, response.status, text)
        if response.status >= 500:
            # The Runtime API cannot recover (its documentation); only a new process can, unless
            # other lanes are served.
            why = f"the Runtime API answered {what} with {response.status}: {text}"
            self.ledger.mark_unavailable(self.lane, why)

    def _disconnect(self, why: str, announced: bool = False) -> None:
        lane, was_pipelined = self.lane, self.lane.pipelined
        loss = lane.disconnect(announced)
        level = logging.INFO if loss is Loss.NOTHING else logging.WARNING
        logger.log(level, "lane %d lost its connection (%s): %s", lane.index, why, loss.value)
        if was_pipelined and not lane.pipelined:
            self._warn_sequential()
        if loss in (Loss.CUT, Loss.SENT_TWICE):
            self._lose_response(f"the connection broke within a response ({why}): {loss.value}")

    def _lose_response(self, why: str) -> None:
        if len(self.ledger.lanes) == 1:
            self.ledger.fail(why)
        elif (delivery := self.lane.drop_response()) is not None:
            logger.error("the response to %s is lost: %s", delivery.request_id, why)

    def _warn_sequential(self) -> None:
        number = self.lane.index
        logger.warning("lane %d no longer sends the next request with a response", number)
