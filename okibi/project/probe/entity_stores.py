"""Find whether a function keeps entities where OKIBI_ENTITIES says, and what they cost."""

import sys
from functools import partial

from ...supervisors import SupervisorSpec
from .static_tree import walk

# Of a call to an entity with 1 KB of state that nobody else calls at this moment: a consistent read
# of up to 4 KB, and a write of up to 2 KB. The item has replies beside the state.
READ_UNITS, WRITE_UNITS = 1, 2
# Dollars a million units on demand in us-east-1.
READ_PRICE, WRITE_PRICE, PRICES_OF = 0.125, 0.625, "December 2026"

PRICE = READ_UNITS * READ_PRICE + WRITE_UNITS * WRITE_PRICE
COST = (
    f"entities: a million calls cost ${PRICE:.2f} (DynamoDB, 1 KB of state, one caller at a time,"
    f' {PRICES_OF}); see "Entities" in the docs'
)
NO_TABLE = (
    "the EntityStore has no table on Lambda; write `entities = true` into the function's table in"
    " pyproject.toml, or set OKIBI_ENTITIES to the name of a table"
)


def needs_table(tree: SupervisorSpec) -> bool:
    """Return whether an EntityStore of a tree has no store of its own."""
    module = sys.modules.get("okibi.entities")
    if module is None:
        return False
    return any(_is_bare(child.start, module.EntityStore) for _, child in walk(tree))


def _is_bare(start: object, store: type) -> bool:
    if isinstance(start, partial):
        return _is_bare(start.func, store) and not start.args and "store" not in start.keywords
    return isinstance(start, type) and issubclass(start, store)
