"""Several sandboxes that call the same entities, in one test."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar, TypeVarTuple

import attrs
import outcome  # trio's own dependency
import trio

from ..entities.alarms import LocalRings
from ..entities.entities import OF_TASK, Sandbox, ring
from ..entities.operations import Move, Moved, Operation
from ..entities.rows import Row
from ..entities.stores import MemoryStore, StoreUnavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Seconds of a request to the store, and of its answer.
TRIP = 0.005


class SandboxKilled(Exception):
    """The sandbox was killed while it ran this code, or before."""


@attrs.define(eq=False)
class _StoreOfSandbox:
    """The store as one sandbox sees it.

    Attributes:
        store: the store of all.
        skew: seconds by which the sandbox's clock is ahead.
        thaws_at: the end of a freeze, by trio's clock.
        lost: the number of answers that will be lost.
        is_dead: whether the sandbox was killed.
    """

    store: MemoryStore
    skew: float
    thaws_at: float = -math.inf
    lost: int = 0
    is_dead: bool = False

    def now(self) -> int:
        return self.store.now() + int(1000 * self.skew)

    async def read(self, key: str, sender: str = "", *, consistent: bool) -> Row | None:
        return await self._ask(partial(self.store.read, key, sender, consistent=consistent))

    async def apply(self, operation: Operation) -> Row:
        return await self._ask(partial(self.store.apply, operation))

    async def move(self, move: Move) -> Moved:
        return await self._ask(partial(self.store.move, move))

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        await self.wait(TRIP)
        answer = await outcome.acapture(request)
        await self.wait(TRIP)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the test has lost this answer")
        return answer.unwrap()

    async def wait(self, seconds: float) -> None:
        """Wait, and until the sandbox thaws."""
        await trio.sleep(seconds)
        # It may be frozen again meanwhile.
        while not self.is_dead and (thaw := self.thaws_at) > trio.current_time():  # noqa: ASYNC110
            await trio.sleep_until(thaw)
        if self.is_dead:
            raise StoreUnavailable("the sandbox was killed")


class EntitySandbox:
    """A sandbox of a test; made by `EntityWorld.sandbox`."""

    def __init__(self, store: _StoreOfSandbox, rings: LocalRings) -> None:
        self._store = store
        self._entities = Sandbox(store, rings)
        self._scopes = set[trio.CancelScope]()

    async def run(self, function: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> T:
        """Run an async function in this sandbox, and return its result.

            total = await first.run(partial(CARTS["bob"].call, Cart.add, "tea"))

        Args:
            function: calls entities.
            *args: its arguments.

        Raises:
            SandboxKilled: the sandbox was killed, before or meanwhile.
            BaseException: whatever the function raises.
        """
        token = OF_TASK.set(self._entities)
        scope = trio.CancelScope()
        self._scopes.add(scope)
        try:
            with scope:
                await self._store.wait(0)
                return await function(*args)
        except Exception as error:
            if self._store.is_dead:
                raise SandboxKilled from error
            raise
        finally:
            self._scopes.discard(scope)
            OF_TASK.reset(token)
        raise SandboxKilled

    def _kill(self) -> None:
        self._store.is_dead = True
        for scope in self._scopes:
            scope.cancel()


class EntityWorld:
    """Sandboxes, and the store that all of them call. Made by `entity_world`.

    Attributes:
        store: the store.
    """

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._rings = LocalRings(self.store)

    def sandbox(self, *, skew: float = 0.0) -> EntitySandbox:
        """Return a new sandbox.

        Args:
            skew: seconds by which its clock is ahead of the others'.
        """
        return EntitySandbox(_StoreOfSandbox(self.store, skew), self._rings)

    def freeze(self, sandbox: EntitySandbox, seconds: float) -> None:
        """Freeze a sandbox: its requests to the store, and their answers, wait.

        The code between two requests runs on: it is the requests that others see.

        Args:
            sandbox: the sandbox.
            seconds: from now on.
        """
        sandbox._store.thaws_at = trio.current_time() + seconds

    def kill(self, sandbox: EntitySandbox) -> None:
        """Kill a sandbox: what it runs raises SandboxKilled, and nothing of it is cleaned up."""
        sandbox._kill()

    def lose_answers(self, sandbox: EntitySandbox, count: int = 1) -> None:
        """Lose the next answers of the store to a sandbox; the requests arrive.

        Args:
            sandbox: the sandbox.
            count: the number of answers.
        """
        sandbox._store.lost += count


@asynccontextmanager
async def entity_world() -> AsyncGenerator[EntityWorld]:
    """Open a world in which several sandboxes call the same entities, in virtual time.

        @virtual_time
        async def test_a_freeze_in_the_middle_of_a_call() -> None:
            async with entity_world() as world, trio.open_nursery() as nursery:
                first, second = world.sandbox(), world.sandbox()
                add = partial(CARTS["bob"].call, Cart.add)
                nursery.start_soon(first.run, add, "tea")
                await trio.sleep(0.012)
                world.freeze(first, 30)
                assert await second.run(add, "cup") == 1

    The sandboxes run okibi's own protocol over one store in memory. Alarms and doorbells ring in a
    sandbox of their own, which nothing happens to.
    """
    world = EntityWorld()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.sandbox().run, world._rings.run, ring)
        yield world
        nursery.cancel_scope.cancel()
