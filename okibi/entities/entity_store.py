"""The actor that owns the store of a sandbox's entities."""

import attrs

from ..actors import Server
from .entities import CURRENT, Sandbox
from .stores import MemoryStore, Store


@attrs.define(eq=False)
class EntityStore(Server):
    """Has the store that entities are saved in. Put `Child(EntityStore)` before what calls them.

    Args:
        store: the store; by default one in memory, which ends with the process.
    """

    store: Store = attrs.Factory(MemoryStore)

    async def init(self) -> None:
        CURRENT.set(Sandbox(self.store))
