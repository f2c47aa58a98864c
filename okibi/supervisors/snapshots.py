"""A tree as it stands now, read without asking any actor.

Asking would hang on a supervisor that is busy in a child's `init`, which is when one looks. So a
snapshot also shows an actor that has been in one message for a minute, or was killed and does not
die: at which message, for how long, in which line of code.

    shop
    ├─ stock (Stock), 3 waiting (at most 17), at count(str[3]) for 61.2 s: app.py:31
    └─ prices (Prices), restarted 2 x

It may be taken from another thread, when the loop itself is stuck; ages are not known there.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, cast

import attrs
import trio

from ..actors import Actor, Address, Ref
from ..actors.exits import is_a
from ..actors.process import CURRENT, Phase, Process
from ..actors.request import Request
from ..actors.safe_repr import misplaced
from .child_place import Place
from .parent import Parent

# How many children of one parent are printed.
SHOWN = 20

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _number(children: tuple[object, ...]) -> str:
    return f"<{len(children)}>"


@attrs.frozen
class Snapshot:
    """One actor in its tree.

    Two snapshots are equal when the same stand in the same states: what is of the moment only
    (from `peak` on) is not compared.

    Attributes:
        path: where it stands.
        actor: its class's name; empty where nobody lives now.
        phase: starting, running, dying, dead; undefined or restarting where nobody lives.
        incarnation: how often that place has been started.
        waiting: how many messages wait for it.
        children: for a supervisor, its children in start order.
        reason: why it ends, or has ended; empty while nothing speaks against its life.
        suspended: whether it serves nothing at present (`okibi.actors.debug.suspend`).
        peak: the most messages of data that have ever waited.
        callers: how many wait for an answer of it: handled now, put off, or queued.
        window: for a supervisor, the restarts that count against its intensity at present.
        age: seconds since it was started; nan from another thread.
        message: what it is handling, redacted by its `format_status` and cut short; empty if
            nothing.
        message_age: for how many seconds it has been; nan from another thread.
        sits: in which line of code, as `file:line`: the user's own, if it is in any; empty while
            it waits for its next message.
    """

    path: str
    actor: str
    phase: str
    incarnation: int
    waiting: int = 0
    # Of any depth, so its number is all that is represented.
    children: "tuple[Snapshot, ...]" = attrs.field(default=(), repr=_number)
    reason: str = ""
    suspended: bool = False
    peak: int = attrs.field(default=0, eq=False)
    callers: int = attrs.field(default=0, eq=False)
    window: int = attrs.field(default=0, eq=False)
    age: float = attrs.field(default=0.0, eq=False)
    message: str = attrs.field(default="", eq=False)
    message_age: float = attrs.field(default=0.0, eq=False)
    line: str = attrs.field(default="", eq=False)

    @property
    def restarts(self) -> int:
        """How often that place has been started again."""
        return max(self.incarnation - 1, 0)

    def __str__(self) -> str:
        """The tree, a line each; of many children the first, and how many more there are."""
        return "\n".join(_lines(self))


def snapshot(root: Ref[Any] | None = None) -> Snapshot:
    """The tree below `root`; left out, the whole tree that the calling actor belongs to.

    Raises:
        RuntimeError: no root was given, and no actor is calling.
        TypeError: it is no Ref.
    """
    if root is not None and not isinstance(cast("object", root), Address):
        raise TypeError(f"a snapshot is of a tree that lives, by its Ref, not of {misplaced(root)}")
    now = trio.current_time() if trio.lowlevel.in_trio_run() else math.nan
    if root is not None:
        return _of(root.process(), now)
    process = CURRENT.get()
    if process is None:
        raise RuntimeError("outside an actor, say which tree: snapshot(ref)")
    while process.parent is not None:
        process = process.parent
    return _of(process, now)


def _of(root: Process, now: float) -> Snapshot:
    """The snapshot of a tree; no recursion, for a tree of any depth."""
    # From another thread, the loop may change a place meanwhile: each is read once.
    tree = [(root, _lives(root))]
    for _, lives in tree:
        tree += [(process, _lives(process)) for _, process in lives if process is not None]
    made = dict[Process, Snapshot]()
    # From the last on, so each is made after all below it.
    for parent, lives in reversed(tree):
        made[parent] = _one(
            parent,
            tuple(
                _empty(place, parent.path) if process is None else made[process]
                for place, process in lives
            ),
            now,
        )
    return made[root]


def _lives(process: Process) -> "list[tuple[Place, Process | None]]":
    """The places of a supervisor, each with who lives there."""
    actor = process.actor
    return [(place, place.process) for place in actor.places] if isinstance(actor, Parent) else []


def _one(process: Process, children: tuple[Snapshot, ...], now: float) -> Snapshot:
    # Late, as below: a start does not need it, and would pay for it.
    from ..actors.frames import line_of

    actor, message, mail = process.actor, process.current, process.mailbox.statistics()
    doing, reason = ("", "") if message is process.doom is None else _shown(process)
    alive = process.phase is not Phase.DEAD
    # A loop that waits at one place only does so in a line of its own (`receiver_of`).
    waits = process.task is not None and process.mailbox._reader is process.task
    return Snapshot(
        process.path,
        type(actor).__name__ if isinstance(actor, Actor) else "",
        process.phase.value,
        process.incarnation,
        mail.length + mail.control,
        children,
        reason=reason,
        suspended=process.debug is not None and process.debug.suspended,
        peak=mail.peak,
        callers=_callers(process),
        window=_window(actor, now),
        age=now - process.began,
        message=doing,
        message_age=0.0 if message is None else now - process.since,
        line=line_of(process.task, _HERE) if alive and not waits else "",
    )


def _shown(process: Process) -> tuple[str, str]:
    """What it is handling, and why it ends, redacted."""
    from ..actors.status import show

    shown = show(process.actor, process.current, reason=process.doom)
    return shown["message"], shown["reason"]


def _empty(place: Place, parent: str) -> Snapshot:
    """A place where nobody lives."""
    return Snapshot(f"{parent}/{place.id}", "", place.state.value, place.starts)


def _callers(process: Process) -> int:
    mailbox = process.mailbox
    # Copies: from another thread, the loop changes them meanwhile.
    queued = (*tuple(mailbox.data), *tuple((mailbox._senders or {}).values()))
    waiting = (process.current, *tuple(process.deferred or ()), *queued)
    # Each once: the reply to what it is at may have been put off already.
    requests = {message for message in waiting if is_a(message, Request)}
    return sum(request.waited_for for request in requests)


def _window(actor: object, now: float) -> int:
    """How many restarts count now; of a time that is not known, those that counted last."""
    period = getattr(getattr(actor, "spec", None), "period", math.inf)
    return sum(not at < now - period for at in getattr(actor, "restarts", ()))


def _lines(root: Snapshot) -> Iterator[str]:
    """The lines of a tree, each with the branches before it."""
    waiting: list[tuple[Snapshot | None, str, str]] = [(root, "", "")]
    while waiting:
        node, first, rest = waiting.pop()
        if node is None:
            yield first
            continue
        yield f"{first}{', '.join(_words(node))}"
        hidden = len(node.children) - SHOWN
        if hidden > 0:
            waiting.append((None, f"{rest}└─ … and {hidden:,} more", ""))
        for at, child in reversed(list(enumerate(node.children[:SHOWN], 1))):
            last = at == len(node.children)
            branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            waiting.append((child, rest + branch, rest + below))


def _words(node: Snapshot) -> Iterator[str]:
    name = node.path.rsplit("/", 1)[-1] or node.path
    kind = f" ({node.actor})" if node.actor and node.actor != "Supervisor" else ""
    yield f"{name}{kind}"
    if node.phase != "running":
        yield node.phase
    if node.reason:
        yield node.reason if node.phase == "dead" else f"to end: {node.reason}"
    if node.suspended:
        yield "suspended"
    if node.restarts:
        yield f"restarted {node.restarts} x"
    if node.window:
        yield f"{node.window} in its window"
    if node.waiting:
        yield f"{node.waiting} waiting (at most {node.peak})"
    if node.callers:
        yield f"{node.callers} callers"
    if node.message or node.line:
        yield _doing(node)


def _doing(node: Snapshot) -> str:
    """What it is at, for how long, and where."""
    at = f"at {node.message}" if node.message else ""
    if node.message and node.message_age > 0:
        at += f" for {node.message_age:.3g} s"
    where = f"in {node.line}" if node.line else ""
    return f"{at} {where}".strip()
