"""The worker of a function with entities: takes rings before the handler sees them.

Imported where the function's module has imported `okibi.entities`.
"""

import json
from typing import Any, cast

from ...entities.alarms import RING, read_ring
from ...entities.entities import ring
from ...entities.entity_store import remember_function
from ..codec.json import UNTYPED, encode_async_def_result
from ..handlers.handler import Instance
from ..in_flight.delivery import Delivery
from ..in_flight.lane import Lane
from ..protocol.outcome import Outcome
from .event_scope import EventScope
from .worker import Worker

_MARK = RING.encode()
# A ring has its mark within so many bytes.
_START = 40


class Ringer:
    """Runs what is due in an entity, in place of the handler."""

    async def handle(self, event: Any, context: object) -> None:
        found = read_ring(event)
        assert found is not None  # else the event is the handler's
        await ring(*found)


class TakesRings(Worker):
    """Takes rings; any other event is the handler's. Comes before another class of workers."""

    __slots__ = ()

    async def _handle(
        self, instance: Instance, lane: Lane, delivery: Delivery, scope: EventScope
    ) -> tuple[Outcome, bool]:
        remember_function(delivery.headers.get(b"lambda-runtime-invoked-function-arn", b""))
        if not _is_ring(delivery.body):
            return await super()._handle(instance, lane, delivery, scope)
        kept = self.decoder, self.encode_result
        self.decoder, self.encode_result = UNTYPED, encode_async_def_result
        try:
            outcome, _ = await super()._handle(cast("Instance", Ringer()), lane, delivery, scope)
        finally:
            self.decoder, self.encode_result = kept
        return outcome, True


def taking_rings(kind: type[Worker]) -> type[Worker]:
    """Return a class of workers that take rings."""
    return type(f"{kind.__name__}WithEntities", (TakesRings, kind), {"__slots__": ()})


def _is_ring(body: bytes) -> bool:
    if body.find(_MARK, 0, _START) < 0:
        return False
    try:
        return read_ring(json.loads(body)) is not None
    except ValueError:
        return False
