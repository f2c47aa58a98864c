"""The responder: writes what is to be said on one lane."""

import errno
from collections.abc import Callable

import trio
from trio.lowlevel import checkpoint

from ...actors import Actor, ExitReason, logs
from ...actors.actor import make_receiver
from ..errors.error_response import platform_error
from ..in_flight.lane import Lane
from ..telemetry.logs import log_error

logger = logs.logger("okibi")

HOLDS_ON = "The process ends, and the handler did not when it was cancelled"


class Responder(Actor):
    """Stages what can be said, writes it from where its predecessor had come, waits for mail.

    A worker that answers gives it a turn for that (`okibi.actors.trio_internals`): its task is
    woken only where the connection takes no more, or something has come over it while the handler
    held the loop: its end, or a status before a streamed answer is over. The poller is to see that
    first, lest the answer is lost. So, woken, it writes a pass later: behind what the poller sees,
    and, of a whole answer, what the handler has set off.

    Args:
        lane: what it writes on.
        torn: told of what leaves a write in its middle; whether the process ends by it.
    """

    def __init__(
        self, lane: Lane, torn: Callable[[str, BaseException], bool] = lambda step, error: False
    ) -> None:
        self.lane = lane
        self.torn = torn

    async def run(self) -> None:
        lane = self.lane
        lane.responder = self.ref
        receive = make_receiver(self, self._turn)
        while True:
            if self._write():
                await receive()
                if lane.stream is None or self._heard():
                    await checkpoint()
            else:
                await self._writable()

    async def terminate(self, reason: ExitReason) -> None:
        """Write, within its grace, what its workers have left: what is cut here is lost."""
        if reason.quiet:
            self._answer_for_the_worker()
        while not self._write():
            await self._writable()

    def _answer_for_the_worker(self) -> None:
        """Answer an event whose worker could not be ended, or was killed, with its handler's last
        chance gone and the dispatcher with it. (If the process goes on, the next one settles it.)
        """
        delivery = self.lane.delivery
        if delivery is None or not self.lane.closing:
            return
        outcome = platform_error("Runtime.Stopped", HOLDS_ON, delivery.request_id)
        if delivery.settle(outcome):
            log_error(outcome.body)

    def _turn(self, _: object) -> bool:
        return not self._heard() and self._write()

    def _heard(self) -> bool:
        """Whether something has come that the poller is to see first."""
        transport = self.lane.transport
        return transport is not None and transport.pending()

    def _write(self) -> bool:
        """Stage and write. True when there is no more to write, or nothing to write to."""
        lane = self.lane
        transport = lane.transport
        if transport is None:
            return True
        lane.stage()
        try:
            while lane.outbox:
                lane.mark_written(transport.send(lane.outbox[0]))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EBADF, errno.ENOTSOCK):
                # The function has closed it: epoll says nothing of that to who waits for it.
                raise
            # The poller sees the same from its side, and decides what it means.
            logger.debug("lane %d cannot be written to: %s", lane.index, error)
        except BaseException as torn:
            if self.torn("as an answer was written", torn):
                # What has gone out is not known, so no more may follow it on this connection.
                lane.disconnect()
            raise
        else:
            lane.on_flushed()
        finally:
            if lane.stream is not None:
                lane.stream.mark_written(blocked=bool(lane.outbox))
        return True

    async def _writable(self) -> None:
        transport = self.lane.transport
        assert transport is not None  # it has refused a write, and there was no checkpoint since
        try:
            await transport.writable()
        except trio.ClosedResourceError:
            return
