"""A worker whose handler does what its events say, and logs its life cycle."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import ExitReason, Ref, start
from okibi.runtime.codec.typed_json import decoder_for, encode_handler_result
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import Handler, Instance, event_type
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import Ledger
from okibi.runtime.serving.worker import Worker
from tests.support.doubles import SETTINGS, delivery, ledger_of, plain_beside

LOG: list[str] = []


@attrs.frozen
class Event:
    do: str = "echo"


@attrs.define(eq=False)
class Player(Handler[Event]):
    """Does what the event says, and logs its life cycle."""

    made: ClassVar[int] = 0
    fails: ClassVar[set[int]] = set()
    number: int = attrs.field(init=False)

    async def init(self) -> None:
        Player.made += 1
        self.number = Player.made
        if self.number in self.fails:
            raise ConnectionError("no database")
        LOG.append(f"init {self.number}")
        self.nursery.start_soon(self._beside)

    async def _beside(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            LOG.append(f"task of {self.number} ends")

    async def handle(self, event: Event, context: Context) -> object:
        match event.do:
            case "raise":
                raise ValueError("no")
            case "exit":
                raise SystemExit(3)
            case "exit in a group":
                raise BaseExceptionGroup("two", [SystemExit(3), trio.TooSlowError()])
            case "sleep":
                await trio.sleep_forever()
            case "object":
                return object()
            case "crash beside":
                self.nursery.start_soon(self._crash)
                await trio.sleep_forever()
            case "interrupt":
                raise KeyboardInterrupt
        return self.number

    async def _crash(self) -> None:
        raise LookupError("beside")

    async def terminate(self, reason: ExitReason) -> None:
        LOG.append(f"terminate {self.number} {reason.kind}")


@pytest.fixture
def fresh() -> None:
    """Forget the instances of earlier tests."""
    LOG.clear()
    Player.made = 0
    Player.fails = set()


@attrs.define(eq=False)
class Bench:
    """One worker and one lane."""

    ledger: Ledger
    worker: Ref[Any]

    @property
    def lane(self) -> Lane:
        return self.ledger.lanes[0]

    async def give(self, body: bytes, **fields: Any) -> Delivery:
        """Hand over an event and wait until nothing more happens."""
        made = self.lane.delivery = delivery(body, **fields)
        assert made.assign(self.worker)
        self.worker.send_nowait((self.lane, made))
        await wait_all_tasks_blocked()
        return made

    async def tell(self, do: str, **fields: Any) -> Any:
        """Let the handler do something; return the response."""
        return answer(await self.give(json.dumps({"do": do}).encode(), **fields))


def answer(made: Delivery) -> Any:
    assert made.outcome is not None
    return json.loads(made.outcome.body)


async def bench(
    nursery: trio.Nursery, make: Callable[[], Instance] = Player, *, stateful: bool = False
) -> Bench:
    ledger = ledger_of()
    kind = decoder_for(event_type(Player) if make is Player else Any)
    factory = partial(
        Worker,
        ledger,
        SETTINGS,
        make,
        kind,
        stateful or make is Player,
        encode_handler_result,
        plain_beside,
    )
    return Bench(ledger, await start(nursery, factory, path="/worker"))
