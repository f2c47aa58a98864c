"""The actor that owns the store of a sandbox's entities."""

import os
from collections.abc import Mapping

import attrs
from trio.lowlevel import in_trio_run

from ..actors import Actor
from .alarms import KeepsAlarms, LambdaRings, LocalRings, Rings
from .entities import CURRENT, Sandbox, current_sandbox, ring
from .stores import MemoryStore, Store

# The number of entities that a snapshot shows.
MOST_SHOWN = 5
_NO_TABLE = (
    "OKIBI_ENTITIES is not set: name the DynamoDB table that keeps the entities (`entities = true` "
    "in the function's table of pyproject.toml declares one), or give EntityStore a store"
)


@attrs.define(eq=False)
class EntityStore(Actor):
    """Has the store that entities are saved in. Put `Child(EntityStore)` before what calls them.

    Args:
        store: the store. By default the variable OKIBI_ENTITIES chooses it: the name of a DynamoDB
            table, or `sqlite:PATH`. If it is not set, the store is in memory and ends with the
            process; on Lambda the init fails.
    """

    store: Store | None = None
    _sandbox: Sandbox | None = attrs.field(default=None, init=False)

    async def init(self) -> None:
        store = choose_store(os.environ) if self.store is None else self.store
        rings = _rings_of(store, "OKIBI_ENTITIES_ROLE" in os.environ)
        self._sandbox = Sandbox(store, rings)
        CURRENT.set(self._sandbox)

    async def run(self) -> None:
        await current_sandbox().rings.run(ring)

    def _describe_for_snapshot(self) -> str:
        """Describe the entities that run here now. Another thread may call it."""
        if self._sandbox is None:
            return ""
        turns = tuple(self._sandbox.held.values())
        # Another thread does not know the time of a MemoryStore.
        now = self._sandbox.store.now() if in_trio_run() else None
        shown = [
            f"holds {turn.own.key} (fence {turn.own.fence}, mail {len(turn.row.mail)}"
            + ("" if now is None else f", lease {(turn.row.lease - now) / 1000:.1f} s")
            + ")"
            for turn in turns[:MOST_SHOWN]
        ]
        more = len(turns) - len(shown)
        return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def remember_function(arn: bytes) -> None:
    """Keep the ARN by which this function is invoked, for alarms and doorbells."""
    try:
        rings = CURRENT.get().rings
    except LookupError:
        # The function has entities of another one's module, and does not run them.
        return
    if isinstance(rings, LambdaRings):
        rings.function = arn.decode()


def choose_store(environment: Mapping[str, str]) -> Store:
    """Return the store that OKIBI_ENTITIES names.

    Raises:
        RuntimeError: it is not set on Lambda.
    """
    name = environment.get("OKIBI_ENTITIES", "")
    if name.startswith("sqlite:"):
        from .sqlite_store import SQLiteStore

        return SQLiteStore(name.removeprefix("sqlite:"))
    if name:
        from .dynamodb_store import DynamoDBStore

        return DynamoDBStore(name)
    if "AWS_LAMBDA_RUNTIME_API" in environment:
        raise RuntimeError(_NO_TABLE)
    return MemoryStore()


def _rings_of(store: Store, has_scheduler: bool) -> Rings:
    if isinstance(store, KeepsAlarms) and not has_scheduler:
        return LocalRings(store)
    return LambdaRings()
