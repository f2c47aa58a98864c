"""Draw a tree as text, one line for each actor."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

# The number of children of one supervisor that are shown.
MAX_SHOWN = 20

NodeT = TypeVar("NodeT", bound="Node")


class Node(Protocol):
    """An actor with those below it."""

    @property
    def children(self: NodeT) -> Sequence[NodeT]:
        """The actors below."""
        ...


def draw(
    node: NodeT, describe: Callable[[NodeT], Iterator[str]], first: str = "", rest: str = ""
) -> Iterator[str]:
    """Draw a tree.

    Args:
        node: the root.
        describe: yields the parts of an actor's line.
        first: the branches in front of the root.
        rest: the branches in front of the lines below the root.
    """
    yield f"{first}{', '.join(describe(node))}"
    hidden = len(node.children) - MAX_SHOWN
    for at, child in enumerate(node.children[:MAX_SHOWN], 1):
        last = at == len(node.children)
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from draw(child, describe, rest + branch, rest + below)
    if hidden > 0:
        yield f"{rest}└─ … and {hidden:,} more"
