"""Sandboxes that call entities in a deterministic world, on a table whose requests get lost.

    python -m tests.entities.simulation --seeds 0:200 --mode commit

The real Caller and DynamoDBStore send the real expressions. What goes wrong: requests and answers
are lost, requests arrive up to 8 s after their sender gave up, the table throttles, a read is a
second old, clocks are up to 10 s off, sandboxes freeze (right behind a request and anywhere), die,
and are cut off. After 60 s all heals. A caller that waits for ever is found.

The state of an entity is the list of the messages that have changed it, and a reply is its length.
So a history is right if no message is in the list twice, each caller was told the place of its own
message, and a call that began after another one's reply has a later place. A message may also read
the list. In some worlds messages make the state large, or small again.
"""

import argparse
import logging
import math
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, TypeVar
from unittest import mock

import attrs
import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from okibi.aws import CallFailed, Client
from okibi.entities import dynamodb, dynamodb_store
from okibi.entities.calls import LEASE, Caller, CallLate, Handled, Message
from okibi.entities.dynamodb import LARGE
from okibi.entities.dynamodb_store import DynamoDBStore
from okibi.entities.rows import Mail
from tests.entities.tiny_dynamodb import Item, TinyDynamoDB


def set_aside(key: str, state: str, mail: Mail) -> Handled:
    return Handled(state, "dead", is_dead=True)


N = TypeVar("N", bound="Node")

# Bars: sandboxes that a message ends; runs by clocks that differ, to runs by equal clocks.
MOST_ENDED = 4
MOST_RUNS = 1.05
# Sandboxes above which there are as many entities as a seventh of them.
MANY = 100
# Seconds that AWS's clock is ahead of trio's.
EPOCH = 1000


class Died(BaseException):
    """The sandbox has died."""


@attrs.define(eq=False)
class Call:
    """One call of the history. `place` and `ran` are what the caller was told."""

    key: str
    sender: str
    number: int
    body: str
    began: float
    ended: float | None = None
    place: int = 0
    ran: int = 0

    @property
    def name(self) -> str:
        return f"{self.sender}:{self.number}"


@attrs.frozen
class Rules:
    """What a world is made of.

    Args:
        nodes, keys, calls: the numbers of sandboxes, of entities, and of calls of a sandbox.
        is_quiet: whether callers try the quiet path.
        has_faults: whether anything goes wrong.
        skew: seconds that a clock is off at most.
        deadline: seconds of a call; None for no limit.
        poison: the share of the messages that kill their sandbox.
        reads: the share of the messages that leave the state as it is.
        slow: the share of the messages that take seconds.
        large: the share of the messages that make the state large; None for one that depends on
            the seed.
        caller: the class of callers; a mutant is wrong.
        wrong: functions and methods of the store that are replaced by wrong ones, by name.
        trouble: seconds of trouble; then all heals.
        limit: seconds after which a caller waits for ever.
        world: the class of the world; None for World.
    """

    nodes: int = 20
    keys: int = 3
    calls: int = 12
    is_quiet: bool = True
    has_faults: bool = True
    skew: float = 10.0
    deadline: float | None = None
    poison: float = 0.0
    reads: float = 0.1
    slow: float = 0.01
    large: float | None = None
    caller: type[Caller] = Caller
    wrong: Mapping[str, Any] = attrs.Factory(dict[str, Any])
    trouble: float = 60.0
    limit: float = 600.0
    world: "type[World] | None" = None


class World:
    """The table, the sandboxes, and what happened.

    Attributes:
        places: where wrong functions are put.
    """

    places: tuple[object, ...] = (dynamodb, dynamodb_store, DynamoDBStore)

    def __init__(self, seed: int, rules: Rules) -> None:
        self.random = random.Random(seed)
        self.rules = rules
        self.table = TinyDynamoDB()
        self.large = rules.large
        if self.large is None:
            self.large = self.random.choice((0.0, 0.5, 1.0))
        self.nodes = list[Node]()
        self.by_name = dict[str, Node]()
        for _ in range(rules.nodes):
            self.add_node()
        self.cut_off = set[str]()
        self.history = list[Call]()
        self.mistakes = list[str]()
        # By entity: the times of changes, and the items before them.
        self.past = dict[str, list[tuple[float, Item | None]]]()
        self.states = dict[str, str]()
        # By message, the sandboxes that it has ended.
        self.deaths = dict[str, int]()
        # By entity: the runs that were called dead since the last settle, and were not.
        self.called_dead = dict[str, int]()
        self.runs = self.requests = self.dead = 0
        self.nursery: trio.Nursery

    def add_node(self) -> "Node":
        return self.keep_node(Node(self, f"n{len(self.nodes)}"))

    def keep_node(self, node: N) -> N:
        self.nodes.append(node)
        self.by_name[node.name] = node
        return node

    def step(self, operation: str, parameters: Item) -> Item:
        """Do a request, in one atomic step; a state must continue the state before it."""
        self.requests += 1
        updates = [each["Update"] for each in parameters.get("TransactItems", ())] or [parameters]
        keys = [each["Key"]["k"]["S"] for each in updates]
        befores = [self.table.items.get(key) for key in keys]
        if operation == "GetItem" and not parameters["ConsistentRead"]:
            past = self.past.get(keys[0], [])
            since = trio.current_time() - 1
            item = self.random.choice([*(item for at, item in past if at > since), befores[0]])
            return {} if item is None else {"Item": item}
        answer = self.table.ask(operation, parameters)
        if operation != "GetItem":
            for key, before in zip(keys, befores, strict=True):
                self.past[key] = [*self.past.get(key, [])[-5:], (trio.current_time(), before)]
                if key.startswith("/"):
                    # The slot of an entity.
                    self.check_state(key[3:])
                else:
                    self._check_deaths(key, before or {}, self.table.items[key])
                    self.check_state(key)
        return answer

    def _check_deaths(self, key: str, before: Item, after: Item) -> None:
        """Count the runs that were called dead; by clocks that differ, one may be, and not more."""
        owner = before.get("o", {"S": ""})["S"]
        for mail in after.get("z", {"L": []})["L"]:
            if mail not in before.get("z", {"L": []})["L"]:
                body = mail["L"][2]["S"]
                self.set_aside(key, body)
                if self.called_dead.get(key, 0) > 1 and self.is_healthy(key, body):
                    self.mistakes.append(f"{key}: a healthy message was set aside: {body}")
        if after["f"] == after.get("g", {"N": "0"}):
            self.called_dead[key] = 0
        elif owner and after.get("o", {"S": owner})["S"] != owner:
            node = self.by_name[owner.partition("#")[0]]
            lease = int(before["l"]["N"]) / 1000 - LEASE / 1000 - EPOCH - node.skew
            was_well = not node.was_in_trouble(lease)
            self.called_dead[key] = self.called_dead.get(key, 0) + was_well

    def set_aside(self, key: str, body: str) -> None:
        """Count a message that was set aside."""
        self.dead += 1

    def is_healthy(self, key: str, body: str) -> bool:
        """Return whether a message ends no sandbox, and no other one does."""
        return not self.rules.poison

    def read_state(self, key: str) -> str:
        """Return the state of an entity, without its padding."""
        item = self.table.items.get(key)
        row = None if item is None else dynamodb.row_of(item)
        state = "" if row is None else row.state
        if row is not None and row.apart is not None:
            slot = self.table.items.get(dynamodb.slot_key(key, row.apart.slot), {})
            written = [slot.get(name, {}).get("N") for name in ("v", "f")]
            if written != [str(row.apart.version), str(row.apart.fence)]:
                self.mistakes.append(f"{key}: the slot of {row.apart} has the state of {written}")
            state = slot.get("s", {"S": ""})["S"]
        return state.lstrip()

    def check_state(self, key: str) -> None:
        """Compare a state with the one before it."""
        state, last = self.read_state(key), self.states.get(key, "")
        if not state.startswith(last):
            self.mistakes.append(f"{key}: {last[-40:]!r} was followed by {state[-40:]!r}")
        self.states[key] = state

    async def ask(self, node: "Node", operation: str, parameters: Item) -> Item:
        """Send a request over a bad network."""
        try:
            return await self._send(node, operation, parameters)
        except CallFailed as failed:
            if failed.code in ("Disconnected", "TimedOut"):
                node.is_well_at = max(node.is_well_at, trio.current_time())
            raise

    async def _send(self, node: "Node", operation: str, parameters: Item) -> Item:
        chance = self.random.random if self.rules.has_faults else lambda: 1.0
        await node.pause(self.random.expovariate(400))
        if node.name in self.cut_off or chance() < 0.01:
            await node.pause(0.5)
            raise CallFailed("dynamodb", operation, "TimedOut")
        if chance() < 0.01:
            await node.pause(0.05)
            raise CallFailed("dynamodb", operation, "ThrottlingException", status=400)
        if chance() < 0.01:
            self.nursery.start_soon(self._arrive_late, operation, parameters)
            await node.pause(0.5)
            raise CallFailed("dynamodb", operation, "TimedOut")
        refused: CallFailed | None = None
        answer = Item()
        try:
            answer = self.step(operation, parameters)
        except CallFailed as failed:
            refused = failed
        if trio.current_time() < self.rules.trouble:
            # Right behind a request it hurts most.
            luck = chance()
            if luck < 0.008:
                node.die()
            elif luck < 0.06:
                node.freeze(self.random.choice((0.5, 4.9, 5.1, 12.0)))
        await node.pause(self.random.expovariate(400))
        if chance() < 0.01:
            await node.pause(0.5)
            raise CallFailed("dynamodb", operation, "Disconnected")
        if refused is not None:
            raise refused
        return answer

    async def _arrive_late(self, operation: str, parameters: Item) -> None:
        await trio.sleep(min(8.0, self.random.expovariate(1 / 3)))
        with suppress(CallFailed):
            self.step(operation, parameters)

    async def trouble(self) -> None:
        """Freeze, kill and cut off sandboxes."""
        chance, end = self.random, self.rules.trouble
        while trio.current_time() < end:
            wait = chance.expovariate(2.5) * end / 60
            await trio.sleep(wait * 20 / self.rules.nodes + 0.001)
            node, luck = chance.choice(self.nodes), chance.random()
            if luck < 0.7:
                node.freeze(chance.expovariate(0.25))
            elif luck < 0.8:
                node.die()
            else:
                self.cut_off.add(node.name)
                seconds = chance.expovariate(1 / 3)
                node.is_well_at = max(node.is_well_at, trio.current_time() + seconds)
                self.nursery.start_soon(self._heal, node.name, seconds)

    async def _heal(self, name: str, seconds: float) -> None:
        await trio.sleep(seconds)
        self.cut_off.discard(name)

    async def run(self) -> None:
        async with trio.open_nursery() as self.nursery:
            if self.rules.has_faults:
                self.nursery.start_soon(self.trouble)
            with trio.move_on_after(self.rules.limit) as limit:
                async with trio.open_nursery() as lives:
                    for node in [*self.nodes]:
                        lives.start_soon(node.live)
                await self.finish()
            if limit.cancelled_caught:
                self.mistakes.append("a caller waits for ever")
            self.nursery.cancel_scope.cancel()
        self.check()

    async def finish(self) -> None:
        """Do what is to be done after the last call."""

    def changes_of(self, key: str) -> list[str]:
        """Return what has changed an entity."""
        return self.states[key].split(",")[:-1]

    def check(self) -> None:
        """Compare what callers were told with the states."""
        for key in self.states:
            changes = self.changes_of(key)
            sent = [change.partition("/")[0] for change in changes]
            for each in {change for change in sent if sent.count(change) > 1}:
                self.mistakes.append(f"{key}: {each} changed the state twice")
            told = [call for call in self.history if call.key == key and call.ended is not None]
            for call in told:
                own = f"{call.name}/{call.ran}"
                if call.body == "read":
                    continue
                if call.place > len(changes) or changes[call.place - 1] != own:
                    self.mistakes.append(f"{key}: {own} was told place {call.place}, not its own")
            self._check_order(key, told)

    def _check_order(self, key: str, told: list[Call]) -> None:
        ended = sorted(told, key=lambda call: call.ended or 0.0)
        most = index = 0
        for call in sorted(told, key=lambda call: call.began):
            while index < len(ended) and (ended[index].ended or 0.0) < call.began:
                most = max(most, ended[index].place)
                index += 1
            if call.place < most + (call.body != "read"):
                self.mistakes.append(f"{key}: {call} began after {most} was told")


class Node:
    """A sandbox, and its store."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.is_dead = False
        # The ends of its last freeze, and of its last trouble: a freeze, a lost request or answer.
        self.thaws_at = self.is_well_at = 0.0
        self.skew = world.random.uniform(-world.rules.skew, world.rules.skew)
        self.numbers = dict[str, int]()
        self.run_count = 0
        self.store = NodeStore(self)

    def freeze(self, seconds: float) -> None:
        self.thaws_at = max(self.thaws_at, trio.current_time() + seconds)
        self.is_well_at = max(self.is_well_at, self.thaws_at)

    def die(self) -> None:
        self.is_dead, self.is_well_at = True, math.inf

    def was_in_trouble(self, since: float) -> bool:
        """Return whether anything has stopped it since a time, or within the length of a lease."""
        return self.is_well_at > min(since, trio.current_time() - LEASE / 1000)

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds)
        while self.thaws_at > trio.current_time():
            # Another freeze may follow. No deadline ends in a sandbox that is frozen.
            with trio.CancelScope(shield=True):
                await trio.sleep_until(self.thaws_at)
        if self.is_dead:
            raise Died

    def new_run(self) -> str:
        self.run_count += 1
        return f"{self.name}#{self.run_count}"

    async def handle(self, key: str, state: str, mail: Mail) -> Handled:
        world = self.world
        world.runs += 1
        if mail.body == "poison":
            known = f"{key}: {mail.sender}:{mail.number}"
            world.deaths[known] = world.deaths.get(known, 0) + 1
            self.die()
        await self.pause(3.0 if mail.body == "slow" else world.random.expovariate(500))
        if mail.body == "read":
            return Handled(state, f"{state.count(',')}/0")
        # No two runs of one message say the same.
        ran = world.random.randrange(10**6)
        padding = " " * LARGE if world.random.random() < (world.large or 0) else ""
        state = f"{padding}{state.lstrip()}{mail.sender}:{mail.number}/{ran},"
        return Handled(state, f"{state.count(',')}/{ran}")

    async def live(self) -> None:
        world, rules, chance = self.world, self.world.rules, self.world.random
        caller = rules.caller(
            self.store, self.handle, set_aside, self.new_run, rules.is_quiet, self.pause,
            chance.random,
        )  # fmt: skip
        try:
            for _ in range(rules.calls):
                await self.pause(chance.expovariate(0.5))
                key = f"k{chance.randrange(rules.keys)}"
                number = self.numbers[key] = self.numbers.get(key, 0) + 1
                luck, body = chance.random(), "x"
                for name, share in (
                    ("poison", rules.poison), ("read", rules.reads), ("slow", rules.slow)
                ):  # fmt: skip
                    if 0 <= luck < share:
                        body = name
                    luck -= share
                call = Call(key, self.name, number, body, trio.current_time())
                world.history.append(call)
                deadline = self.store.now() + int(1000 * (rules.deadline or 10**9))
                try:
                    message = Message(self.name, number, body, deadline)
                    reply = (await caller.call(key, message)).body
                except CallLate:
                    continue
                if reply != "dead":
                    call.ended = trio.current_time()
                    call.place, call.ran = map(int, reply.split("/"))
        except* Died:
            # Maybe in a nursery.
            pass


class NodeStore(DynamoDBStore):
    """The store of a sandbox, by the sandbox's clock."""

    def __init__(self, node: Node) -> None:
        super().__init__("okibi", NodeClient(node))
        self.node = node

    def now(self) -> int:
        return int((trio.current_time() + EPOCH + self.node.skew) * 1000)


class NodeClient(Client):
    """The requests of a sandbox."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> Item:
        return await self.node.world.ask(self.node, operation, dict(parameters or {}))


def simulate(seed: int, rules: Rules) -> World:
    """Run a world. The same seed and rules have the same history."""
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    random.seed(seed)
    make_world = rules.world or World

    async def run() -> World:
        world = make_world(seed, rules)
        await world.run()
        return world

    with ExitStack() as patches:
        for name, wrong in rules.wrong.items():
            for place in make_world.places:
                if hasattr(place, name):
                    patches.enter_context(mock.patch.object(place, name, wrong))
        return trio.run(run, clock=MockClock(autojump_threshold=0))


def simulate_all(seeds: range, rules: Rules) -> Counter[str]:
    """Simulate a world for each seed; return the sums.

    Raises:
        SystemExit: a world has mistakes.
    """
    # Of methods that raise, and of renewals that fail.
    logging.getLogger("okibi").setLevel(logging.CRITICAL)
    sums = Counter[str]()
    for seed in seeds:
        world = simulate(seed, rules)
        if world.mistakes:
            raise SystemExit(f"seed {seed}: {world.mistakes[:3]}")
        sums += Counter(
            calls=len(world.history),
            replies=sum(call.ended is not None for call in world.history),
            runs=world.runs,
            requests=world.requests,
            deaths=sum(world.deaths.values()),
        )
        sums["most"] = max(sums["most"], *world.deaths.values(), 0)
    return sums


def spread(seeds: range, rules: Rules) -> Counter[str]:
    """Simulate a world for each seed, in a process a core; see simulate_all."""
    count = max(1, min(os.cpu_count() or 1, len(seeds)))
    with ProcessPoolExecutor(count) as pool:
        parts = [*pool.map(simulate_all, [seeds[n::count] for n in range(count)], [rules] * count)]
    sums = sum(parts, Counter[str]())
    sums["most"] = max(part["most"] for part in parts)
    return sums


def print_bars(seeds: range) -> None:
    """Print what a message that kills its sandbox and what clocks that differ cost at most."""
    from tests.entities.entity_simulation import ENTITIES

    for mode in ("post", "commit"):
        is_quiet = mode == "commit"
        for name, rules in (
            ("calls", Rules(nodes=40, keys=2, limit=900.0)),
            ("entities", ENTITIES),
        ):
            sums = spread(seeds, attrs.evolve(rules, is_quiet=is_quiet, poison=0.02))
            print(f"poison, {mode}, {name}: {sums['deaths']} sandboxes, {sums['most']} a message")
            assert sums["most"] <= MOST_ENDED
        for has_faults in (False, True):
            runs = list[float]()
            for skew in (0.0, 10.0):
                rules = Rules(nodes=40, keys=1, skew=skew, has_faults=has_faults, is_quiet=is_quiet)
                sums = spread(seeds, rules)
                runs.append(sums["runs"] / sums["replies"])
            print(
                f"skew, {mode}, {'with' if has_faults else 'no'} faults: {runs[0]:.3f} runs a "
                f"reply at 0 s, {runs[1]:.3f} at 10 s: {runs[1] / runs[0]:.3f}; none wrong"
            )
            assert runs[1] / runs[0] <= MOST_RUNS


def main() -> None:
    from tests.entities.entity_simulation import ENTITIES

    parser = argparse.ArgumentParser(description="Simulate sandboxes that call entities.")
    parser.add_argument("--seeds", default="0:100", help="FIRST:END")
    parser.add_argument("--mode", choices=("commit", "post"), default="commit")
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument(
        "--bars", action="store_true", help="print the costs of poison and of clocks that differ"
    )
    given = parser.parse_args()
    seeds = range(*map(int, given.seeds.split(":")))
    if given.bars:
        print_bars(seeds)
        return
    nodes = given.nodes
    for name, rules in (("calls", Rules(limit=3600.0)), ("entities", ENTITIES)):
        began = time.perf_counter()
        # Of many sandboxes, each calls less often, and one of them.
        calls = rules.calls if nodes <= MANY else 4
        sums = spread(
            seeds,
            attrs.evolve(
                rules, nodes=nodes, keys=rules.keys if nodes <= MANY else nodes // 7, calls=calls,
                is_quiet=given.mode == "commit",
            ),
        )  # fmt: skip
        seconds = time.perf_counter() - began
        print(
            f"{name}: seeds {given.seeds}, {given.mode}, {nodes} sandboxes: {sums['calls']} calls, "
            f"{sums['replies']} replies, {sums['runs']} runs of messages, {sums['requests']} "
            f"requests; none wrong ({seconds:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
