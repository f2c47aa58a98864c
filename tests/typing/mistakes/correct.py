"""The correct twin: everything a user may write, and nothing for a type checker to report."""

import enum
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Generic, TypeVar

import attrs
import trio

from okibi.actors import (
    Actor,
    Address,
    Caller,
    Down,
    ExitReason,
    Group,
    Joined,
    MailboxStatistics,
    Monitor,
    Name,
    Pending,
    Portal,
    Ref,
    Registered,
    Result,
    ResultMonitor,
    Server,
    StateMachine,
    await_many,
    from_sync,
    from_thread,
    start,
    stop,
)
from okibi.asyncio_loop import from_asyncio
from okibi.batch import Batch, Record
from okibi.entities import Entities, Entity, EntityRef, EntityStore, MemoryStore, Once
from okibi.runtime import Context, Function, Handler, Prelude, Response, streaming
from okibi.supervisors import (
    BRUTAL_KILL,
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    Task,
    TaskStream,
    TaskSupervisor,
    TaskSupervisorSpec,
    append_arguments,
    run_task,
    supervise,
)
from okibi.testing import inbox

T = TypeVar("T")
A = TypeVar("A", bound=Actor)


@attrs.define(eq=False)
class Visits(Server):
    seen: dict[str, int] = attrs.Factory(dict[str, int])

    async def visit(self, name: str, *, times: int = 1) -> int:
        self.seen[name] = self.seen.get(name, 0) + times
        return self.seen[name]

    async def forget(self) -> None:
        self.seen.clear()

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            await self.forget()

    async def terminate(self, reason: ExitReason) -> None:
        await trio.lowlevel.checkpoint()


class Better(Visits): ...


class Board(Server):
    seen: tuple[Ref[Visits], ...] = ()

    async def init(self) -> None:
        self.seen = self.monitor(VISITORS).members_at_start
        monitor: Monitor = self.monitor(VISITS)
        monitor.demonitor()
        self.send_every(60.0, "look again").cancel()

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Joined):
            self.seen += (message.ref,)


@attrs.define(eq=False)
class Box(Server, Generic[T]):
    content: T

    async def swap(self, content: T) -> T:
        self.content, old = content, self.content
        return old


class Starter(Server):
    async def make(self, factory: Callable[[], A]) -> Ref[A]:
        async with trio.open_nursery() as nursery:
            return await start(nursery, factory)


async def fetch(url: str, *, times: int = 1) -> bytes:
    return url.encode() * times


VISITS = Name("visits", Visits)
POOL = Name("pool", DynamicSupervisor)
TASKS = Name("tasks", TaskSupervisor)
VISITORS = Group("visitors", Visits)
ROOM = Name(("room", 7), Visits)
SUB = Child(SupervisorSpec([Child(Better)], strategy=Strategy.REST_FOR_ONE), id="sub")
TREE = SupervisorSpec(
    [
        Child(Visits, name=VISITS),
        Child(partial(Visits, {"bob": 1}), id="second", restart=Restart.TRANSIENT),
        Child(lambda: Box(1), id="box", shutdown=BRUTAL_KILL),
        SUB,
        Child(DynamicSupervisorSpec(max_children=9, extra_arguments=({"bob": 1},)), name=POOL),
        Child(TaskSupervisorSpec(), name=TASKS),
    ],
    intensity=3,
)


class Asking(Server):
    """Knows who calls, and has others' answers sent to it."""

    caller_before: Caller | None = None
    pending: Pending[int] | None = None

    async def ask(self) -> None:
        self.caller_before = self.caller
        down: Monitor = self.monitor(self.caller)
        down.demonitor()
        self.pending = await ROOM.request(Visits.visit, "bob")
        result: ResultMonitor = self.monitor(self.pending)
        result.demonitor()
        self.monitor(await TASKS.call(TaskSupervisor.start_task, fetch, "a"))

    async def handle_info(self, message: object) -> None:
        match message:
            case Result(source=self.pending, error=None) if self.pending is not None:
                count: int = await self.pending.result()
                ROOM.update_value(lambda _: count)
            case Result(error=error):
                print(error)
            case _:
                pass


async def waits() -> int:
    visits: Ref[Visits] = await ROOM.wait()
    first_count = await first(visits)
    count: int = await ROOM.waiting(5).call(Visits.visit, "bob", times=2)
    pending: Pending[int] = await ROOM.waiting(5).request(Visits.visit, "bob")
    await ROOM.waiting(5).cast(Visits.forget)
    await ROOM.waiting(5).send(count)
    full: list[Registered[Visits]] = Name.select(Visits, lambda room: room.value == count)
    refs: list[Ref[Visits]] = [each.ref for each in Name.select(Visits)]
    return (
        await pending.result()
        + len(full)
        + len(refs)
        + await first(ROOM.waiting(1))
        + count
        + first_count
    )


async def first(address: Address[Visits]) -> int:
    return await address.call(Visits.visit, "bob")


def in_a_thread(door: Portal, better: Ref[Better]) -> int:
    from_thread.cast(better, Visits.forget)
    from_sync.send(VISITS, "hello")
    return door.call(VISITS, Visits.visit, "bob", times=2) + from_thread.call(
        better, Visits.visit, name="bob"
    )


async def main(starter: Ref[Starter]) -> None:
    async with trio.open_nursery() as nursery:
        top: Ref[Supervisor] = await supervise(nursery, TREE)
        count: int = await VISITS.call(Visits.visit, "bob", times=2)
        await VISITS.cast(Visits.visit, name="bob")
        VISITS.cast_nowait(Visits.forget)
        await VISITS.send(count)
        better: Ref[Better] = await start(nursery, Better)
        count = await first(better) + await first(VISITS)
        VISITORS.join(better)
        members: list[Ref[Visits]] = VISITORS.members()
        count = await VISITORS.dispatch(Visits.visit, "bob") + len(members)
        statistics: MailboxStatistics = better.mailbox_statistics
        count = statistics.peak + in_a_thread(Portal(), better)
        box: Ref[Box[int]] = await start(nursery, lambda: Box(1))
        count = await box.call(Box[int].swap, 2)
        made: Ref[Visits] = await starter.call(Starter.make, Visits)
        reason: ExitReason = await stop(made)
        child: Ref[Visits] | None = await top.call(Supervisor.start_child, Child(Visits))
        if child is not None:
            count = await child.call(Visits.visit, "bob")
        await top.call(Supervisor.terminate_child, "Visits")
        top.stop(reason)


async def dynamic(nursery: trio.Nursery) -> int:
    pool: Ref[DynamicSupervisor] = await supervise(nursery, DynamicSupervisorSpec())
    visits: Ref[Visits] | None = await pool.call(DynamicSupervisor.start_child, Child(Visits))
    more = await POOL.call(DynamicSupervisor.start_child, Child(append_arguments(Visits)))
    inner: Ref[TaskSupervisor] | None
    inner = await pool.call(DynamicSupervisor.start_child, Child(TaskSupervisorSpec()))
    if visits is None or more is None or inner is None:
        return 0
    await pool.call(DynamicSupervisor.terminate_child, visits)
    counts = await POOL.call(DynamicSupervisor.count_children)
    return counts.active + await more.call(Visits.visit, "bob")


async def tasks(urls: list[str]) -> bytes:
    task: Task[bytes] = await TASKS.call(TaskSupervisor.start_task, fetch, "a", times=2)
    await TASKS.cast(TaskSupervisor.start_task, fetch, "b")
    got: bytes = await run_task(TASKS, fetch, "c")
    async with TaskStream(TASKS, fetch, urls, max_concurrency=4) as results:
        async for url, outcome in results:
            got += url.encode() + outcome.unwrap()
    several: list[bytes] = await await_many([task, task])
    return got + await task.result() + several[0]


class Link(enum.Enum):
    DOWN = "down"
    UP = "up"


@attrs.define(eq=False)
class Connection(StateMachine[Link]):
    delay: float = 1
    initial = Link.DOWN

    async def enter(self, state: Link, previous: Link | None) -> None:
        if state is Link.DOWN:
            self.state_timeout(self.delay, Connection.connect, times=2)
            task = await TASKS.call(TaskSupervisor.start_task, fetch, "a")
            monitor: ResultMonitor = self.state_monitor(task)
            monitor.demonitor()

    async def connect(self, times: int = 1) -> None:
        self.change(Link.UP)

    async def query(self, text: str) -> str:
        if self.state is not Link.UP:
            self.postpone()
        return text


async def connection(ref: Ref[Connection], listeners: Group[Actor]) -> str:
    async with inbox() as box:
        listeners.join(box.ref)
        reached: int = await listeners.send("hello")
        down: Down = await box.assert_receive(Down, lambda down: down.path == "/a", timeout=reached)
        await box.assert_receive()
        return down.path + await ref.call(Connection.query, "a")


class Streams(Handler[dict[str, int]]):
    async def handle(
        self, event: dict[str, int], context: Context
    ) -> AsyncIterator[bytes | str | Prelude]:
        yield Prelude(status_code=201, headers={"content-type": "text/plain"}, cookies=["a=b"])
        yield b"one"
        yield "two"


class Answers(Handler[dict[str, int]]):
    async def handle(self, event: dict[str, int], context: Context) -> dict[str, int]:
        return event


def after_the_response(context: Context) -> None:
    context.after_response(str.upper, "one")
    context.after_response(lambda: None)


async def yields(event: object, context: Context) -> AsyncIterator[bytes]:
    yield b"one"


def yields_plainly(event: object, context: Context) -> Iterator[str]:
    yield "one"


@streaming
async def writes(event: object, response: Response, context: Context) -> None:
    response.content_type = "text/csv"
    await response.write("one")
    await response.write(memoryview(b"two"))


FUNCTIONS = [Function(Streams), Function(Answers), Function(yields), Function(yields_plainly)]
FUNCTIONS.append(Function(writes, loop="asyncio"))


@attrs.frozen
class Order:
    number: int


async def saves(record: Record[Order]) -> None:
    number: int = record.body.number
    before: Order | None = record.old_body
    places: list[int | None] = [number, record.number, before.number if before else None]
    await fetch(f"{record.id} {record.context.aws_request_id} {places}")


def saves_plainly(record: Record[bytes]) -> int:
    return len(record.body)


async def prepares(records: list[Record[Order]]) -> dict[int, str]:
    return {each.body.number: each.id for each in records}


def prepares_plainly(records: list[Record[Order]]) -> dict[int, str]:
    return {each.body.number: each.id for each in records}


async def saves_prepared(record: Record[Order], ids: dict[int, str]) -> None:
    await fetch(ids[record.body.number])


def saves_prepared_plainly(record: Record[Order], ids: dict[int, str]) -> str:
    return ids[record.body.number]


class Clerk(Server):
    async def save(self, record: Record[Order]) -> None:
        await fetch(str(record.body.number))

    async def save_prepared(self, record: Record[Order], ids: dict[int, str]) -> None:
        await fetch(ids[record.body.number])


CLERK = Name("clerk", Clerk)
BATCHES = [
    Function(Batch(saves)),
    Function(Batch(saves, concurrency=3, timeout=1.5, order="partition", loop="asyncio")),
    Function(Batch(saves_plainly, other=lambda event, context: event)),
    Function(Batch(saves_prepared, prepare=prepares, raise_on_entire_batch_failure=True)),
    Function(Batch(saves_prepared, prepare=prepares_plainly)),
    Function(Batch(saves_prepared_plainly, prepare=prepares)),
    Function(Batch(saves_prepared_plainly, prepare=prepares_plainly)),
    Function(Batch(Clerk.save, actor=CLERK)),
    Function(Batch(Clerk.save, actor=CLERK.waiting(1))),
    Function(Batch(Clerk.save_prepared, actor=CLERK, prepare=prepares)),
]


class Reader(Server, loop="asyncio"):
    refuses = (OSError,)

    async def read(self, key: str) -> bytes:
        return key.encode()


async def reads(reader: Name[Reader]) -> bytes:
    return await reader.call(Reader.read, "key") + await from_asyncio.call(
        reader, Reader.read, "key"
    )


@attrs.define(eq=False)
class Cart(Entity):
    items: dict[str, int] = attrs.Factory(dict[str, int])

    async def add(self, item: str, count: int = 1) -> int:
        self.items[item] = count
        self.send_after(60, Cart.remind)
        await CARTS[self.key].cast(Cart.add, f"{self.now()}", count=2)
        return await CARTS["eve"].call(Cart.add, item)

    async def remind(self, times: int = 1) -> None:
        self.cancel_alarm(Cart.remind)


@attrs.define(eq=False)
class SpecialCart(Cart): ...


CARTS = Entities("cart", Cart, doorbell=True)
SPECIAL = Entities("special", SpecialCart)
ENTITY_STORES = [Child(EntityStore), Child(partial(EntityStore, MemoryStore()))]


async def calls_entities(paid: Once) -> bytes:
    cart: EntityRef[Cart] = CARTS["bob"].once("event", kept=60)
    number: int = await cart.call(Cart.add, "tea", count=2)
    await SPECIAL["bob"].cast(Cart.add, "tea", number)
    return await paid.run("order", fetch, "url", times=2)
