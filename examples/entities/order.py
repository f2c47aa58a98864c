"""An order in three steps, of which the second may fail: a saga.

If the sandbox ends in the middle, Lambda sends the event again. Each step has the key of the order,
so it runs once, and the order goes on where it ended.
"""

import attrs

from okibi import Child, Context, Function, Handler, Refusal
from okibi.entities import Entities, Entity, EntityStore, Once

# Seconds within which Lambda, or a person, sends an event again.
DAY = 86400.0


class SoldOut(Refusal):
    """Fewer items are left."""


@attrs.define(eq=False)
class Stock(Entity):
    """The items of an article."""

    left: int = 10

    async def reserve(self, count: int) -> None:
        """Take items out of the stock."""
        if count > self.left:
            raise SoldOut(f"{self.left} of {self.key} are left")
        self.left -= count

    async def release(self, count: int) -> None:
        """Put items back."""
        self.left += count


@attrs.define(eq=False)
class Parcel(Entity):
    """What is sent for an order."""

    article: str = ""
    count: int = 0

    async def pack(self, article: str, count: int) -> None:
        """Pack the items."""
        self.article, self.count = article, count

    async def look(self) -> tuple[str, int]:
        """Return what is in the parcel."""
        return self.article, self.count


STOCKS = Entities("stock", Stock)
# Nobody calls a parcel, so a doorbell has its casts run.
PARCELS = Entities("parcel", Parcel, doorbell=True)
CHARGED = Once("charged", kept=DAY)


@attrs.frozen
class Order:
    """The event."""

    id: str
    article: str
    count: int
    cents: int


async def charge(order: str, cents: int) -> bool:
    """Charge a card; return whether it was accepted. A refused card is a result, which is kept."""
    # Ask the payment service here, with the order as its idempotency key.
    return cents <= 10_000


@attrs.define(eq=False)
class Orders(Handler[Order]):
    """Takes an order."""

    async def handle(self, event: Order, context: Context) -> str:
        stock = STOCKS[event.article].once(event.id, kept=DAY)
        try:
            await stock.call(Stock.reserve, event.count)
        except SoldOut as sold_out:
            return str(sold_out)
        if not await CHARGED.run(event.id, charge, event.id, event.cents):
            await stock.cast(Stock.release, event.count)  # undo the first step
            return "the card was refused"
        await PARCELS[event.id].cast(Parcel.pack, event.article, event.count)
        return "on its way"


function = Function(handler=Orders, children=[Child(EntityStore)])
