"""Mistakes of a user's, each of which a type checker must report at its line."""

from collections.abc import AsyncIterator

import okibi
from okibi.actors import Group, Name, Ref, Registered, Server, from_thread
from okibi.runtime import Context, Handler, Prelude, Response, streaming
from okibi.supervisors import Child, DynamicSupervisor, TaskStream, TaskSupervisor, run_task


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


def plainly(event: object, response: Response, context: Context) -> None: ...


async def without_a_response(event: object, context: Context) -> None: ...


def wrong_marks() -> None:
    streaming(plainly)  # mistake: no coroutine
    streaming(without_a_response)  # mistake: no response
