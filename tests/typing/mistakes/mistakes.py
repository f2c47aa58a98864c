"""Mistakes of a user's, each of which a type checker must report at its line."""

from collections.abc import AsyncIterator

import attrs

import okibi
from okibi.actors import (
    Group,
    Name,
    Pending,
    Ref,
    Registered,
    Server,
    StateMachine,
    await_many,
    from_thread,
)
from okibi.asyncio_loop import from_asyncio
from okibi.batch import Batch, Record
from okibi.entities import Entities, Entity, Once
from okibi.runtime import Context, Handler, Prelude, Response, streaming
from okibi.supervisors import Child, DynamicSupervisor, TaskStream, TaskSupervisor, run_task
from okibi.testing import inbox


class Visits(Server):
    async def visit(self, name: str) -> int:
        return len(name)


class Orders(Server):
    async def order(self, number: int) -> str:
        return str(number)


async def fetch(url: str) -> bytes:
    return url.encode()


VISITS = Name("visits", Visits)
TASKS = Name("tasks", TaskSupervisor)
VISITORS = Group("visitors", Visits)


def misspelt_export() -> object:
    return okibi.Servr  # mistake: export


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


async def wrong_argument_of_a_call_that_waits() -> None:
    await VISITS.waiting(5).call(Visits.visit, 1)  # mistake: waiting argument


async def another_servers_name_that_is_waited_for() -> Ref[Orders]:
    return await VISITS.wait()  # mistake: waited for


async def wrong_reply_type_of_a_call_that_waits() -> str:
    return await VISITS.waiting(5).call(Visits.visit, "bob")  # mistake: waiting reply


def another_server_selected() -> list[Registered[Orders]]:
    return Name.select(Visits)  # mistake: selected


def a_key_that_cannot_be_hashed() -> None:
    Name(["visits"], Visits)  # mistake: key


class Watching(Server):
    async def watch(self) -> None:
        self.monitor("visits")  # mistake: monitored


class Door(StateMachine[int]):
    initial = 0

    async def open(self, width: int) -> bytes:
        if not width:
            self.postpone()
        self.change("open")  # mistake: state
        self.state_timeout(1, Door.open, "wide")  # mistake: timeout argument
        self.state_timeout(1, Orders.order, 1)  # mistake: timeout server
        return b""


async def wrong_types_of_several_replies(pending: Pending[int]) -> list[str]:
    return await await_many([pending])  # mistake: several replies


async def wrong_type_of_a_message_in_an_inbox() -> int:
    async with inbox() as box:
        return await box.assert_receive(str)  # mistake: received


def another_server_in_a_group(orders: Ref[Orders]) -> None:
    VISITORS.join(orders)  # mistake: group member


async def wrong_argument_of_a_task() -> None:
    await TASKS.call(TaskSupervisor.start_task, fetch, 1)  # mistake: task argument


async def missing_argument_of_a_task() -> None:
    await run_task(TASKS, fetch)  # mistake: task argument missing


async def wrong_type_of_a_tasks_outcome() -> str:
    return await run_task(TASKS, fetch, "a")  # mistake: task outcome


def wrong_items_of_a_stream() -> None:
    TaskStream(TASKS, fetch, [1, 2], max_concurrency=4)  # mistake: stream items


async def another_kind_of_child(pool: Ref[DynamicSupervisor]) -> Ref[Orders] | None:
    child = Child(Visits)
    return await pool.call(DynamicSupervisor.start_child, child)  # mistake: dynamic child


class WrongItems(Handler[object]):
    async def handle(self, event: object, context: Context) -> AsyncIterator[int]:  # mistake: items
        yield 1


async def wrong_piece(response: Response) -> None:
    await response.write(7)  # mistake: piece


def wrong_prelude() -> Prelude:
    return Prelude(status="200")  # mistake: prelude


def wrong_argument_after_the_response(context: Context) -> None:
    context.after_response(str.upper, 7)  # mistake: argument of a function


def plainly(event: object, response: Response, context: Context) -> None: ...


async def without_a_response(event: object, context: Context) -> None: ...


def wrong_marks() -> None:
    streaming(plainly)  # mistake: no coroutine
    streaming(without_a_response)  # mistake: no response


ORDERS = Name("orders", Orders)


async def saves(record: Record[bytes]) -> None:
    record.body.encode()  # mistake: body


async def saves_prepared(record: Record[bytes], number: int) -> None: ...


async def prepares_text(records: list[Record[bytes]]) -> str:
    return ""


async def prepares_other_records(records: list[Record[str]]) -> int:
    return 0


class Clerk(Server):
    async def save(self, record: Record[bytes]) -> None: ...


def wrong_batches() -> None:
    Batch(fetch)  # mistake: no record
    Batch(saves_prepared)  # mistake: nothing prepared
    Batch(saves, prepare=prepares_text)  # mistake: prepared for nothing
    Batch(saves_prepared, prepare=prepares_text)  # mistake: prepared
    Batch(saves_prepared, prepare=prepares_other_records)  # mistake: records prepared
    Batch(Clerk.save)  # mistake: method without an actor
    Batch(Clerk.save, actor=ORDERS)  # mistake: method of another actor
    Batch(Orders.order, actor=ORDERS)  # mistake: method without a record
    Batch(saves, order="group")  # mistake: order
    Batch(saves, concurency=3)  # mistake: option


class Reader(Server, loop="asyncio"):
    async def read(self, key: str) -> bytes:
        return key.encode()


def wrong_loop() -> None:
    class Written(Server, loop="uvloop"):  # mistake: loop
        pass

    print(Written)


async def wrong_calls_of_an_actor_on_asyncio(reader: Name[Reader]) -> None:
    await reader.call(Reader.read, 7)  # mistake: argument of an actor on asyncio
    read = from_asyncio.call(reader, Reader.read, "key")
    text: str = await read  # mistake: reply of an actor on asyncio
    print(text)


@attrs.define(eq=False)
class Cart(Entity):
    user: str = ""

    async def add(self, item: str, count: int = 1) -> int:
        self.send_after(60, Cart.add)  # mistake: alarm with arguments
        self.send_after(60, Seat.release)  # mistake: alarm of another entity
        self.send_after(60, Cart.show)  # mistake: alarm of no message
        self.cancel_alarm(Seat.release)  # mistake: alarm cancelled
        return len(item) * count

    def show(self) -> str:
        return self.user


@attrs.define(eq=False)
class Seat(Entity):
    async def release(self) -> None: ...


CARTS = Entities("cart", Cart)


def wrong_entities() -> None:
    Entities("visits", Visits)  # mistake: no entity


async def wrong_calls_of_entities() -> None:
    await CARTS["bob"].call(Cart.add, 1)  # mistake: argument of an entity
    await CARTS["bob"].once("event").call(Cart.add)  # mistake: argument of an entity missing
    text: str = await CARTS["bob"].call(Cart.add, "tea")  # mistake: reply of an entity
    await CARTS["bob"].call(Seat.release)  # mistake: method of another entity
    await CARTS["bob"].cast(Orders.order, 1)  # mistake: method of no entity
    await CARTS[7].cast(Cart.add, text)  # mistake: key of an entity


async def wrong_work_once(paid: Once) -> str:
    await paid.run("order", fetch, 7)  # mistake: argument of work
    return await paid.run("order", fetch, "url")  # mistake: result of work
