"""A cart for each user, with a reminder when nothing has changed for an hour.

`okibi dev cart.function` keeps the carts in a file, and rings the reminders.
"""

import json
import os

import attrs

from okibi import Child, Context, Function, Handler
from okibi.aws import call
from okibi.entities import Entities, Entity, EntityStore

REMIND_AFTER = 3600.0


@attrs.define(eq=False)
class Cart(Entity):
    """What a user wants to buy."""

    items: dict[str, int] = attrs.Factory(dict[str, int])
    reminders: int = 0

    async def add(self, item: str, count: int) -> dict[str, int]:
        """Add items, and return what is in the cart."""
        self.items[item] = self.items.get(item, 0) + count
        self.send_after(REMIND_AFTER, Cart.remind)
        return self.items

    async def check_out(self) -> dict[str, int]:
        """Empty the cart, and return what was in it."""
        items, self.items = self.items, {}
        self.cancel_alarm(Cart.remind)
        return items

    async def remind(self) -> None:
        """Put a reminder into a queue (SQS FIFO).

        If this sandbox dies before the cart is saved, another one sends the reminder again, with
        the same number: the queue drops it.
        """
        self.reminders += 1
        message = {
            "QueueUrl": os.environ["REMINDERS"],
            "MessageBody": json.dumps({"user": self.key, "items": self.items}),
            "MessageGroupId": self.key,
            "MessageDeduplicationId": f"{self.key}-{self.reminders}",
        }
        await call("sqs", "SendMessage", message)


CARTS = Entities("cart", Cart)


@attrs.frozen
class Request:
    """An item for a user's cart; without an item, the user checks out."""

    user: str
    item: str = ""
    count: int = 1


@attrs.define(eq=False)
class Shop(Handler[Request]):
    """Changes a cart. An event that Lambda sends again changes nothing."""

    async def handle(self, event: Request, context: Context) -> dict[str, int]:
        cart = CARTS[event.user].once(context.aws_request_id)
        if not event.item:
            return await cart.call(Cart.check_out)
        return await cart.call(Cart.add, event.item, event.count)


function = Function(handler=Shop, children=[Child(EntityStore)])
