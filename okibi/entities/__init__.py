"""Entities: actors whose state outlives every sandbox.

    CARTS = Entities("cart", Cart)
    total = await CARTS["bob"].call(Cart.add, "tea")

The caller of an entity runs it. Its state, its mail and its replies are one row of a store.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .calls import CallLate, MailFull
from .entities import Entities, EntityRef, NoEntityStore
from .entity import Entity, StateError
from .entity_store import EntityStore
from .messages import EntityCrashed, EntityRefused
from .once import Once, OnceMismatch
from .stores import EntityFull, MemoryStore, Store

if TYPE_CHECKING:
    from .dynamodb_store import DynamoDBStore
    from .sqlite_store import SQLiteStore
else:  # hidden from type checkers: they would accept any name

    def __getattr__(name: str) -> object:
        """Import a store when it is first used: a start needs one of them at most."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value


__all__ = [
    "CallLate",
    "DynamoDBStore",
    "Entities",
    "Entity",
    "EntityCrashed",
    "EntityFull",
    "EntityRef",
    "EntityRefused",
    "EntityStore",
    "MailFull",
    "MemoryStore",
    "NoEntityStore",
    "Once",
    "OnceMismatch",
    "SQLiteStore",
    "StateError",
    "Store",
]

_MODULES = {"DynamoDBStore": "dynamodb_store", "SQLiteStore": "sqlite_store"}
