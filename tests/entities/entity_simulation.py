"""Entities with alarms and casts, in the world of `simulation`.

The real Entities, EventBridge's rings and AWS client run here, on the same bad network. Besides,
EventBridge Scheduler rings late and twice, Lambda repeats a ring that has failed, and doorbells get
lost. In half of the worlds rings get lost, too.

An entity logs the messages and alarms that have changed it. What each of them has cast and set is
known, so the logs can be replayed. A history is right if

* a message is in a log at most once; once, if its caller was told so;
* a cast of a method is in its receiver's log once if the method is in its own log, behind the
  earlier casts to the same receiver; or else it was set aside. If the method raised, it is nowhere;
* an alarm was set, and not moved or cancelled, when it runs, and it does not run early;
* an alarm that is set has a ring: it runs without any further message, if no ring gets lost.
"""

import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest import mock

import attrs
import trio

from okibi.actors import Refusal
from okibi.aws import CallFailed, answer_with
from okibi.entities import CallLate, Entities, Entity, EntityCrashed, alarms, entities
from okibi.entities.alarms import LambdaRings, read_ring
from okibi.entities.calls import Caller, Handle, SetAside
from okibi.entities.dynamodb import LARGE, row_of
from okibi.entities.entities import OF_TASK, OVERDUE, EntityRef, Sandbox, ring, ring_doorbell
from okibi.entities.entity import load_entity, load_state
from okibi.entities.messages import decode_message
from okibi.entities.stores import StoreFailed
from tests.entities.simulation import EPOCH, Call, Died, Node, NodeStore, Rules, World
from tests.entities.tiny_dynamodb import Item

# Seconds of an event of Lambda.
EVENT = 20.0
# Casts of casts of casts have none.
MOST_GENERATIONS = 3


class Refused(Refusal):
    pass


@attrs.frozen
class Plan:
    """What a message or an alarm does: "work", "slow", "raise", "refuse" or "poison"."""

    kind: str
    generation: int = 0


@attrs.define(eq=False)
class Ran:
    """A run of a message or an alarm, and what it did besides: all of it is saved, or nothing.

    Attributes:
        began: the time, by Lambda's clock.
        casts: receivers and names.
        alarms: by method, the name of an alarm and when it is due; None if it was cancelled.
    """

    began: float
    casts: list[tuple[str, str]] = attrs.Factory(list[tuple[str, str]])
    alarms: dict[str, tuple[str, float] | None] = attrs.Factory(dict[str, tuple[str, float] | None])


@attrs.define(eq=False)
class Cell(Entity):
    """Logs what changes it. A log's entry is the name of a message or an alarm, and of its run."""

    log: list[str] = attrs.Factory(list[str])
    alarms: dict[str, str] = attrs.Factory(dict[str, str])
    padding: str = ""

    async def work(self, name: str) -> tuple[int, int]:
        return await current_node().act(self, name)

    async def first(self) -> None:
        await current_node().act(self, self.alarms["first"])

    async def second(self) -> None:
        await current_node().act(self, self.alarms["second"])


CELLS = Entities("cell", Cell)
CHIMES = Entities("chime", Cell, doorbell=True)
ALARMS = {"first": Cell.first, "second": Cell.second}


class NodeSandbox(Sandbox):
    """What the calls of a sandbox share. It is never as random as another one."""

    def __init__(self, node: "EntityNode") -> None:
        rings = LambdaRings()
        rings.function = "arn:function"
        super().__init__(NodeStore(node), rings)
        self.node = node

    def caller(self, handle: Handle, set_aside: SetAside, *, is_quiet: bool = True) -> Caller:
        node, rules = self.node, self.node.world.rules
        return rules.caller(
            self.store, handle, set_aside, self.new_run, is_quiet and rules.is_quiet, node.pause,
            node.world.random.random, ring_doorbell, self.held,
        )  # fmt: skip

    def new_run(self) -> str:
        return self.node.new_run()


def current_node() -> "EntityNode":
    sandbox = OF_TASK.get()
    assert isinstance(sandbox, NodeSandbox)
    return sandbox.node


class EntityWorld(World):
    """A world whose sandboxes have entities; it has EventBridge Scheduler, and Lambda itself."""

    places = (*World.places, alarms, entities, Entities, Entity, LambdaRings)

    def __init__(self, seed: int, rules: Rules) -> None:
        self.plans = dict[str, Plan]()
        self.ran = dict[str, Ran]()
        # Casts of events: the entity, and whether it was told that the cast is kept.
        self.left = dict[str, tuple[str, bool]]()
        # By entity and message, how often it was set aside; "" for rings.
        self.aside = Counter[tuple[str, str]]()
        self.logs = dict[str, list[str]]()
        # Names of schedules, and rings that are to come.
        self.schedules = set[str]()
        self.flying = 0
        super().__init__(seed, rules)
        self.loses_rings = rules.has_faults and self.random.random() < 0.5
        self.refs: list[EntityRef[Cell]] = [
            (CHIMES if number % 2 else CELLS)[f"k{number}"] for number in range(rules.keys)
        ]

    def add_node(self) -> "EntityNode":
        return self.keep_node(EntityNode(self, f"n{len(self.nodes)}"))

    def find_node(self) -> "EntityNode":
        """Return a sandbox for an event of Lambda's own."""
        for _ in range(8):
            node = self.random.choice(self.nodes)
            if isinstance(node, EntityNode) and not node.is_dead:
                return node
        return self.add_node()

    def make_plan(self, name: str, generation: int = 0) -> str:
        kind, luck = "work", self.random.random()
        shares = self.rules.poison, self.rules.slow, 0.08, 0.04
        for other, share in zip(("poison", "slow", "raise", "refuse"), shares, strict=True):
            if 0 <= luck < share:
                kind = other
            luck -= share
        self.plans[name] = Plan(kind, generation)
        return name

    async def run(self) -> None:
        role = {"OKIBI_ENTITIES_ROLE": "arn:role"}
        with mock.patch.dict(os.environ, role), answer_with(self._answer):
            await super().run()

    # -- AWS

    async def _answer(self, service: str, operation: str, parameters: Item) -> Item:
        return await self.ask(current_node(), operation, parameters)

    def step(self, operation: str, parameters: Item) -> Item:
        if operation == "CreateSchedule":
            return self._create_schedule(parameters)
        if operation == "Invoke":
            self.requests += 1
            for _ in range(self.copies(lost=0.2)):
                self.flying += 1
                self.nursery.start_soon(self._ring, trio.current_time(), parameters["Payload"], "")
            return {}
        return super().step(operation, parameters)

    def copies(self, lost: float) -> int:
        if not self.rules.has_faults:
            return 1
        luck = self.random.random()
        return 0 if luck < lost else 2 if luck > 0.9 else 1

    def _create_schedule(self, parameters: Item) -> Item:
        self.requests += 1
        name, at = parameters["Name"], parameters["ScheduleExpression"]
        if name in self.schedules:
            raise CallFailed("scheduler", "CreateSchedule", "ConflictException", status=409)
        self.schedules.add(name)
        due = datetime.strptime(at, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC).timestamp() - EPOCH
        if due > trio.current_time():
            is_lossy = self.loses_rings and trio.current_time() < self.rules.trouble
            for _ in range(self.copies(lost=0.2 * is_lossy)):
                self.flying += 1
                event = json.loads(parameters["Target"]["Input"])
                self.nursery.start_soon(self._ring, due, event, name)
        # AWS does not say what becomes of a schedule in the past. At worst it is kept in vain.
        return {}

    async def _ring(self, due: float, event: Item, schedule: str) -> None:
        """Have a ring run: late by its second, or by more; and again, if it fails."""
        chance = self.random
        late = chance.uniform(0, 60) if schedule else chance.expovariate(5)
        if chance.random() < 0.1:
            late += chance.expovariate(1 / 60)
        await trio.sleep_until(due + late)
        self.nursery.start_soon(self._delete_schedule, schedule)
        found = read_ring(event)
        assert found is not None
        attempt = 0
        while not await self.find_node().invoke(partial(ring, *found)):
            attempt += 1
            if attempt == 3 and (not schedule or self.loses_rings):
                break
            await trio.sleep(60 * min(attempt, 2))
        self.flying -= 1

    async def _delete_schedule(self, name: str) -> None:
        await trio.sleep(self.random.uniform(0, 60))
        self.schedules.discard(name)

    # -- the history

    def set_aside(self, key: str, body: str) -> None:
        super().set_aside(key, body)
        decoded = decode_message(body)
        self.aside[key, "" if decoded.kind == "alarm" else decoded.arguments[0]] += 1

    def is_healthy(self, key: str, body: str) -> bool:
        decoded = decode_message(body)
        if self.rules.poison or decoded.kind == "alarm":
            return not self.rules.poison
        return self.is_sound(decoded.arguments[0])

    def is_sound(self, name: str) -> bool:
        return self.plans[name].kind in ("work", "slow")

    def check_state(self, key: str) -> None:
        """Compare a log with the one before it."""
        state, last = self.read_state(key), self.states.get(key, "")
        if state == last:
            return
        self.states[key] = state
        cell = load_entity(Cell, load_state(Cell, state))
        assert isinstance(cell, Cell)
        log, before = cell.log, self.logs.get(key, [])
        if log[: len(before)] != before:
            self.mistakes.append(f"{key}: {before[-3:]} was followed by {log[-3:]}")
        self.logs[key] = log

    def changes_of(self, key: str) -> list[str]:
        return self.logs[key]

    async def finish(self) -> None:
        """Wait for the last rings; then touch all entities until nothing waits."""
        await trio.sleep_until(self.rules.trouble + 10)
        await self._wait_for_rings()
        if not self.loses_rings:
            for key, alarms in self._find_alarms():
                self.mistakes.append(f"{key}: {alarms} have no ring")
        for _ in range(10):
            for ref in self.refs:
                is_done = False
                while not is_done:
                    node = self.add_node()
                    name = f"{node.name}:0"
                    self.plans[name] = Plan("work", MOST_GENERATIONS)
                    is_done = await node.invoke(partial(node.call, ref, name, 0))
            rows = [row_of(item) for key, item in self.table.items.items() if key[0] != "/"]
            waits = any(row and (row.mail or row.outbox) for row in rows)
            if not waits and not [*self._find_alarms()]:
                return
            if self.mistakes:
                return
            await trio.sleep(OVERDUE / 1000 + 20)
            await self._wait_for_rings()
        self.mistakes.append("something waits for ever")

    async def _wait_for_rings(self) -> None:
        with trio.move_on_after(1200) as limit:
            while self.flying:  # noqa: ASYNC110
                await trio.sleep(10)
        if limit.cancelled_caught:
            self.mistakes.append("rings come for ever")

    def _find_alarms(self) -> list[tuple[str, Any]]:
        found = [(key, load_state(Cell, state).alarms) for key, state in self.states.items()]
        return [(key, alarms) for key, alarms in found if alarms]

    def check(self) -> None:
        super().check()
        # By name of a cast: its receiver, and whether it must be there.
        expected = dict(self.left)
        places = {
            key: {entry.partition("/")[0]: place for place, entry in enumerate(log)}
            for key, log in self.logs.items()
        }
        for key, log in self.logs.items():
            last = dict[str, int]()
            for entry in log:
                if entry not in self.ran:
                    self.mistakes.append(f"{key}: {entry} never ran")
                    continue
                for receiver, name in self.ran[entry].casts:
                    expected[name] = receiver, True
                    place = places.get(receiver, {}).get(name)
                    if place is not None and place < last.get(receiver, -1):
                        self.mistakes.append(f"{receiver}: {name} overtook an earlier cast")
                    last[receiver] = last.get(receiver, -1) if place is None else place
            self._replay_alarms(key, log)
        calls = {call.name: call.key for call in self.history}
        for key, found in places.items():
            for name in found:
                sent = calls.get(name) or expected.get(name, ("", False))[0]
                if "!" not in name and sent != key:
                    self.mistakes.append(f"{key}: nobody has sent {name}")
        for name, (receiver, is_sure) in expected.items():
            count = (name in places.get(receiver, {})) + self.aside[receiver, name]
            if count > 1 or count < is_sure:
                self.mistakes.append(f"{receiver}: {name} came {count} times")
            if self.plans[name].kind in ("raise", "refuse") and name in places.get(receiver, {}):
                self.mistakes.append(f"{receiver}: {name} raised, and was saved")
        for each, deaths in self.deaths.items():
            if deaths > 4:
                self.mistakes.append(f"{each} ended {deaths} sandboxes")

    def _replay_alarms(self, key: str, log: list[str]) -> None:
        set_now = dict[str, tuple[str, float] | None]()
        for entry in log:
            ran, name = self.ran[entry], entry.partition("/")[0]
            method = name.rpartition("!")[2]
            if method in ALARMS:
                found = set_now.pop(method, None)
                if found is None or found[0] != name:
                    self.mistakes.append(f"{key}: {entry} was not set, but {found}")
                elif ran.began < found[1]:
                    self.mistakes.append(f"{key}: {entry} ran at {ran.began}, due at {found[1]}")
            set_now |= ran.alarms
        left = [each[0] for each in set_now.values() if each and self.is_sound(each[0])]
        if len(left) > self.aside[key, ""]:
            self.mistakes.append(f"{key}: {left} have not run")


class EntityNode(Node):
    """A sandbox whose events call entities."""

    world: EntityWorld

    def __init__(self, world: EntityWorld, name: str) -> None:
        super().__init__(world, name)
        self.sandbox = NodeSandbox(self)

    async def invoke(self, run: Callable[[], Awaitable[object]]) -> bool:
        """Run an event; return whether it succeeded."""
        OF_TASK.set(self.sandbox)
        is_done = False
        try:
            await self.pause(0)
            with trio.fail_after(EVENT):
                await run()
                is_done = True
        except* Died:
            # Maybe in a nursery.
            pass
        except* (CallLate, EntityCrashed, Refused, StoreFailed, trio.TooSlowError):
            pass
        return is_done and not self.is_dead

    async def live(self) -> None:
        chance = self.world.random
        for number in range(self.world.rules.calls):
            await trio.sleep(chance.expovariate(self.world.rules.calls / 200))
            if self.is_dead:
                return
            ref = chance.choice(self.world.refs)
            name = self.world.make_plan(f"{self.name}:{number}")
            await self.invoke(partial(self._send, ref, name, number))

    async def _send(self, ref: EntityRef[Cell], name: str, number: int) -> None:
        if self.world.random.random() < 0.3:
            self.world.left[name] = ref.key, False
            await ref.cast(Cell.work, name)
            self.world.left[name] = ref.key, True
            return
        await self.call(ref, name, number)

    async def call(self, ref: EntityRef[Cell], name: str, number: int) -> None:
        world, kind = self.world, self.world.plans[name].kind
        sender = name.partition(":")[0]
        call = Call(ref.key, sender, number, "x", trio.current_time())
        world.history.append(call)
        try:
            call.place, call.ran = await ref.call(Cell.work, name)
        except Refused:
            if kind != "refuse":
                world.mistakes.append(f"{name} is no message that refuses")
        except EntityCrashed as error:
            # An innocent one may be set aside, or have no ring.
            if (
                kind != "raise"
                and "EndsSandboxes" not in str(error)
                and "no ring" not in str(error)
            ):
                raise
        else:
            call.ended = trio.current_time()

    async def act(self, cell: Cell, name: str) -> tuple[int, int]:
        """Run a message or an alarm."""
        world, chance = self.world, self.world.random
        world.runs += 1
        plan, number = world.plans[name], chance.randrange(10**6)
        entry = f"{name}/{number}"
        ran = world.ran[entry] = Ran(trio.current_time() + EPOCH)
        if plan.kind == "poison":
            world.deaths[name] = world.deaths.get(name, 0) + 1
            self.die()
        await self.pause(3.0 if plan.kind == "slow" else chance.expovariate(500))
        if plan.generation < MOST_GENERATIONS:
            for count in range(chance.choice((0, 0, 1, 2))):
                ref = chance.choice(world.refs)
                child = world.make_plan(f"{entry}.{count}".replace("/", "-"), plan.generation + 1)
                await ref.cast(Cell.work, child)
                ran.casts.append((ref.key, child))
            if chance.random() < 0.5:
                self._change_alarm(cell, ran, entry.replace("/", "-"), plan.generation)
        if plan.kind == "raise":
            raise LookupError(name)
        if plan.kind == "refuse":
            raise Refused
        cell.padding = " " * LARGE if chance.random() < (world.large or 0) else ""
        cell.log.append(entry)
        return len(cell.log), number

    def _change_alarm(self, cell: Cell, ran: Ran, name: str, generation: int) -> None:
        chance = self.world.random
        method = chance.choice([*ALARMS])
        if chance.random() < 0.25:
            cell.cancel_alarm(ALARMS[method])
            ran.alarms[method] = None
            return
        seconds = chance.choice((0, 3, 30, 100, 200)) * chance.random()
        cell.send_after(seconds, ALARMS[method])
        alarm = self.world.make_plan(f"{name}!{method}", generation + 1)
        cell.alarms[method] = alarm
        ran.alarms[method] = alarm, cell.now() + int(1000 * seconds) / 1000


ENTITIES = Rules(calls=5, keys=4, trouble=240.0, limit=7200.0, slow=0.02, world=EntityWorld)
