"""Mistakes that the simulation must find.

    python -m tests.entities.mutants --seeds 200

A mutant makes one wrong update of an operation, or is a wrong Caller. Five are harmless, as theory
says: the version alone guards the state, and the others spare runs and requests.
"""

import argparse
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import attrs
import msgspec
from msgspec.structs import replace

from okibi.aws import CallFailed
from okibi.entities import Entities, Entity
from okibi.entities.alarms import Alarm, LambdaRings
from okibi.entities.calls import Caller, Handled, Message
from okibi.entities.dynamodb import Update, place_state, slot_update, update_of, updates_of
from okibi.entities.dynamodb_store import DynamoDBStore
from okibi.entities.entities import Sandbox, _schedule
from okibi.entities.entity import RUNNING, Running, Saved, load_entity, load_state, save_state
from okibi.entities.messages import Body, encode_value
from okibi.entities.operations import (
    Commit,
    Move,
    Moved,
    Operation,
    Post,
    Settle,
    TakeOver,
)
from okibi.entities.rows import Apart, Mail, Reply, Row
from okibi.entities.stores import OperationRefused, StoreThrottled, StoreUnavailable
from tests.entities.entity_simulation import ENTITIES, current_node
from tests.entities.simulation import Died, Rules, simulate

Change: TypeAlias = Callable[[Operation, Update], None]


def mutant(change: Change) -> dict[str, Any]:
    def wrong_update_of(operation: Operation) -> Update:
        update = update_of(operation)
        change(operation, update)
        # A condition is needed, and so is each value.
        update.conditions = update.conditions or ["(attribute_not_exists(v) OR v = v)"]
        return update

    return {"update_of": wrong_update_of}


def without(operations: type[Operation] | tuple[type[Operation], ...], *starts: str) -> Change:
    """Drop the conditions that begin so."""

    def drop(operation: Operation, update: Update) -> None:
        if isinstance(operation, operations):
            update.conditions = [c for c in update.conditions if not c.startswith(starts)]

    return drop


def _take_over_keeps_the_fence(operation: Operation, update: Update) -> None:
    if isinstance(operation, TakeOver):
        update.sets = [each for each in update.sets if not each.startswith("f = ")]


def _lease_never_ends(operation: Operation, update: Update) -> None:
    if isinstance(operation, Post):
        update.sets = [
            f"l = {update.value({'N': str(10**15)})}" if each.startswith("l = ") else each
            for each in update.sets
        ]


def _settle_removes_the_wrong_mail(operation: Operation, update: Update) -> None:
    if isinstance(operation, Settle) and operation.lease is not None:
        update.removes = [
            f"m[{operation.count + index}]" if each == f"m[{index}]" else each
            for index, each in enumerate(update.removes)
        ]


def _settle_removes_all_mail(operation: Operation, update: Update) -> None:
    if isinstance(operation, Settle) and operation.lease is not None:
        update.removes = [each for each in update.removes if not each.startswith("m[")]
        update.sets.append(f"m = {update.value({'L': []})}")


def _settle_keeps_the_version(operation: Operation, update: Update) -> None:
    if isinstance(operation, Settle):
        update.sets = [each for each in update.sets if not each.startswith("v = ")]


def _commit_forgets_its_number(operation: Operation, update: Update) -> None:
    if isinstance(operation, Commit):
        update.sets = [each for each in update.sets if not each.startswith("#0 = ")]


def _small_state_keeps_the_large_one(operation: Operation, update: Update) -> None:
    update.removes = [each for each in update.removes if each != "b"]


def slot_guarded_by(condition: str) -> dict[str, Any]:
    def wrong_slot_update(state: str, apart: Apart) -> Update:
        update = slot_update(state, apart)
        update.conditions = [f"(attribute_not_exists(v) OR {condition})"]
        return update

    return {"slot_update": wrong_slot_update}


def _place_in_the_named_slot(settle: Settle) -> Apart | None:
    apart, before = place_state(settle), settle.seen.apart
    return apart if apart is None or before is None else replace(apart, slot=before.slot)


def _place_where_the_last_state_is(settle: Settle) -> Apart | None:
    apart = place_state(settle)
    return apart and (settle.seen.apart or apart)


def _read_any_slot(item: Mapping[str, Any], apart: Apart) -> str | None:
    return item["s"]["S"] if item else None


async def _load_nothing(self: DynamoDBStore, key: str, run: str | None, row: Row) -> Row:
    return row


save_apart = DynamoDBStore._save_apart


async def _save_apart_without_an_answer(self: DynamoDBStore, settle: Settle) -> None:
    with suppress(StoreUnavailable):
        await save_apart(self, settle)


async def _save_apart_though_refused(self: DynamoDBStore, settle: Settle) -> None:
    with suppress(OperationRefused):
        await save_apart(self, settle)


class AnswersBeforeTheSettle(Caller):
    async def _settle(
        self, settle: Settle, forgotten: tuple[tuple[str, int], ...] = ()
    ) -> Row | None:
        row = await super()._settle(settle)
        return Row() if row is None else row


class TrustsALostSettle(Caller):
    async def _settle(
        self, settle: Settle, forgotten: tuple[tuple[str, int], ...] = ()
    ) -> Row | None:
        try:
            return await self.store.apply(settle)
        except (StoreThrottled, StoreUnavailable):
            return Row()
        except OperationRefused:
            return None


class TakesAgainForDone(Caller):
    async def _settle(
        self, settle: Settle, forgotten: tuple[tuple[str, int], ...] = ()
    ) -> Row | None:
        try:
            return await self.store.apply(settle)
        except OperationRefused as refused:
            row = refused.row
            mine = row is not None and row.owner == settle.own.run
            return Row() if mine else None
        except (StoreThrottled, StoreUnavailable):
            return None


class RepliesToItself(Caller):
    """It saves no reply to the others."""

    async def _settle(
        self, settle: Settle, forgotten: tuple[tuple[str, int], ...] = ()
    ) -> Row | None:
        first = dict([*settle.replies.items()][:1])
        return await super()._settle(replace(settle, replies=first))


class SendsACommitAnew(Caller):
    """After an answer that was lost, it sends the message as another one."""

    async def _try_quiet(self, key: str, message: Message) -> Reply | None:
        try:
            return await super()._try_quiet(key, message)
        except StoreUnavailable:
            again = replace(message, number=message.number + 1000)
            return await super()._try_quiet(key, again)


class TakesAnyReply(Caller):
    """It takes the reply to an older message for its own."""

    async def _follow(self, key: str, run: str, row: Row, message: Message) -> Reply | None:
        older = replace(message, number=1)
        return await super()._follow(key, run, row, older)


class SettlesWithoutRunning(Caller):
    """It settles mail that came after it looked as if it had run it."""

    async def _settle(
        self, settle: Settle, forgotten: tuple[tuple[str, int], ...] = ()
    ) -> Row | None:
        return await super()._settle(replace(settle, count=settle.count + 1))


class PostsUnderANewNumber(Caller):
    """It does not know its message when it posts it again."""

    async def _post(self, key: str, run: str | None, message: Message) -> Row:
        try:
            return await super()._post(key, run, message)
        except StoreUnavailable:
            return await super()._post(key, run, replace(message, number=message.number + 1000))


class RunsWithoutOwning(Caller):
    """It runs the mail of an entity that someone else owns, in its name."""

    async def _follow(self, key: str, run: str, row: Row, message: Message) -> Reply | None:
        return await super()._follow(key, row.owner or run, row, message)


# -- alarms, and casts of entities


async def _ring_later(self: LambdaRings, alarm: Alarm) -> None:
    """The state is saved first."""
    node = current_node()

    async def ring_at() -> None:
        with suppress(Died, CallFailed):
            await node.pause(0.05)
            await ring_at_once(self, alarm)

    node.world.nursery.start_soon(ring_at)


ring_at_once = LambdaRings.ring_at


async def _take_then_put(self: DynamoDBStore, move: Move) -> Moved:
    return await _move_in_two_steps(self, move, (0, 1))


async def _put_then_take(self: DynamoDBStore, move: Move) -> Moved:
    return await _move_in_two_steps(self, move, (1, 0))


async def _move_in_two_steps(store: DynamoDBStore, move: Move, order: tuple[int, int]) -> Moved:
    keys = move.source, move.message.key
    try:
        for step in order:
            await store._update(keys[step], updates_of(move)[step])
    except OperationRefused:
        return Moved.GONE
    return Moved.DONE


def _take_any(update: Update, move: Move) -> None:
    update.removes.append("x[0]")
    update.conditions.append("(attribute_not_exists(v) OR v = v)")


run_alarm = Entities._run_alarm


async def _run_alarm_again(
    self: Entities[Any], sandbox: Sandbox, key: str, saved: Saved, alarm: str, due: int
) -> Handled:
    handled = await run_alarm(self, sandbox, key, saved, alarm, due)
    after = load_state(self.entity, handled.state)
    kept = {**after.alarms, **({alarm: saved.alarms[alarm]} if alarm else {})}
    state = msgspec.json.encode(replace(after, alarms=kept)).decode()
    return replace(handled, state=state)


async def _keep_the_state_in_vain(
    self: Entities[Any], sandbox: Sandbox, key: str, saved: Saved, alarm: str, due: int
) -> Handled:
    if alarm:
        return await run_alarm(self, sandbox, key, saved, alarm, due)
    return Handled(msgspec.json.encode(saved).decode(), encode_value(0))


async def _keep_the_ring(
    self: Entities[Any], sandbox: Sandbox, key: str, saved: Saved, alarm: str, due: int
) -> Handled:
    saved = replace(saved, ring=due + 1)
    return await run_alarm(self, sandbox, key, saved, alarm, due)


def _first_alarm(alarms: Mapping[str, int], due: int) -> str:
    return min(alarms, key=alarms.__getitem__, default="")


def _set_alarm_once(self: Entity, seconds: float, method: Callable[..., Any]) -> None:
    running = self._running(method)
    running.alarms.setdefault(method.__name__, running.now + int(1000 * seconds))


def _cancel_nothing(self: Entity, method: Callable[..., Any]) -> None:
    pass


run = Entities._run


async def _save_though_it_raised(
    self: Entities[Any], sandbox: Sandbox, key: str, saved: Saved, body: Body, reply: Any = None
) -> Handled:
    if body.kind != "cast":
        return await run(self, sandbox, key, saved, body, reply)
    running = Running((*body.chain, key), sandbox.store.now(), dict(saved.alarms))
    token = RUNNING.set(running)
    entity = load_entity(self.entity, saved)
    try:
        await getattr(entity, body.method)(*body.arguments)
    except LookupError:
        entity = load_entity(self.entity, saved)
    finally:
        RUNNING.reset(token)
    ring = await _schedule(sandbox, key, running, saved.ring)
    state = save_state(entity, running.alarms, ring)
    return Handled(state, encode_value(None), tuple(running.outgoing))


handle = Entities.handle


async def _drop_what_raises(
    self: Entities[Any], sandbox: Sandbox, key: str, state: str, mail: Mail
) -> Handled:
    return replace(await handle(self, sandbox, key, state, mail), is_dead=False)


SHORT = Rules(deadline=6.0, calls=25)


def entities_with(**wrong: Any) -> Rules:
    return attrs.evolve(ENTITIES, wrong=wrong)


HARMFUL: dict[str, Rules] = {
    "a settle without a guard": Rules(wrong=mutant(without(Settle, "o =", "f =", "v ="))),
    "a settle without a version": Rules(wrong=mutant(without(Settle, "v ="))),
    "a settle that keeps the version": Rules(wrong=mutant(_settle_keeps_the_version)),
    "a settle over new mail": Rules(wrong=mutant(without(Settle, "size(m)"))),
    "a settle that removes other mail": Rules(wrong=mutant(_settle_removes_the_wrong_mail)),
    "a settle that removes all mail": Rules(wrong=mutant(_settle_removes_all_mail)),
    "a post without a number": Rules(wrong=mutant(without(Post, "(attribute_not_exists(#"))),
    "a take-over without a guard": Rules(
        wrong=mutant(without(TakeOver, "o =", "l =", "f =", "v =", "attribute_not"))
    ),
    "a lease that never ends": Rules(wrong=mutant(_lease_never_ends)),
    "a commit without a version": Rules(
        wrong=mutant(without(Commit, "v =", "attribute_not_exists(v)"))
    ),
    "a commit that forgets its number": Rules(wrong=mutant(_commit_forgets_its_number)),
    "a slot without a guard": Rules(wrong=slot_guarded_by("v = v")),
    "a slot that any run of a version writes": Rules(wrong=slot_guarded_by("v < :0 OR v = :0")),
    "a slot that the row names is written": Rules(wrong={"place_state": _place_in_the_named_slot}),
    "a state taken for the last one": Rules(wrong={"place_state": _place_where_the_last_state_is}),
    "a small state beside a large one": Rules(wrong=mutant(_small_state_keeps_the_large_one)),
    "a run without a large state": Rules(wrong={"_load": _load_nothing}),
    "a lost slot taken for written": Rules(wrong={"_save_apart": _save_apart_without_an_answer}),
    "a reply before the settle": Rules(caller=AnswersBeforeTheSettle),
    "a lost settle taken for done": Rules(caller=TrustsALostSettle),
    "a refused settle taken for done": Rules(caller=TakesAgainForDone),
    "replies to the first sender only": Rules(caller=RepliesToItself),
    "a commit sent as another message": Rules(caller=SendsACommitAnew),
    "an older reply taken for one's own": Rules(caller=TakesAnyReply),
    "mail settled that has not run": Rules(caller=SettlesWithoutRunning),
    "a post sent as another message": Rules(caller=PostsUnderANewNumber),
    "a run in the name of another": Rules(caller=RunsWithoutOwning),
    "an alarm saved before its schedule": entities_with(ring_at=_ring_later),
    "a schedule that may be in the past": entities_with(AHEAD=5),
    "a ring that is not forgotten": entities_with(_run_alarm=_keep_the_ring),
    "a ring in vain without another": entities_with(_run_alarm=_keep_the_state_in_vain),
    "an alarm that stays when it has run": entities_with(_run_alarm=_run_alarm_again),
    "an alarm that runs before its time": entities_with(first_due=_first_alarm),
    "an alarm that is not moved": entities_with(send_after=_set_alarm_once),
    "an alarm that is not cancelled": entities_with(cancel_alarm=_cancel_nothing),
    "casts and alarms of what raised": entities_with(_run=_save_though_it_raised),
    "a cast that raises is dropped": entities_with(handle=_drop_what_raises),
    "an outbox cleared before the move": entities_with(move=_take_then_put),
    "an outbox cleared after the move": entities_with(move=_put_then_take),
    "a move of any message": entities_with(_take=_take_any),
    "a cast sent as another message": attrs.evolve(ENTITIES, caller=PostsUnderANewNumber),
}
HARMLESS: dict[str, Rules] = {
    "a commit over mail": Rules(
        wrong=mutant(without(Commit, "attribute_not_exists(o)", "(attribute_not_exists(m)"))
    ),
    "a slot that the row does not name": Rules(wrong={"read_slot": _read_any_slot}),
    "a refused slot taken for written": Rules(wrong={"_save_apart": _save_apart_though_refused}),
    "no owner in the guard": Rules(wrong=mutant(without(Settle, "o ="))),
    "no fence in the guard": Rules(wrong=mutant(without(Settle, "f ="))),
}


def find(rules: Rules, seeds: range) -> tuple[int, str] | None:
    """Return the first seed that finds a mistake, and the mistake; None if none does."""
    for seed in seeds:
        try:
            world = simulate(seed, rules)
        except BaseExceptionGroup as group:
            return seed, repr(group.exceptions[0])
        if world.mistakes:
            return seed, world.mistakes[0]
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Have the simulation find mistakes.")
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    # Of methods that raise, and of renewals that fail.
    logging.getLogger("okibi").setLevel(logging.CRITICAL)
    missed = []
    for name, rules in HARMFUL.items():
        for mode in (True, False):
            found = find(attrs.evolve(rules, is_quiet=mode), range(given.seeds))
            if found is not None:
                break
        text = "NOT FOUND" if found is None else f"seed {found[0]}: {found[1][:90]}"
        print(f"{name:40} {text}", flush=True)
        if found is None:
            missed.append(name)
    print("missed:", missed)


if __name__ == "__main__":
    main()
