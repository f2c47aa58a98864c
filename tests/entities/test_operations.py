"""An operation on a Row, and the expression that does the same in DynamoDB."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from okibi.entities.dynamodb import LARGE
from okibi.entities.dynamodb_store import DynamoDBStore
from okibi.entities.operations import (
    ByOwner,
    Commit,
    HandOver,
    Move,
    Moved,
    Operation,
    Ownership,
    Post,
    Renew,
    Settle,
    TakeOver,
)
from okibi.entities.rows import MOST_MAIL, Mail, Outgoing, Reply, Row
from okibi.entities.stores import OperationRefused, Store, move_between
from tests.entities.tiny_dynamodb import Item, TinyClient, TinyDynamoDB

RUNS, SENDERS = ("r1", "r2"), ("a", "b", "once:x y")


class Guesses:
    """Random operations, most of them such as may be done."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.time = 1000
        self.numbers = dict.fromkeys(SENDERS, 0)

    def make(self, row: Row | None) -> Operation:
        r = self.random
        self.time += r.randrange(2000)
        run = r.choice(RUNS)
        seen = row or Row()
        own = Ownership(
            "k",
            seen.owner if seen.owner and r.random() < 0.9 else run,
            # Late: no run is ahead of the row.
            seen.fence - (r.random() < 0.05),
            seen.version - (r.random() < 0.05),
        )
        kind = r.randrange(11)
        if kind < 2:
            return Post("k", self._mail(), r.choice((run, run, None)), self.time + 5000)
        if kind == 2:
            return TakeOver("k", run, self.time + 5000, self._distort(seen))
        if kind in (3, 4, 10):
            return HandOver(own)
        if kind == 5:
            return Renew(own, self.time + 5000)
        if kind == 6:
            version = None if row is None else row.version
            version = version if r.random() < 0.9 else r.choice((None, 0, 7))
            mail = self._mail()
            reply = Reply(mail.number, f"reply {r.random()}", self.time + r.randrange(9000))
            pruned = seen.find_old_replies(self.time, {mail.sender})
            sent = self._outgoing()
            return Commit("k", version, f"s{r.random()}", mail.sender, reply, pruned, sent)
        batch = seen.mail[: r.choice((1, 2, 256))]
        replies = {
            mail.sender: Reply(mail.number, f"reply {r.random()}", self.time + r.randrange(9000))
            for mail in batch
        }
        pruned = seen.find_old_replies(self.time, set(replies))
        lease = r.choice((None, self.time + 5000))
        dead = (*seen.dead, *batch[:1])[-3:] if r.random() < 0.1 else None
        state = r.choice((f"s{r.random()}", f"s{r.random()}".ljust(LARGE + 1), seen.state))
        sent = self._outgoing()
        return Settle(
            own, state, replies, len(batch), lease, pruned, dead, sent, Row(suspects=seen.suspects)
        )

    def move(self, rows: Mapping[str, Row]) -> Move:
        """Make a move, most often of the first message of an outbox."""
        source = self.random.choice(("k", "k", "b"))
        outbox = rows[source].outbox if source in rows else ()
        some = self._outgoing() or (Outgoing("b", "?"),)
        return Move(source, (outbox[:2] or some)[self.random.random() < 0.1 and len(outbox) > 1])

    def _outgoing(self) -> tuple[Outgoing, ...]:
        r = self.random
        return tuple(
            Outgoing(r.choice(("b", "b", "k")), f"{r.randrange(3)}")
            for _ in range(r.choice((0, 0, 1, 3)))
        )

    def _mail(self) -> Mail:
        sender = self.random.choice(SENDERS)
        self.numbers[sender] += self.random.random() < 0.8
        return Mail(sender, max(1, self.numbers[sender]), f"{self.time}", self.time + 3000)

    def _distort(self, row: Row) -> Row:
        change = self.random.choice(({}, {}, {"lease": 1}, {"owner": None}, {"fence": 77}))
        return Row(row.state, **{  # type: ignore[arg-type]
            "version": row.version, "fence": row.fence, "owner": row.owner, "lease": row.lease,
            "mail": row.mail, **change,
        })  # fmt: skip


def steps(seed: int, count: int) -> Iterator[tuple[Operation, Row | None, Row | None]]:
    """Do operations on a Row; give each with the row before it and after it."""
    guesses, row = Guesses(seed), None
    for _ in range(count):
        operation = guesses.make(row)
        after = operation.apply(row)
        yield operation, row, after
        row = row if after is None else after


async def compare_with_rows(store: Store, seed: int, count: int, *, moves: float = 0.2) -> set[str]:
    """Do operations in a store, and compare each row with what the operation makes of a Row.

    Returns the names of the operations that were done.
    """
    guesses, rows, seen, done = Guesses(seed), dict[str, Row](), Row(), set[str]()
    for _ in range(count):
        if guesses.random.random() < moves:
            move = guesses.move(rows)
            moved = move_between(move, rows.get)
            rows |= {} if isinstance(moved, Moved) else moved
            is_done = not isinstance(moved, Moved)
            assert await store.move(move) == (Moved.DONE if is_done else moved), move
            continue
        before = rows.get("k")
        operation = guesses.make(before)
        if isinstance(operation, Settle):
            # The store has told where it keeps the state.
            state = "" if before is None else before.state
            operation = replace(operation, seen=replace(seen, state=state))
        run = ""
        if isinstance(operation, Post | TakeOver | Settle):
            run = (operation.own if isinstance(operation, ByOwner) else operation).run or ""
        after = operation.apply(before)
        if after is None:
            with pytest.raises(OperationRefused) as refused:
                await store.apply(operation)
            _compare(refused.value.row, before, run)
        else:
            seen = await store.apply(operation)
            _compare(seen, after, run)
            rows["k"] = after
            done.add(type(operation).__name__)
        for key in ("k", "b"):
            _compare(await store.read(key, consistent=True), rows.get(key))
    return done


def _compare(found: Row | None, row: Row | None, run: str = "") -> None:
    if found is not None and not found.has_state:
        assert row is not None
        assert row.owner != run, "a run without its state"
        row = replace(row, state="")
    # Only this store has a place for a large state.
    assert (found and replace(found, apart=None)) == row


@pytest.mark.parametrize("seed", range(5))
async def test_an_expression_does_what_its_operation_does(seed: int) -> None:
    store = DynamoDBStore("okibi", TinyClient(TinyDynamoDB()))
    done = await compare_with_rows(store, seed, 500)
    names = {"Post", "TakeOver", "Settle", "HandOver", "Renew", "Commit"}
    assert done == names, names - done


async def test_a_large_state_is_not_committed() -> None:
    store = DynamoDBStore("okibi", TinyClient(TinyDynamoDB()))
    with pytest.raises(OperationRefused):
        await store.apply(Commit("k", None, "x" * (LARGE + 1), "a", Reply(1, "", 0)))


class CountingClient(TinyClient):
    """Counts the reads."""

    reads = 0

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> Item:
        self.reads += operation == "GetItem"
        return await super().call(service, operation, parameters)


async def test_who_does_not_own_an_entity_does_not_read_its_large_state() -> None:
    client = CountingClient(TinyDynamoDB())
    store = DynamoDBStore("okibi", client)
    row = await store.apply(Post("k", Mail("a", 1, "", 0), "r", 0))
    state = "x" * (LARGE + 1)
    await store.apply(Settle(Ownership("k", "r", 0, 0), state, {}, 1, 5, seen=row))
    await store.apply(HandOver(Ownership("k", "r", 0, 1)))
    await store.apply(Post("k", Mail("b", 1, "", 0)))
    assert client.reads == 0


async def test_a_slot_of_a_removed_entity_is_named() -> None:
    table = TinyDynamoDB()
    store = DynamoDBStore("okibi", TinyClient(table))
    row = await store.apply(Post("k", Mail("a", 1, "", 0), "r", 0))
    settle = Settle(Ownership("k", "r", 0, 0), "x" * (LARGE + 1), {}, 1, None, seen=row)
    await store.apply(settle)
    del table.items["k"]
    table.items["/0/k"] |= {"v": {"N": "7"}}
    await store.apply(Post("k", Mail("a", 1, "", 0), "r", 0))
    with pytest.raises(RuntimeError, match="the item /0/k belongs to an entity of this key"):
        await store.apply(settle)


def test_a_run_that_hands_over_does_not_hide_those_that_have_died() -> None:
    row = Row(mail=(Mail("a", 1, "poison", 10**9),), fence=2, owner="third", lease=1)
    after = HandOver(Ownership("k", "third", 2, 0)).apply(row)
    assert after is not None
    assert after.owner is None
    assert after.fence - after.settled == 2


def test_a_full_mailbox_refuses_a_message() -> None:
    mail = tuple(Mail(f"s{number}", 1, "", 0) for number in range(MOST_MAIL))
    post = Post("k", Mail("a", 1, "", 0), "r", 5000)
    assert post.apply(Row(mail=mail, owner="q")) is None
    assert post.apply(Row(mail=mail[1:], owner="q")) is not None


@pytest.mark.parametrize("seed", range(5))
def test_an_operation_is_done_once(seed: int) -> None:
    """A request that arrives twice, late or not, changes nothing the second time."""
    sent = list[Operation]()
    for operation, _, after in steps(seed, 300):
        if after is None:
            continue
        if isinstance(operation, Post | Commit | Settle | HandOver):
            sent.append(operation)
        for late in sent:
            match late:
                case Post(mail=Mail(sender)) | Commit(sender=sender) if sender not in after.posted:
                    # Pruned: its caller's deadline is over for a minute.
                    pass
                case _:
                    assert late.apply(after) is None, late
