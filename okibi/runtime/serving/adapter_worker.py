"""The worker of a handler that may go on after its answer (`Adapter`).

Imported for an adapter.
"""

from functools import partial

from ..handlers.handler import Instance
from ..in_flight.delivery import Delivery
from ..in_flight.lane import Lane
from ..logs.lambda_log import flush
from ..protocol.outcome import Outcome
from .event_scope import EventScope
from .worker import Worker, end_of_event


class AdapterWorker(Worker):
    """Runs the rest of a handler that has answered early as the first follow-up of the event."""

    __slots__ = ()

    async def _handle(
        self, instance: Instance, lane: Lane, delivery: Delivery, scope: EventScope
    ) -> tuple[Outcome, bool]:
        delivery.allow_early_answer(partial(self._answer_early, lane, delivery))
        try:
            return await super()._handle(instance, lane, delivery, scope)
        finally:
            delivery.drop_other_answers()

    def _answer_early(self, lane: Lane, delivery: Delivery, result: object) -> None:
        """Answer an event whose handler goes on.

        The handler is on the stack, so the responder writes the response in a step of its own.

        Args:
            lane, delivery: the event.
            result: the handler's result, or an Outcome.

        Raises:
            MarshalError: the result cannot be encoded.
        """
        outcome = result if isinstance(result, Outcome) else self.encode_result(result)
        follow_ups = delivery.open_follow_ups()
        if follow_ups is None:
            # The event was late, and is answered.
            return
        if delivery.observed is not None:
            delivery.observed.note_early_answer(outcome)
        follow_ups.begin = partial(self.ledger.begin_follow_ups, delivery, self._own_ref)
        self._end_reason = end_of_event(outcome)
        lane.outbox.hold_next()
        try:
            flush()
        finally:
            if delivery.settle(outcome, self._own_ref):
                self.ledger.respond(lane)
