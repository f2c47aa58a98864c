"""The live trees of running sandboxes, as JSON.

`okibi dev` collects the trees and sends JSON. `okibi tree --live` reads it.
"""

from collections.abc import Iterable, Sequence

import attrs
import msgspec

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
    note: str = ""
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
