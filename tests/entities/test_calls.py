"""A call and its run: leases, deadlines, freezes, messages that end their run."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.aws import CallFailed
from okibi.entities.calls import LEASE, PATIENCE, Caller, CallLate, Handled, MailFull, Message
from okibi.entities.dynamodb import LARGE
from okibi.entities.dynamodb_store import DynamoDBStore
from okibi.entities.operations import (
    HandOver,
    Operation,
    Ownership,
    Post,
    Settle,
    TakeOver,
)
from okibi.entities.rows import MOST_MAIL, Mail, Row
from okibi.entities.stores import EntityFull, MemoryStore, StoreThrottled, StoreUnavailable
from okibi.testing import virtual_time
from tests.entities.mutants import HARMFUL, find
from tests.entities.simulation import Rules, set_aside, simulate
from tests.entities.tiny_dynamodb import Item, TinyClient, TinyDynamoDB


@attrs.define(eq=False)
class Sandbox:
    """Calls one entity; its messages take some seconds."""

    store: MemoryStore
    name: str
    seconds: float = 0.0
    runs: int = 0
    handled: int = 0

    async def handle(self, key: str, state: str, mail: Mail) -> Handled:
        self.handled += 1
        await trio.sleep(self.seconds)
        return Handled(state + mail.body, f"{self.name} ran {mail.body}")

    def new_run(self) -> str:
        self.runs += 1
        return f"{self.name}#{self.runs}"

    def caller(self) -> Caller:
        return Caller(self.store, self.handle, set_aside, self.new_run, is_quiet=False)

    async def call(self, body: str, number: int = 1, seconds: float = 60) -> str:
        deadline = self.store.now() + int(seconds * 1000)
        return (await self.caller().call("k", Message(self.name, number, body, deadline))).body


@virtual_time
async def test_a_slow_message_keeps_its_lease() -> None:
    store = MemoryStore()
    slow, quick = Sandbox(store, "slow", seconds=4 * LEASE / 1000), Sandbox(store, "quick")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.call, "a")
        await wait_all_tasks_blocked()
        # The slow one tries, gives up after a moment, and hands over.
        assert await quick.call("b") == "quick ran b"
    assert trio.current_time() == pytest.approx(4 * LEASE / 1000 + PATIENCE, abs=1)
    assert store.rows["k"].state == "ab"


@virtual_time
async def test_a_message_whose_callers_have_no_time_is_not_set_aside() -> None:
    store = MemoryStore()
    await store.apply(Post("k", Mail("cast", 1, "slow", 10**9)))
    for number in range(5):
        hasty = Sandbox(store, f"hasty {number}", seconds=2)
        with pytest.raises(CallLate):
            await hasty.call("x", seconds=1)
    patient = Sandbox(store, "patient", seconds=2)
    await patient.call("y")
    assert not store.rows["k"].dead
    assert store.rows["k"].state.startswith("slow")


@virtual_time
async def test_a_caller_that_has_its_reply_does_not_run_others_mail_for_long() -> None:
    store = MemoryStore()

    async def call(number: int) -> None:
        await Sandbox(store, f"s{number}", seconds=0.05).call(f"{number}", seconds=10)
        ends.append(trio.current_time())

    ends = list[float]()
    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(call, number)
    assert len(ends) == 40
    assert len(store.rows["k"].state) == sum(len(str(number)) for number in range(40))


@virtual_time
async def test_after_the_lease_another_takes_over_and_the_old_run_is_void() -> None:
    store = MemoryStore()
    frozen, other = Sandbox(store, "frozen"), Sandbox(store, "other")
    mail = Mail("frozen", 1, "a", store.now() + 120_000)
    await store.apply(Post("k", mail, "frozen#0", store.now() + LEASE))
    assert await other.call("b") == "other ran b"
    assert LEASE <= store.now() <= LEASE + 50
    assert await frozen.call("a") == "other ran a"
    assert store.rows["k"].state == "ab"
    assert frozen.handled == 0


@virtual_time
async def test_a_drain_waits_for_the_lease_of_a_dead_owner_and_of_no_other() -> None:
    store = MemoryStore()
    await store.apply(Post("k", Mail("cast", 1, "a", 10**9), "dead#0", LEASE))
    drain = Sandbox(store, "ring").caller().drain
    await drain("k", waits=False)
    assert store.rows["k"].mail
    await drain("k", waits=True)
    assert store.rows["k"].state == "a"
    assert trio.current_time() == LEASE / 1000

    # Another one takes over meanwhile.
    await store.apply(Post("k", Mail("cast", 2, "b", 10**9), "dead#1", store.now() + LEASE))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(drain, "k", waits=True))
        await wait_all_tasks_blocked()
        seen = store.rows["k"]
        await store.apply(TakeOver("k", "other#0", seen.lease + LEASE, seen))
    assert store.rows["k"].owner == "other#0"


class CountingStore(MemoryStore):
    """Notes of how many messages each settle is."""

    counts: tuple[int, ...] = ()

    async def apply(self, operation: Operation) -> Row:
        row = await super().apply(operation)
        if isinstance(operation, Settle):
            self.counts = (*self.counts, operation.count)
        return row


@virtual_time
async def test_mail_that_waited_when_a_run_died_is_run_one_by_one_by_all_later_runs() -> None:
    store = CountingStore()
    for number in range(3):
        await store.apply(Post("k", Mail(f"cast {number}", 1, "x", 10**9), "dead#0", LEASE))
    drain = Sandbox(store, "ring", seconds=1).caller().drain
    with trio.move_on_after(LEASE / 1000 + 1.5):
        await drain("k", waits=True)
    for sender in ("late", "later"):
        # The run that comes to the end of the suspects goes on as it began; the next one does not.
        for number in range(2):
            await store.apply(Post("k", Mail(f"{sender} {number}", 1, "x", 10**9)))
        await drain("k", waits=True)
    assert store.counts == (1, 1, 1, 1, 1, 2)


@attrs.define(eq=False)
class LossyStore(MemoryStore):
    """The store of one sandbox, over the rows of all; its first answers are lost."""

    rows: dict[str, Row] = attrs.Factory(dict[str, Row])
    skew: float = 0.0
    lost: int = 0

    def now(self) -> int:
        return super().now() + int(self.skew * 1000)

    async def apply(self, operation: Operation) -> Row:
        try:
            return await super().apply(operation)
        finally:
            if self.lost:
                self.lost -= 1
                raise StoreUnavailable("the answer is lost")


@virtual_time
async def test_clocks_that_differ_set_no_message_aside() -> None:
    rows, sandboxes = dict[str, Row](), list[Sandbox]()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            store = LossyStore(rows, skew=6.0 * number)
            sandboxes.append(Sandbox(store, f"s{number}", seconds=3))
            nursery.start_soon(sandboxes[-1].call, f"{number}")
            await trio.sleep(0.1)
    assert not rows["k"].dead
    assert sorted(rows["k"].state) == [*"01234"]


@virtual_time
async def test_a_lost_answer_of_a_post_does_not_cost_a_lease() -> None:
    store = LossyStore(lost=1)
    assert await Sandbox(store, "a").call("a") == "a ran a"
    assert trio.current_time() < 1


@virtual_time
async def test_a_lost_answer_of_a_take_over_is_no_death_of_a_run() -> None:
    store = LossyStore()
    await store.apply(Post("k", Mail("cast", 1, "a", 10**9)))
    store.lost = 2
    await Sandbox(store, "ring").caller().drain("k", waits=False)
    assert store.rows["k"].state == "a"
    assert store.rows["k"].fence == 1
    assert trio.current_time() < 1

    await store.apply(Post("k", Mail("cast", 2, "b", 10**9)))
    store.lost = 10**6
    with pytest.raises(StoreUnavailable):
        await Sandbox(store, "ring").caller().drain("k", waits=False)


@virtual_time
async def test_a_call_that_is_late_for_the_store_names_its_failure() -> None:
    with pytest.raises(CallLate) as late:
        await Sandbox(LossyStore(lost=10**6), "a", seconds=9).call("a", seconds=3)
    assert isinstance(late.value.__cause__, StoreUnavailable)
    with pytest.raises(CallLate) as late:
        await Sandbox(LossyStore(lost=1), "a", seconds=9).call("a", seconds=3)
    assert late.value.__cause__ is None


@attrs.define(eq=False)
class ThrottlingStore(MemoryStore):
    """Throttles the first operation of a kind."""

    rows: dict[str, Row] = attrs.Factory(dict[str, Row])
    throttled: tuple[type[Operation], ...] = ()

    async def apply(self, operation: Operation) -> Row:
        if isinstance(operation, self.throttled):
            self.throttled = ()
            raise StoreThrottled
        return await super().apply(operation)


class BusyStore(MemoryStore):
    """Gets mail before each HandOver."""

    async def apply(self, operation: Operation) -> Row:
        if isinstance(operation, HandOver):
            await super().apply(Post("k", Mail("late", 1, "l", 10**9)))
        return await super().apply(operation)


@virtual_time
async def test_a_caller_with_its_reply_leaves_late_mail_and_tells_of_it() -> None:
    store, told = BusyStore(), list[str]()
    sandbox = Sandbox(store, "a")

    async def tell(key: str) -> None:
        told.append(key)

    await store.apply(Post("k", Mail("cast", 1, "c", 10**9)))
    caller = sandbox.caller()
    caller.ring_doorbell = tell
    assert (await caller.call("k", Message("a", 1, "a", 10**9))).body == "a ran a"
    assert (store.rows["k"].state, store.rows["k"].owner) == ("ca", None)
    assert told == ["k"]


@virtual_time
async def test_a_throttled_hand_over_does_not_cost_a_lease() -> None:
    store = ThrottlingStore(throttled=(HandOver,))
    with pytest.raises(CallLate):
        await Sandbox(store, "a", seconds=9).call("a", seconds=1)
    await Sandbox(store, "b").call("b")
    assert store.throttled == ()
    assert trio.current_time() < 2


@virtual_time
async def test_a_call_ends_at_its_deadline_and_the_next_one_takes_over() -> None:
    store = MemoryStore()
    hanging, other = Sandbox(store, "hanging", seconds=1e6), Sandbox(store, "other")
    with pytest.raises(CallLate, match="k: no reply before the deadline"):
        await hanging.call("a", seconds=3)
    assert trio.current_time() == 3
    assert await other.call("b") == "other ran b"
    assert store.rows["k"].state == "ab"


@virtual_time
async def test_a_full_mailbox_is_an_error_at_once() -> None:
    store = MemoryStore()
    for number in range(MOST_MAIL):
        await store.apply(Post("k", Mail(f"s{number}", 1, "", 0), "run", LEASE))
    with pytest.raises(MailFull, match=f"k: {MOST_MAIL} messages wait already"):
        await Sandbox(store, "a").call("a")


@attrs.define(eq=False)
class Verbose:
    """Calls an entity that answers with 30 KB."""

    store: DynamoDBStore = attrs.Factory(lambda: DynamoDBStore("okibi", TinyClient(TinyDynamoDB())))

    async def handle(self, key: str, state: str, mail: Mail) -> Handled:
        return Handled(state + mail.sender, "x" * 30_000)

    async def call(self, name: str, *, is_quiet: bool = False, body: str = "") -> str:
        runs = map(str, count())
        caller = Caller(self.store, self.handle, set_aside, lambda: name + next(runs), is_quiet)
        message = Message(name, 1, body, self.store.now() + 30_000)
        return (await caller.call("k", message)).body


async def test_replies_that_have_no_room_fail_their_messages_alone() -> None:
    verbose = Verbose()
    until = verbose.store.now() + 10**6
    for name in "abcdefghijklmnopqr":
        await verbose.store.apply(Post("k", Mail(name, 1, "", until)))
    # The caller runs the others' mail first; its own is the last of the batch.
    assert "EntityFull: k: its item would have more than 400 KB" in await verbose.call("z")
    row = await verbose.store.read("k", consistent=True)
    assert row is not None
    assert row.state == "abcdefghijklm"
    assert not row.mail
    long = [name for name, reply in row.replies.items() if len(reply.body) == 30_000]
    assert sorted(long) == [*row.state]
    assert len(row.replies) == 19


async def test_an_item_without_room_is_an_error_at_once() -> None:
    verbose = Verbose()
    for name in "abcdefghijklm":
        await verbose.call(name, is_quiet=True)
    with pytest.raises(EntityFull, match="k: its item would have more than 400 KB of mail and"):
        await verbose.call("n", is_quiet=True)
    with pytest.raises(EntityFull):
        await verbose.call("n", body="x" * 30_000)
    row = await verbose.store.read("k", consistent=True)
    assert row is not None
    assert row.state == "abcdefghijklm"


@attrs.define(eq=False)
class FrozenClient(TinyClient):
    """Something else happens before it reads a large state."""

    table: TinyDynamoDB
    meanwhile: Callable[[], Awaitable[None]]

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> Item:
        if (parameters or {})["Key"]["k"]["S"].startswith("/") and operation == "GetItem":
            await self.meanwhile()
        return await super().call(service, operation, parameters)


async def test_a_drain_that_lost_a_large_entity_while_it_read_does_not_run_it() -> None:
    table = TinyDynamoDB()
    store = DynamoDBStore("okibi", TinyClient(table))

    async def settle(run: str) -> None:
        seen = await store.read("k", consistent=True)
        assert seen is not None
        seen = await store.apply(TakeOver("k", run, store.now() + LEASE, seen))
        own = Ownership("k", run, seen.fence, seen.version)
        large = seen.state + "x" * (LARGE + 1)
        await store.apply(Settle(own, large, {}, 1, store.now() + LEASE, seen=seen))

    async def settle_twice() -> None:
        # The second one in the slot that the row has named.
        await settle("second")
        await settle("third")

    handled = list[str]()

    async def handle(key: str, state: str, mail: Mail) -> Handled:
        handled.append(state)
        return Handled(state, "")

    for number in range(4):
        await store.apply(Post("k", Mail(f"cast {number}", 1, "c", 10**9)))
    await settle("first")
    row = await store.read("k", consistent=True)
    assert row is not None
    await store.apply(HandOver(Ownership("k", "first", row.fence, row.version)))
    frozen = DynamoDBStore("okibi", FrozenClient(table, settle_twice))
    drain = Caller(frozen, handle, set_aside, lambda: "drain").drain
    await drain("k", waits=True)
    assert handled == []


@attrs.define(eq=False)
class LateClient(TinyClient):
    """The first take-over arrives late: before the next read."""

    table: TinyDynamoDB
    late: Mapping[str, Any] | None = None
    is_lost: bool = False

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> Item:
        given = parameters or {}
        if not self.is_lost and "f = f +" in given.get("UpdateExpression", ""):
            self.late, self.is_lost = given, True
            raise CallFailed(service, operation, "TimedOut")
        if self.late is not None and operation == "GetItem":
            self.table.ask("UpdateItem", self.late)
            self.late = None
        return await super().call(service, operation, parameters)


class VirtualStore(DynamoDBStore):
    def now(self) -> int:
        return int(trio.current_time() * 1000)


@virtual_time
async def test_a_run_that_a_late_take_over_has_made_the_owner_has_a_large_state() -> None:
    table = TinyDynamoDB()
    store = VirtualStore("okibi", TinyClient(table))
    row = await store.apply(Post("k", Mail("a", 1, "a", 10**9), "first", LEASE))
    settle = Settle(Ownership("k", "first", 0, 0), "x" * (LARGE + 1), {}, 1, LEASE, seen=row)
    # Since a run has died, a caller watches the lease before it takes over.
    await store.apply(TakeOver("k", "second", 1, await store.apply(settle)))
    states = list[str]()

    async def handle(key: str, state: str, mail: Mail) -> Handled:
        states.append(state)
        return Handled(state, "")

    runs = map(str, count())
    late = VirtualStore("okibi", LateClient(table))
    caller = Caller(late, handle, set_aside, lambda: next(runs), is_quiet=False)
    await caller.call("k", Message("b", 1, "b", 60_000))
    assert states == ["x" * (LARGE + 1)]


@pytest.mark.parametrize("mode", ["quiet", "post"])
def test_a_poisoned_message_ends_few_sandboxes(mode: str) -> None:
    deaths = list[int]()
    for seed in range(4):
        rules = Rules(nodes=40, keys=2, poison=0.02, limit=900, is_quiet=mode == "quiet")
        world = simulate(seed, rules)
        assert not world.mistakes
        deaths += world.deaths.values()
    assert 1 < max(deaths) <= 4


@pytest.mark.parametrize("mode", ["quiet", "post"])
def test_the_simulation_finds_nothing(mode: str) -> None:
    for seed in range(10):
        assert not simulate(seed, Rules(is_quiet=mode == "quiet")).mistakes, seed


def test_a_seed_has_one_history() -> None:
    first, second = simulate(3, Rules()), simulate(3, Rules())
    assert [attrs.astuple(call) for call in first.history] == [
        attrs.astuple(call) for call in second.history
    ]


@pytest.mark.parametrize("name", ["a post without a number", "a commit without a version"])
def test_the_simulation_finds_a_mistake(name: str) -> None:
    assert find(HARMFUL[name], range(10)) is not None
