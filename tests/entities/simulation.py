"""Sandboxes that call entities in a deterministic world, on a table whose requests get lost.

    python -m tests.entities.simulation --seeds 0:200 --mode commit

The real Caller sends the real expressions. What goes wrong: requests and answers are lost, requests
arrive up to 8 s after their sender gave up, the table throttles, a read is a second old, clocks are
up to 10 s off, sandboxes freeze (right behind a request and anywhere), die, and are cut off. After
60 s all heals. A caller that waits for ever is found.

The state of an entity is the list of the messages that have changed it, and a reply is its length.
So a history is right if no message is in the list twice, each caller was told the place of its own
message, and a call that began after another one's reply has a later place.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import attrs
import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from okibi.entities.calls import Caller, CallLate, Handled, Message
from okibi.entities.dynamodb import Update, get_parameters, row_of, update_of
from okibi.entities.operations import Move, Moved, Operation
from okibi.entities.rows import Mail, Row
from okibi.entities.stores import OperationRefused, StoreThrottled, StoreUnavailable
from tests.entities.tiny_dynamodb import ConditionFailed, Item, TinyDynamoDB

# Seconds of trouble; then all heals.
TROUBLE = 60.0


class Died(BaseException):
    """The sandbox has died."""


@attrs.define(eq=False)
class Call:
    """One call of the history. `place` and `ran` are what the caller was told."""

    key: str
    sender: str
    number: int
    began: float
    ended: float | None = None
    place: int = 0
    ran: int = 0


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
        update_of: makes the update of an operation; a mutant makes a wrong one.
        caller: the class of callers; a mutant is wrong.
        limit: seconds after which a caller waits for ever.
    """

    nodes: int = 20
    keys: int = 3
    calls: int = 12
    is_quiet: bool = True
    has_faults: bool = True
    skew: float = 10.0
    deadline: float | None = None
    poison: float = 0.0
    update_of: Callable[[Operation], Update] = update_of
    caller: type[Caller] = Caller
    limit: float = 600.0


class World:
    """The table, the sandboxes, and what happened."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.random = random.Random(seed)
        self.rules = rules
        self.table = TinyDynamoDB()
        self.nodes = [Node(self, f"n{number}") for number in range(rules.nodes)]
        self.cut_off = set[str]()
        self.history = list[Call]()
        self.mistakes = list[str]()
        # By entity: the times of changes, and the items before them.
        self.past = dict[str, list[tuple[float, Item | None]]]()
        self.states = dict[str, str]()
        self.deaths = dict[tuple[str, int], int]()
        self.runs = self.requests = 0
        self.nursery: trio.Nursery

    def step(self, operation: str, parameters: Item) -> Item:
        """Do a request, in one atomic step; a state must continue the state before it."""
        self.requests += 1
        key = parameters["Key"]["k"]["S"]
        before = self.table.items.get(key)
        if operation == "GetItem" and not parameters["ConsistentRead"]:
            past = self.past.get(key, [])
            since = trio.current_time() - 1
            item = self.random.choice([*(item for at, item in past if at > since), before])
            return {} if item is None else {"Item": item}
        answer = self.table.ask(operation, parameters)
        if operation == "UpdateItem":
            self.past[key] = [*self.past.get(key, [])[-5:], (trio.current_time(), before)]
            state, last = answer["Attributes"].get("s", {"S": ""})["S"], self.states.get(key, "")
            if not state.startswith(last):
                self.mistakes.append(f"{key}: {last[-40:]!r} was followed by {state[-40:]!r}")
            self.states[key] = state
        return answer

    async def ask(self, node: "Node", operation: str, parameters: Item) -> Item:
        """Send a request over a bad network."""
        chance = self.random.random if self.rules.has_faults else lambda: 1.0
        await node.pause(self.random.expovariate(400))
        if node.name in self.cut_off or chance() < 0.01:
            await node.pause(0.5)
            raise StoreUnavailable
        if chance() < 0.01:
            await node.pause(0.05)
            raise StoreThrottled
        if chance() < 0.01:
            self.nursery.start_soon(self._arrive_late, operation, parameters)
            await node.pause(0.5)
            raise StoreUnavailable
        refused: OperationRefused | None = None
        answer = Item()
        try:
            answer = self.step(operation, parameters)
        except ConditionFailed as failed:
            refused = OperationRefused(row_of(failed.args[0]))
        if trio.current_time() < TROUBLE:
            # Right behind a request it hurts most.
            luck = chance()
            if luck < 0.008:
                node.is_dead = True
            elif luck < 0.06:
                node.freeze(self.random.choice((0.5, 4.9, 5.1, 12.0)))
        await node.pause(self.random.expovariate(400))
        if chance() < 0.01:
            await node.pause(0.5)
            raise StoreUnavailable
        if refused is not None:
            raise refused
        return answer

    async def _arrive_late(self, operation: str, parameters: Item) -> None:
        await trio.sleep(min(8.0, self.random.expovariate(1 / 3)))
        with suppress(ConditionFailed):
            self.step(operation, parameters)

    async def trouble(self) -> None:
        """Freeze, kill and cut off sandboxes."""
        chance = self.random
        while trio.current_time() < TROUBLE:
            await trio.sleep(chance.expovariate(2.5) * 20 / len(self.nodes) + 0.001)
            node, luck = chance.choice(self.nodes), chance.random()
            if luck < 0.7:
                node.freeze(chance.expovariate(0.25))
            elif luck < 0.8:
                node.is_dead = True
            else:
                self.cut_off.add(node.name)
                self.nursery.start_soon(self._heal, node.name, chance.expovariate(1 / 3))

    async def _heal(self, name: str, seconds: float) -> None:
        await trio.sleep(seconds)
        self.cut_off.discard(name)

    async def run(self) -> None:
        async with trio.open_nursery() as self.nursery:
            if self.rules.has_faults:
                self.nursery.start_soon(self.trouble)
            with trio.move_on_after(self.rules.limit) as limit:
                async with trio.open_nursery() as lives:
                    for node in self.nodes:
                        lives.start_soon(node.live)
            if limit.cancelled_caught:
                self.mistakes.append("a caller waits for ever")
            self.nursery.cancel_scope.cancel()
        self.check()

    def check(self) -> None:
        """Compare what callers were told with the states."""
        for key, state in self.states.items():
            changes = state.split(",")[:-1]
            sent = [change.partition("/")[0] for change in changes]
            for each in {change for change in sent if sent.count(change) > 1}:
                self.mistakes.append(f"{key}: {each} changed the state twice")
            told = [call for call in self.history if call.key == key and call.ended is not None]
            for call in told:
                own = f"{call.sender}:{call.number}/{call.ran}"
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
            if call.place <= most:
                self.mistakes.append(f"{key}: {call} began after {most} was told")


class Node:
    """A sandbox, and its store."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.is_dead = False
        self.thaws_at = 0.0
        self.skew = world.random.uniform(-world.rules.skew, world.rules.skew)
        self.numbers = dict[str, int]()
        self.run_count = 0

    def freeze(self, seconds: float) -> None:
        self.thaws_at = max(self.thaws_at, trio.current_time() + seconds)

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds)
        # Another freeze may follow.
        while (thaw := self.thaws_at) > trio.current_time():  # noqa: ASYNC110
            await trio.sleep_until(thaw)
        if self.is_dead:
            raise Died

    # -- the store

    def now(self) -> int:
        return int((trio.current_time() + 1000 + self.skew) * 1000)

    async def read(self, key: str, sender: str = "", *, consistent: bool) -> Row | None:
        parameters = get_parameters("okibi", key, sender, consistent=consistent)
        answer = await self.world.ask(self, "GetItem", parameters)
        return row_of(answer.get("Item", {}))

    async def apply(self, operation: Operation) -> Row:
        parameters = self.world.rules.update_of(operation).parameters("okibi", operation.key)
        answer = await self.world.ask(self, "UpdateItem", parameters)
        row = row_of(answer["Attributes"])
        assert row is not None
        return row

    async def move(self, move: Move) -> Moved:
        raise NotImplementedError

    # -- what it runs

    def new_run(self) -> str:
        self.run_count += 1
        return f"{self.name}#{self.run_count}"

    async def handle(self, state: str, mail: Mail) -> Handled:
        world = self.world
        world.runs += 1
        if mail.body == "poison":
            known = mail.sender, mail.number
            world.deaths[known] = world.deaths.get(known, 0) + 1
            self.is_dead = True
        await self.pause(world.random.expovariate(500))
        # No two runs of one message say the same.
        ran = world.random.randrange(10**6)
        state += f"{mail.sender}:{mail.number}/{ran},"
        return Handled(state, f"{state.count(',')}/{ran}")

    async def live(self) -> None:
        world, rules, chance = self.world, self.world.rules, self.world.random
        caller = rules.caller(
            self, self.handle, lambda mail: "dead", self.new_run, rules.is_quiet, self.pause,
            chance.random,
        )  # fmt: skip
        try:
            for _ in range(rules.calls):
                await self.pause(chance.expovariate(0.5))
                key = f"k{chance.randrange(rules.keys)}"
                number = self.numbers[key] = self.numbers.get(key, 0) + 1
                call = Call(key, self.name, number, trio.current_time())
                world.history.append(call)
                deadline = self.now() + int(1000 * (rules.deadline or 10**9))
                body = "poison" if chance.random() < rules.poison else "x"
                try:
                    message = Message(self.name, number, body, deadline)
                    reply = (await caller.call(key, message)).body
                except CallLate:
                    continue
                if reply == "dead":
                    if not rules.poison:
                        world.mistakes.append(f"{key}: a healthy message of {self.name} set aside")
                else:
                    call.ended = trio.current_time()
                    call.place, call.ran = map(int, reply.split("/"))
        except* Died:
            # Maybe in a nursery.
            pass


def simulate(seed: int, rules: Rules) -> World:
    """Run a world. The same seed and rules have the same history."""
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)

    async def run() -> World:
        world = World(seed, rules)
        await world.run()
        return world

    return trio.run(run, clock=MockClock(autojump_threshold=0))


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate sandboxes that call entities.")
    parser.add_argument("--seeds", default="0:100", help="FIRST:END")
    parser.add_argument("--mode", choices=("commit", "post"), default="commit")
    parser.add_argument("--nodes", type=int, default=20)
    given = parser.parse_args()
    first, end = map(int, given.seeds.split(":"))
    rules = Rules(nodes=given.nodes, is_quiet=given.mode == "commit", limit=3600)
    began = time.perf_counter()
    calls = replies = runs = requests = 0
    for seed in range(first, end):
        world = simulate(seed, rules)
        if world.mistakes:
            print(f"seed {seed}: {world.mistakes[:3]}")
            sys.exit(1)
        calls += len(world.history)
        replies += sum(call.ended is not None for call in world.history)
        runs, requests = runs + world.runs, requests + world.requests
    seconds = time.perf_counter() - began
    print(
        f"seeds {given.seeds}, {given.mode}, {given.nodes} sandboxes: {calls} calls, {replies} "
        f"replies, {runs} runs of messages, {requests} requests; none wrong ({seconds:.0f} s)"
    )


if __name__ == "__main__":
    main()
