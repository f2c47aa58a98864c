"""Mistakes of a user's, each of which a type checker must report at its line."""

from actors import Group, Name, Ref, Server, from_thread


class Visits(Server):
    async def visit(self, name: str) -> int:
        return len(name)


class Orders(Server):
    async def order(self, number: int) -> str:
        return str(number)


VISITS = Name("visits", Visits)
VISITORS = Group("visitors", Visits)


async def wrong_reply_type(visits: Ref[Visits]) -> str:
    reply: str = await visits.call(Visits.visit, "bob")  # mistake: reply
    return reply


async def extra_argument() -> None:
    await VISITS.call(Visits.visit, "bob", "again")  # mistake: extra


async def wrong_argument_type(visits: Ref[Visits]) -> None:
    await visits.cast(Visits.visit, 1)  # mistake: argument


async def another_servers_method() -> None:
    await VISITS.cast(Orders.order, 1)  # mistake: server


async def misspelt_method(visits: Ref[Visits]) -> None:
    await visits.call(Visits.vist, "bob")  # mistake: misspelt


def wrong_argument_through_a_door(visits: Ref[Visits]) -> int:
    return from_thread.call(visits, Visits.visit, 1)  # mistake: door argument


def another_servers_method_through_a_door(visits: Ref[Visits]) -> None:
    from_thread.cast(visits, Orders.order, 1)  # mistake: door server


async def another_servers_method_to_a_group() -> None:
    await VISITORS.dispatch(Orders.order, 1)  # mistake: group server


def another_server_in_a_group(orders: Ref[Orders]) -> None:
    VISITORS.join(orders)  # mistake: group member
