"""The poller: reads what the Runtime API says on one lane."""

import logging
from typing import Protocol

import trio

from actors import Actor

from .lane import Lane, Loss, Owed, wake
from .ledger import Ledger
from .transport import Transport
from .wire import Answer, WireError

logger = logging.getLogger("okibi")

LIMIT = 256 * 1024


class Connect(Protocol):
    """Makes a new connection to the Runtime API; OSError when nobody listens."""

    async def __call__(self) -> Transport: ...


class Poller(Actor):
    """Reads one lane, and keeps its connection.

    It waits on the descriptor first and receives then: on a lane there is nothing to receive
    but after a wait, so to try first would cost one call into the kernel an event.
    """

    def __init__(self, ledger: Ledger, lane: Lane, connect: Connect) -> None:
        self.ledger = ledger
        self.lane = lane
        self.connect = connect

    async def run(self) -> None:
        lane = self.lane
        while True:
            if lane.transport is None:
                await self._connect()
            if lane.refused:
                # A refusal can last as long as an invocation: ask again, but do not spin.
                await trio.sleep(min(0.05 * 2 ** min(lane.refused, 7), 5.0))
            wake(lane.responder, lane)
            await self._read_until_idle()

    async def _connect(self) -> None:
        for attempt in range(10):
            try:
                self.lane.connected(await self.connect())
            except OSError as error:
                logger.warning("the Runtime API cannot be reached: %s", error)
            else:
                return
            await trio.sleep(min(0.01 * 2**attempt, 1.0))
        self.ledger.fail("the Runtime API cannot be reached")
        await trio.sleep_forever()

    async def _read_until_idle(self) -> None:
        """Read until the connection is gone, or nothing more can come before more is said."""
        lane = self.lane
        while lane.transport is not None:
            transport = lane.transport
            await transport.readable()
            try:
                data = transport.receive(LIMIT)
            except BlockingIOError:
                continue
            except OSError as error:
                self._broken(str(error))
                return
            # Synchronous from here: what was received is in the ledger before anything can kill.
            if self._take_all(data):
                return

    def _take_all(self, data: bytes) -> bool:
        """Take what was received. True when `run` has something to do about it."""
        if not data:
            self._broken("it was closed")
            return True
        try:
            answers = self.lane.received(data)
        except WireError as error:
            self._broken(str(error))
            return True
        for answer in answers:
            self._take(answer)
            if not answer.keep_alive and self.lane.transport is not None:
                self._broken("the Runtime API does not keep it alive")
                return True
        return bool(answers) and not self.lane.owed and self.lane.delivery is None

    def _take(self, answer: Answer) -> None:
        lane = self.lane
        if not lane.owed:
            self._broken(f"an answer nobody had asked for came ({answer.status})")
        elif lane.owed[0] is Owed.ANSWER:
            self._acknowledge(answer)
        elif (delivery := lane.event(answer)) is not None:
            self.ledger.received(lane, delivery)
        else:
            self._complain(answer, "/next")

    def _acknowledge(self, answer: Answer) -> None:
        delivery = self.lane.acknowledged()
        if answer.status != 202 and delivery is not None:
            self._complain(answer, f"the answer to {delivery.request_id}")

    def _complain(self, answer: Answer, what: str) -> None:
        text = answer.body.decode("utf-8", "replace").strip()
        logger.error("the Runtime API refused %s with %d: %s", what, answer.status, text)
        if answer.status >= 500:
            # It cannot recover (Runtime API): only the end of the process helps.
            self.ledger.fail(f"the Runtime API answered {what} with {answer.status}: {text}")

    def _broken(self, why: str) -> None:
        lane, was_pipelined = self.lane, self.lane.pipelined
        loss = lane.broken()
        level = logging.INFO if loss is Loss.NOTHING else logging.WARNING
        logger.log(level, "lane %d lost its connection (%s): %s", lane.index, why, loss.value)
        if was_pipelined and not lane.pipelined:
            logger.warning("lane %d no longer sends the next request with an answer", lane.index)
        if loss is Loss.FATAL:
            self.ledger.fail(f"the connection broke inside an answer ({why})")
