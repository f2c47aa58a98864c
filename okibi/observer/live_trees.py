"""The live trees of running sandboxes: as JSON between processes, and as text for a reader.

`okibi dev` collects the trees and sends JSON. `okibi tree --live` reads the JSON and writes text.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

import attrs
import msgspec

from ..runtime.errors.user_code import is_okibi_file
from ..supervisors.snapshots import describe_load, describe_next_start
from .drawing import draw

NULL = msgspec.Raw(b"null")


@attrs.frozen
class LiveNode:
    """The fields of a `Snapshot` that are shown; ages are None while the event loop is stuck."""

    path: str
    actor: str
    phase: str
    incarnation: int
    waiting: int
    peak: int
    callers: int
    recent_restarts: int
    age: float | None
    message: str
    message_age: float | None
    line: str
    next_start: float | None = 0.0
    reason: str = ""
    suspended: bool = False
    children: "Sequence[LiveNode]" = ()


@attrs.frozen
class LiveTree:
    """The tree of one sandbox.

    Args:
        function: the function's name.
        sandbox: the number of the sandbox.
        pid: the process id of the sandbox.
        frozen: whether the sandbox was frozen.
        tree: the `Snapshot` of the sandbox as JSON; null if the sandbox did not answer.
        error: the reason why the sandbox did not answer, else empty.
    """

    function: str
    sandbox: int
    pid: int | None
    frozen: bool
    tree: msgspec.Raw = NULL
    error: str = ""

    @property
    def root(self) -> LiveNode | None:
        """The root of the tree; None if the sandbox did not answer.

        Raises:
            msgspec.DecodeError: the tree is that of another version of okibi.
        """
        return msgspec.json.decode(self.tree, type=LiveNode | None)


def encode_trees(trees: Iterable[LiveTree]) -> bytes:
    """Encode trees as JSON, with all fields of each `Snapshot`."""
    return msgspec.json.encode([attrs.asdict(each) for each in trees])


def decode_trees(body: bytes) -> list[LiveTree]:
    """Decode the trees of `encode_trees`.

    Raises:
        msgspec.DecodeError: the bytes are something else.
    """
    return msgspec.json.decode(body, type=list[LiveTree])


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
