"""The responder: writes responses and `GET /next` on one lane."""

import errno
from collections.abc import Callable

import trio
from trio.lowlevel import checkpoint

from ...actors import Actor, ExitReason, logs
from ...actors.actor import make_receiver
from ..errors.error_response import platform_error
from ..in_flight.lane import Lane
from ..in_flight.turns import TurnRunner
from ..logs.lambda_log import log_error

logger = logs.logger("okibi")

STOPPED = "the process ends, and the handler did not end when it was cancelled"


class Responder(Actor):
    """Stages what may be sent, writes it, waits for mail. Starts where its predecessor stopped.

    The worker that settles a delivery runs the responder's turn itself
    (`okibi.runtime.in_flight.turns`). The responder's task wakes only if the connection takes no
    more, or something came over it while the handler held the loop: the end of the connection, or a
    status before the end of a stream. The poller must read that first, or the response is lost. The
    woken task therefore waits one pass of the loop before it writes a whole response.

    Args:
        lane: the lane to write on.
        fail_interrupted_step: called if a write is interrupted; returns whether the process ends
            (`Ledger.fail_interrupted_step`).
    """

    def __init__(
        self,
        lane: Lane,
        fail_interrupted_step: Callable[[str, BaseException], bool] = lambda step, error: False,
    ) -> None:
        self.lane = lane
        self.fail_interrupted_step = fail_interrupted_step

    async def run(self) -> None:
        lane = self.lane
        lane.register_responder(self.ref)
        receive = make_receiver(self, TurnRunner(self._turn))
        while True:
            if self._write():
                await receive()
                if lane.stream is None or self._has_input():
                    await checkpoint()
            else:
                await self._writable()

    async def terminate(self, reason: ExitReason) -> None:
        """Write what the workers have left, within the grace period. The rest is lost."""
        if reason.quiet:
            self._settle_stopped()
        while not self._write():
            await self._writable()

    def _settle_stopped(self) -> None:
        """Settle an event whose worker was killed or did not end, while the process ends.

        The dispatcher has stopped already. If the process goes on, the next dispatcher settles it.
        """
        delivery = self.lane.delivery
        if delivery is None or not self.lane.closing:
            return
        outcome = platform_error("Runtime.Stopped", STOPPED, delivery.request_id)
        if delivery.observed is not None:
            delivery.observed.end(outcome)
        if delivery.settle(outcome):
            log_error(outcome.body)
        delivery.drop_follow_ups("the process ends")

    def _turn(self, _: object) -> bool:
        connection = self.lane.connection
        if connection is not None and connection.transport.pending():
            # As `_has_input`, without a call: each event comes here.
            return False
        return self._write()

    def _has_input(self) -> bool:
        """Return whether something has come that the poller must read first."""
        connection = self.lane.connection
        return connection is not None and connection.transport.pending()

    def _write(self) -> bool:
        """Stage and write. False if the connection takes no more now."""
        lane = self.lane
        connection = lane.connection
        if connection is None:
            return True
        lane.stage()
        try:
            lane.outbox.write(connection.transport.send)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EBADF, errno.ENOTSOCK):
                # The user's code has closed the socket; epoll does not wake the poller for that.
                raise
            # The poller gets the same error and decides.
            logger.debug("lane %d cannot be written to: %s", lane.index, error)
        except BaseException as interruption:
            if self.fail_interrupted_step("writing a response", interruption):
                # How much has gone out is unknown: nothing may follow on this connection.
                lane.disconnect()
            raise
        else:
            lane.on_flushed()
        finally:
            if lane.stream is not None:
                lane.stream.mark_written(blocked=bool(lane.outbox.pieces))
        return True

    async def _writable(self) -> None:
        connection = self.lane.connection
        assert connection is not None  # it refused a write, and there was no checkpoint since
        try:
            await connection.transport.writable()
        except trio.ClosedResourceError:
            return
