"""Trees as text, one line for each actor."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from ..runtime.errors.user_code import is_okibi_file
from ..supervisors.snapshots import describe_load, describe_next_start
from .live_trees import LiveNode, LiveTree

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


def describe_tree(tree: LiveTree) -> Iterator[str]:
    """Yield the lines of a tree as text: the sandbox, then one line for each actor.

    Raises:
        msgspec.DecodeError: the tree is that of another version of okibi.
    """
    frozen = ", frozen" if tree.frozen else ""
    yield f"{tree.function}, sandbox {tree.sandbox} (process {tree.pid}{frozen})"
    if (root := tree.root) is not None:
        yield from draw(root, describe_live)


def describe_live(node: LiveNode) -> Iterator[str]:
    """Yield the parts of an actor's line: since when, how often restarted, then its messages."""
    plain = node.actor in ("", "Supervisor", "RootSupervisor")
    yield node.path.rpartition("/")[2] + ("" if plain else f" ({node.actor})")
    # Of a child that does not run, only the phase is known.
    since = "" if node.age is None or not node.actor else f" for {_duration(node.age)}"
    yield f"{node.phase}{since}{describe_next_start(node.next_start or 0.0)}"
    if node.reason:
        yield node.reason
    if node.suspended:
        yield "suspended"
    if node.incarnation > 1:
        yield f"restarted {node.incarnation - 1} x"
    yield from describe_load(node.recent_restarts, node.waiting, node.peak, node.callers)
    if node.note:
        yield node.note
    if node.message:
        age = "" if node.message_age is None else f" for {_duration(node.message_age)}"
        yield f"handling {node.message}{age}"
    if node.line and not is_okibi_file(node.line):
        # An idle actor of okibi's waits in okibi's code.
        yield f"at {_shorten(node.line)}"


def _shorten(line: str) -> str:
    """Write the file of a line relative to the current folder, if it is there."""
    return line.removeprefix(os.path.join(os.getcwd(), ""))


def _duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    >>> _duration(0.0421), _duration(61.2), _duration(7322)
    ('0.04 s', '1 min 1 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.3g} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
