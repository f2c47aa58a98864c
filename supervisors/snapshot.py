"""A tree as it stands now, read without asking any actor.

Asking would hang on a supervisor that is busy in a child's `init`, which is when one looks.
"""

from typing import Any

import attrs

from actors import Actor, Ref
from actors.process import CURRENT, Process

from .parent import Parent


@attrs.frozen
class Snapshot:
    """One actor in its tree.

    Attributes:
        path: where it stands.
        actor: its class's name; empty where nobody lives now.
        phase: starting, running, dying, dead; undefined or restarting where nobody lives.
        incarnation: how often that place has been started.
        waiting: how many messages wait for it.
        children: for a supervisor, its children in start order.
    """

    path: str
    actor: str
    phase: str
    incarnation: int
    waiting: int = 0
    children: "tuple[Snapshot, ...]" = ()

    @property
    def restarts(self) -> int:
        """How often that place has been started again."""
        return max(self.incarnation - 1, 0)

    def __str__(self) -> str:
        return "\n".join(_lines(self, "", ""))


def snapshot(root: Ref[Any] | None = None) -> Snapshot:
    """The tree below `root`; left out, the whole tree that the calling actor belongs to.

    Raises:
        RuntimeError: no root was given, and no actor is calling.
    """
    if root is not None:
        return _of(root.process())
    process = CURRENT.get()
    if process is None:
        raise RuntimeError("outside an actor, say which tree: snapshot(ref)")
    while process.parent is not None:
        process = process.parent
    return _of(process)


def _of(process: Process) -> Snapshot:
    actor = process.actor
    children: list[Snapshot] = []
    if isinstance(actor, Parent):
        for place in actor.places:
            if place.process is not None:
                children.append(_of(place.process))
            else:
                path = f"{process.path}/{place.id}"
                children.append(Snapshot(path, "", place.state.value, place.starts))
    return Snapshot(
        process.path,
        type(actor).__name__ if isinstance(actor, Actor) else "",
        process.phase.value,
        process.incarnation,
        len(process.mailbox.control) + len(process.mailbox.data),
        tuple(children),
    )


def _lines(node: Snapshot, first: str, rest: str) -> list[str]:
    name = node.path.rsplit("/", 1)[-1] or node.path
    kind = f" ({node.actor})" if node.actor and node.actor != "Supervisor" else ""
    phase = "" if node.phase == "running" else f", {node.phase}"
    again = f", restarted {node.restarts} x" if node.restarts else ""
    lines = [f"{first}{name}{kind}{phase}{again}"]
    for child in node.children:
        last = child is node.children[-1]
        lines += _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines
