"""Five mistakes of a user's, each of which a type checker must report at its line."""

from actors import Name, Ref, Server


class Visits(Server):
    async def visit(self, name: str) -> int:
        return len(name)


class Orders(Server):
    async def order(self, number: int) -> str:
        return str(number)


VISITS = Name("visits", Visits)


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
