"""The poller: reads what the Runtime API says on one lane."""

import logging
from collections.abc import Sequence

import trio
from trio.lowlevel import checkpoint

from ...actors import Actor, logs
from ..in_flight.broken_connection import Expected, Loss
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.ledger import Ledger
from ..protocol.runtime_api import ApiResponse, WireError
from ..protocol.transport import Connect, Transport
from .busy_poll import BusyPoll

logger = logs.logger("okibi")

# Bytes of one call into the kernel: few, since what is made of an event lies behind its buffer, and
# spreads sixteen lanes over the heap; more, once so few were not enough, and at once, as long as
# each is full. For 128 KB and more the allocator makes three calls of its own. With an end, so that
# no server keeps the loop for itself.
LIMITS = (8 * 1024, 64 * 1024, *[256 * 1024] * 23)
# Of a refusal's body, in bytes; it goes into one line of the log.
TOLD = 2000
# Connections that nobody takes, before the lane is one that does not serve; some four seconds.
ATTEMPTS = 10


class Poller(Actor):
    """Reads one lane, and keeps its connection.

    It waits on the descriptor first and receives then: on a lane there is nothing to receive
    but after a wait, so to try first would cost one call into the kernel an event.

    Args:
        ledger: where its events stand.
        lane: what it reads.
        connect: makes a connection to the Runtime API.
        busy_poll: how it looks for the next event before that wait.
    """

    def __init__(self, ledger: Ledger, lane: Lane, connect: Connect, busy_poll: BusyPoll) -> None:
        self.ledger = ledger
        self.lane = lane
        self.connect = connect
        self.busy_poll = busy_poll
        # The connection that it is parked on.
        self._parked: Transport | None = None

    async def run(self) -> None:
        lane = self.lane
        if self.busy_poll.limit:
            lane.on_flushed = self._flushed
        # What a predecessor that has crashed may have read, and nobody been told of.
        self.ledger.wake_dispatcher()
        while True:
            if lane.transport is None:
                await self._connect()
            if lane.refusals:
                # A refusal can last as long as an invocation: ask again, but do not spin.
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
        """Read until the connection is gone, or nothing more can come before more is said."""
        lane = self.lane
        while (transport := lane.transport) is not None:
            found = self._looks()
            if found:
                # The loop's other work, while the server is at the answer anyway.
                await checkpoint()
                found = self.busy_poll.sees(transport.pending)
            if not found:
                self._parked = transport
                try:
                    await transport.readable()
                except trio.ClosedResourceError:
                    # To look, said `_flushed`.
                    continue
                finally:
                    self._parked = None
            try:
                if not self._read(transport):
                    return
            except BaseException as torn:
                if not self.ledger.fail_interrupted_step("as an event was read", torn):
                    # Nor would the parser know what to make of what follows.
                    self._broken("what has come over it is lost")
                raise

    def _read(self, transport: Transport) -> bool:
        """Read what has come; False if the connection is gone, or nothing more can come.

        Synchronous: what was received is in the ledger before anything can kill.
        """
        for limit in LIMITS:
            try:
                data = transport.receive(limit)
            except BlockingIOError:
                break
            except OSError as error:
                self._broken(str(error))
                return False
            full, before = len(data) == limit, self.lane.serial
            goes_on = not self._take_all(data)
            # Not kept while a handler has it: the other lanes' buffers would begin behind it.
            del data
            passed_on = self._pass_on(before)
            if not goes_on:
                return False
            if passed_on or not full:
                break
        return True

    def _flushed(self) -> None:
        """All is out. Where this was parked before the next event was asked for, as it is while a
        handler waits, it is to look for that even so.
        """
        if self._parked is not None and self._looks():
            self._parked.interrupt()

    def _looks(self) -> bool:
        """Whether to look for the next event: it can come, and that has paid."""
        lane = self.lane
        # It is asked for once all is out; while a handler is at the last one, nothing is.
        asked = bool(lane.expected) and lane.expected[-1] is Expected.NEXT and not lane.outbox
        return asked and self.busy_poll.begins()

    def _take_all(self, data: bytes) -> bool:
        """Take what was received. True when `run` has something to do about it."""
        lane, why, was_pipelined = self.lane, "" if data else "it was closed", self.lane.pipelined
        try:
            answers: Sequence[ApiResponse] = lane.parse(data)
        except WireError as error:
            # What was complete before the noise counts: it may be the status of an answer.
            answers, why = error.answers, str(error)
        if was_pipelined and not lane.pipelined:
            self._tell_sequential()
        for answer in answers:
            self._take(answer)
            if lane.transport is None:
                return True
            if not answer.keep_alive:
                self._broken("the Runtime API does not keep it alive", announced=True)
                return True
        if why:
            self._broken(why)
            return True
        return bool(answers) and not lane.expected and lane.delivery is None

    def _take(self, answer: ApiResponse) -> None:
        lane = self.lane
        if not lane.expected:
            # Again and again, it must be no spin.
            lane.refusals += 1
            self._broken(f"an answer nobody had asked for came ({answer.status})")
        elif lane.expected[0] is Expected.STATUS:
            self._acknowledge(answer)
        elif (delivery := lane.take_event(answer)) is None:
            self._complain(answer, "/next")
            if answer.status == 403 and lane.resend_refused:
                self.ledger.mark_unavailable(
                    lane, "half of an answer has arrived, and no more is accepted"
                )
        elif not delivery.unsettled:
            logger.error("%s came again: it is not run again", delivery.request_id)
            self.ledger.respond(lane)

    def _pass_on(self, before: int) -> bool:
        """Have an event served that has come since, once all is done about what it came with: its
        handler may begin in here, and end.

        Args:
            before: the serial of the lane's last event then.
        """
        came = self.lane.delivery
        if came is None or came.serial == before or not came.unsettled:
            return False
        self.busy_poll.came()
        self.ledger.dispatch(self.lane, came)
        if came.unsettled:
            # Its handler waits. What is to be done once it ends, others may have to wait for.
            self.lane.prepare_head(came)
        return True

    def _acknowledge(self, answer: ApiResponse) -> None:
        delivery = self.lane.take_status(answer.status)
        if not 200 <= answer.status < 300 and delivery is not None:
            self._complain(answer, f"the answer to {delivery.request_id}")

    def _complain(self, answer: ApiResponse, what: str) -> None:
        text = answer.body[:TOLD].decode("utf-8", "replace").strip()
        if answer.status == 200:
            text = "it is no event, or one that was answered and came again"
        logger.error("the Runtime API refused %s with %d: %s", what, answer.status, text)
        if answer.status >= 500:
            # It cannot recover (Runtime API): only the end of the process helps, unless other lanes
            # are served.
            why = f"the Runtime API answered {what} with {answer.status}: {text}"
            self.ledger.mark_unavailable(self.lane, why)

    def _broken(self, why: str, announced: bool = False) -> None:
        lane, was_pipelined = self.lane, self.lane.pipelined
        loss = lane.disconnect(announced)
        level = logging.INFO if loss is Loss.NOTHING else logging.WARNING
        logger.log(level, "lane %d lost its connection (%s): %s", lane.index, why, loss.value)
        if was_pipelined and not lane.pipelined:
            self._tell_sequential()
        if loss in (Loss.CUT, Loss.SENT_TWICE):
            self._lose_answer(f"the connection broke inside an answer ({why}): {loss.value}")

    def _lose_answer(self, why: str) -> None:
        if len(self.ledger.lanes) == 1:
            self.ledger.fail(why)
        elif (delivery := self.lane.drop_response()) is not None:
            logger.error("the answer to %s is lost: %s", delivery.request_id, why)

    def _tell_sequential(self) -> None:
        number = self.lane.index
        logger.warning("lane %d no longer sends the next request with an answer", number)
