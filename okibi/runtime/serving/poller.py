"""The poller: connects one lane to the Runtime API and reads events and statuses from it.

It reconnects after a break (`in_flight.broken_connection` says what a break costs), and hands each
event to the ledger, which has it dispatched.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import checkpoint

from ...actors import Actor, logs
from ..in_flight.broken_connection import NEXT, NOTHING, STATUS_NEXT, Loss
from ..in_flight.delivery import Delivery
from ..in_flight.handover import wake
from ..in_flight.lane import Lane, LaneConnection
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
        self._now: Callable[[], float] = trio.current_time
        # The connection on which this poller is parked.
        self._parked: Transport | None = None

    async def run(self) -> None:
        lane = self.lane
        # trio's clock, without two calls of trio's around it.
        self._now = trio.lowlevel.current_clock().current_time
        if self.busy_poll.limit:
            lane.call_when_flushed(self._poll_if_parked)
        # An earlier incarnation may have read an event and crashed before it woke the dispatcher.
        self.ledger.wake_dispatcher()
        while True:
            if lane.connection is None:
                await self._connect()
            if (pause := lane.failures.pause) > 0:
                await trio.sleep(pause)
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
        while (connection := lane.connection) is not None:
            transport = connection.transport
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
                if not self._read(connection):
                    return
            except BaseException as interruption:
                if not self.ledger.fail_interrupted_step("reading an event", interruption):
                    # The parser may have lost bytes; the connection is of no further use.
                    self._disconnect("what came over it is lost")
                raise

    def _read(self, connection: LaneConnection) -> bool:
        """Read what has come. False if the connection is gone or nothing more is expected.

        Synchronous: what was received is in the ledger before a kill can take effect.
        """
        lane, transport = self.lane, connection.transport
        for size in READ_SIZES:
            try:
                data = transport.receive(size)
            except BlockingIOError:
                break
            except OSError as error:
                self._disconnect(str(error))
                return False
            full, before = len(data) == size, lane.delivery
            goes_on = self._take_data(connection, data)
            # Freed before a handler runs: other lanes' buffers would lie behind this one.
            del data
            delivery = lane.delivery
            if delivery is not None and delivery is not before and delivery.unsettled:
                # After all responses around it are taken: the handler may run within this call.
                self._dispatch(delivery)
                full = False
            if not goes_on:
                return False
            if not full:
                break
        return True

    def _poll_if_parked(self) -> None:
        """Poll after a response has gone out.

        While a handler waits, the poller is parked already; if polling pays, its wait is ended.
        """
        if self._parked is not None and self._should_poll():
            self._parked.interrupt()

    def _should_poll(self) -> bool:
        """Return whether the next event can arrive, and polling for it has paid lately."""
        outbox = self.lane.outbox
        expected = outbox.expected
        # A GET is out, and written; while a handler runs, none is.
        asked = expected is STATUS_NEXT or expected is NEXT
        return asked and not outbox.pieces and self.busy_poll.should_poll()

    def _take_data(self, connection: LaneConnection, data: bytes) -> bool:
        """Make responses of received bytes, and take them. False if `run` has to act next.

        Bytes become responses in one place: the parser calls its own `on_` methods for each part of
        a response, returns the responses that are complete, and keeps the rest. The outbox knows
        whether a response is a status or an event: the server answers in order.
        """
        lane, parser = self.lane, connection.parser
        problem = "" if data else "the server closed it"
        responses: Sequence[ApiResponse]
        try:
            responses = parser.feed(data) if data else parser.end()
        except WireError as error:
            # Complete responses before the noise count; one may be a status.
            responses, problem = error.responses, str(error)
        else:
            if responses and not connection.answered:
                self._take_first_response(connection)
        for response in responses:
            self._take_response(response)
            if lane.connection is None:
                return False
            if not response.keep_alive:
                self._disconnect("the Runtime API does not keep it alive", announced=True)
                return False
        if problem:
            self._disconnect(problem)
            return False
        idle = lane.delivery is None and lane.outbox.expected is NOTHING
        return not (idle and responses)

    def _take_first_response(self, connection: LaneConnection) -> None:
        was_pipelined = self.lane.outbox.pipelined
        self.lane.take_first_response(connection)
        self._warn_if_sequential(was_pipelined)

    def _take_response(self, response: ApiResponse) -> None:
        lane = self.lane
        expected = lane.outbox.expected
        if expected is NEXT:
            self._take_next(response)
        elif expected is NOTHING:
            # Counted, to pause before the next attempt.
            lane.failures.count_refusal()
            self._disconnect(f"an unexpected response came ({response.status})")
        else:
            delivery = lane.take_status(response.status)
            if not 200 <= response.status < 300 and delivery is not None:
                self._log_refusal(response, f"the response to {delivery.request_id}")

    def _take_next(self, response: ApiResponse) -> None:
        """Take the response to `GET /next`. `_read` dispatches its event."""
        lane = self.lane
        delivery = lane.take_event(response, self._now())
        if delivery is None:
            self._log_refusal(response, "/next")
            if response.status == 403 and lane.resend.refused:
                why = "the Runtime API received half of a response and accepts nothing more"
                self.ledger.mark_unavailable(lane, why)
        elif not delivery.unsettled:
            logger.error("ignoring duplicate event %s", delivery.request_id)
            self.ledger.respond(lane)

    def _dispatch(self, delivery: Delivery) -> None:
        """Have a new event handled. The handler may begin, and end, within this call."""
        self.busy_poll.record_event()
        self.ledger.dispatch(self.lane, delivery)
        if delivery.unsettled:
            # The handler waits. Work done now is not in the way when it ends.
            self.lane.prepare_head(delivery)

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
        lane, was_pipelined = self.lane, self.lane.outbox.pipelined
        loss = lane.disconnect(announced)
        level = logging.INFO if loss is Loss.NOTHING else logging.WARNING
        logger.log(level, "lane %d lost its connection (%s): %s", lane.index, why, loss.value)
        self._warn_if_sequential(was_pipelined)
        if loss in (Loss.CUT, Loss.SENT_TWICE):
            self._lose_response(f"the connection broke within a response ({why}): {loss.value}")

    def _lose_response(self, why: str) -> None:
        if len(self.ledger.lanes) == 1:
            self.ledger.fail(why)
        elif (delivery := self.lane.drop_response()) is not None:
            logger.error("the response to %s is lost: %s", delivery.request_id, why)

    def _warn_if_sequential(self, was_pipelined: bool) -> None:
        if was_pipelined and not self.lane.outbox.pipelined:
            number = self.lane.index
            logger.warning("lane %d no longer sends the next request with a response", number)
