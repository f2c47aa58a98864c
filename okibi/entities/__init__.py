"""Entities: actors whose state outlives every sandbox.

    CARTS = Entities("cart", Cart)
    total = await CARTS["bob"].call(Cart.add, "tea")

The caller of an entity runs it. Its state, its mail and its replies are one row of a store.
"""

from .calls import CallLate, MailFull
from .entities import Entities, EntityRef, NoEntityStore
from .entity import Entity, StateError
from .entity_store import EntityStore
from .messages import EntityCrashed, EntityRefused
from .once import Once, OnceMismatch
from .stores import EntityFull, MemoryStore, Store

__all__ = [
    "CallLate",
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
    "StateError",
    "Store",
]
