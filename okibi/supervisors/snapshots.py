"""Snapshots of a supervision tree, taken without a message to any actor.

A message would hang on a supervisor that waits for a child's `init`: the moment at which a snapshot
is needed. A snapshot also shows an actor that has handled one message for a minute, or that was
killed and does not end: the message, the duration, and the line of code.

    shop
    ├─ stock (Stock), 3 waiting (at most 17), handling count(str[3]) for 61.2 s at app.py:31
    └─ prices (Prices), restarted 2 x

Another thread may take a snapshot while the event loop is stuck. Ages are nan there.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, cast

import attrs
import trio

from ..actors import Actor, Address, Ref
from ..actors.exits import is_a
from ..actors.life import Phase
from ..actors.process import CURRENT, Process
from ..actors.request import Request
from ..actors.safe_repr import describe_value
from .child_place import Place
from .parent import Parent
from .restarter import Restarter

# The number of children of one parent that `str(snapshot)` shows.
MAX_SHOWN = 20

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _show_count(children: tuple[object, ...]) -> str:
    return f"<{len(children)}>"


@attrs.frozen
class Snapshot:
    """One actor of a tree, with the actors below. `str(snapshot)` draws the tree.

    Two snapshots are equal if the same actors are in the same states. Fields that change all the
    time (from `peak` on) are not compared.

    Attributes:
        path: the path of the actor.
        actor: the name of the actor's class; empty for a child that does not run.
        phase: starting, running, dying or dead; undefined or restarting for a child that does not
            run.
        incarnation: the number of times the child has been started.
        waiting: the number of messages in the mailbox.
        children: the children of a supervisor, in start order.
        reason: the exit reason of an actor that is dying or dead; why a child waits for its next
            start; else empty.
        suspended: whether `okibi.actors.debug.suspend` has suspended the server.
        peak: the largest number of data messages that have waited in the mailbox.
        callers: the number of callers that wait for a reply of the actor.
        recent_restarts: the number of restarts that count against a supervisor's intensity now.
        next_start: seconds until the next start of a child that waits for it; nan from another
            thread, else 0.
        age: seconds since the start; nan from another thread.
        message: the message that the actor handles, redacted by `format_status` and shortened;
            empty if the actor handles none.
        message_age: seconds since the actor began to handle the message; nan from another thread.
        line: the line of code that the actor runs or waits in, as `file:line`: a line of user code
            if possible; empty while the actor waits for a message.
        note: what the actor's method `_describe_for_snapshot` returns; empty without one. Another
            thread calls it while the event loop is stuck.
    """

    path: str
    actor: str
    phase: str
    incarnation: int
    waiting: int = 0
    # The repr shows only the number of children: a tree may be of any depth.
    children: "tuple[Snapshot, ...]" = attrs.field(default=(), repr=_show_count)
    reason: str = ""
    suspended: bool = False
    peak: int = attrs.field(default=0, eq=False)
    callers: int = attrs.field(default=0, eq=False)
    recent_restarts: int = attrs.field(default=0, eq=False)
    next_start: float = attrs.field(default=0.0, eq=False)
    age: float = attrs.field(default=0.0, eq=False)
    message: str = attrs.field(default="", eq=False)
    message_age: float = attrs.field(default=0.0, eq=False)
    line: str = attrs.field(default="", eq=False)
    note: str = attrs.field(default="", eq=False)

    @property
    def restarts(self) -> int:
        """The number of times the child has been restarted."""
        return max(self.incarnation - 1, 0)

    def __str__(self) -> str:
        """Draw the tree, one line for each actor and at most 20 children of each supervisor."""
        return "\n".join(_draw(self))


def snapshot(root: Ref[Any] | None = None) -> Snapshot:
    """Take a snapshot of a tree.

        print(snapshot(top))

    Args:
        root: the top of the tree. Default: the root of the tree of the calling actor.

    Raises:
        RuntimeError: `root` is missing, and the caller is no actor.
        TypeError: `root` is no Ref.
    """
    if root is not None and not isinstance(cast("object", root), Address):
        raise TypeError(f"root must be the Ref of a running actor, got {describe_value(root)}")
    now = trio.current_time() if trio.lowlevel.in_trio_run() else math.nan
    if root is not None:
        return _snapshot_tree(root.process(), now)
    process = CURRENT.get()
    if process is None:
        raise RuntimeError("snapshot() outside an actor needs the root of a tree: snapshot(ref)")
    while process.parent is not None:
        process = process.parent
    return _snapshot_tree(process, now)


def _snapshot_tree(root: Process, now: float) -> Snapshot:
    """Take the snapshot of a tree. A loop, not a recursion: a tree may be of any depth."""
    # Read each place once: in another thread, the event loop may change the place meanwhile.
    tree = [(root, _read_places(root))]
    for _, places in tree:
        tree += [(process, _read_places(process)) for _, process in places if process is not None]
    made = dict[Process, Snapshot]()
    # Backwards: children before their parents.
    for parent, places in reversed(tree):
        made[parent] = _snapshot_actor(
            parent,
            tuple(
                _snapshot_empty(place, parent.path, now) if process is None else made[process]
                for place, process in places
            ),
            now,
        )
    return made[root]


def _read_places(process: Process) -> "list[tuple[Place, Process | None]]":
    """Return the places of a supervisor, each with its process."""
    actor = process.actor
    return [(place, place.process) for place in actor.places] if isinstance(actor, Parent) else []


def _snapshot_actor(process: Process, children: tuple[Snapshot, ...], now: float) -> Snapshot:
    # Imported here, as in `_show_current`: a cold start does not need the module.
    from ..actors.frames import line_of

    actor, message, mail = process.actor, process.work.message, process.mailbox.statistics()
    shown, reason = (
        ("", "") if message is process.life.ending_reason is None else _show_current(process)
    )
    alive = process.life.phase is not Phase.DEAD
    describe = getattr(actor, "_describe_for_snapshot", None)
    # An actor with `make_receiver` waits for messages in a line of user code.
    task = process.waits.task
    waits = task is not None and process.mailbox._reader is task
    return Snapshot(
        process.path,
        type(actor).__name__ if isinstance(actor, Actor) else "",
        process.life.phase.value,
        process.incarnation,
        mail.length + mail.control,
        children,
        reason=reason,
        suspended=process.work.debug is not None and process.work.debug.suspended,
        peak=mail.peak,
        callers=_count_callers(process),
        recent_restarts=_count_recent_restarts(actor, now),
        age=now - process.started_at,
        message=shown,
        message_age=0.0 if message is None else now - process.work.since,
        line=line_of(task, _HERE) if alive and not waits else "",
        note="" if describe is None else describe(),
    )


def _show_current(process: Process) -> tuple[str, str]:
    """Return the current message and the exit reason, redacted."""
    from ..actors.status import show

    shown = show(process.actor, process.work.message, reason=process.life.ending_reason)
    return shown["message"], shown["reason"]


def _snapshot_empty(place: Place, parent: str, now: float) -> Snapshot:
    """Return the snapshot of a child that does not run."""
    why, delay = place.describe_wait(), place.delay
    return Snapshot(
        f"{parent}/{place.id}",
        "",
        place.state.value,
        place.starts,
        reason=why,
        next_start=delay.until - now if why and delay is not None else 0.0,
    )


def _count_callers(process: Process) -> int:
    mailbox = process.mailbox
    # Copies: in another thread, the event loop may change the collections meanwhile.
    queued = (*tuple(mailbox.data), *tuple((mailbox.blocked_senders or {}).values()))
    waiting = (process.work.message, *tuple(process.work.deferred_calls or ()), *queued)
    # A set: the current request may also be among the deferred ones.
    requests = {message for message in waiting if is_a(message, Request)}
    return sum(request.waited_for for request in requests)


def _count_recent_restarts(actor: object, now: float) -> int:
    """Count the restarts in the window. If `now` is nan, count those of the last decision."""
    if not isinstance(actor, Restarter):
        return 0
    return sum(not at < now - actor.spec.period for at in actor.restarts)


def _draw(root: Snapshot) -> Iterator[str]:
    """Draw a tree, line by line."""
    # Each entry: the node, the branches in front of it, and the branches in front of its children.
    waiting: list[tuple[Snapshot | None, str, str]] = [(root, "", "")]
    while waiting:
        node, first, rest = waiting.pop()
        if node is None:
            yield first
            continue
        yield f"{first}{', '.join(_describe(node))}"
        hidden = len(node.children) - MAX_SHOWN
        if hidden > 0:
            waiting.append((None, f"{rest}└─ … and {hidden:,} more", ""))
        for at, child in reversed(list(enumerate(node.children[:MAX_SHOWN], 1))):
            last = at == len(node.children)
            branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            waiting.append((child, rest + branch, rest + below))


def _describe(node: Snapshot) -> Iterator[str]:
    name = node.path.rsplit("/", 1)[-1] or node.path
    kind = f" ({node.actor})" if node.actor and node.actor != "Supervisor" else ""
    yield f"{name}{kind}"
    if node.phase != "running":
        yield node.phase + describe_next_start(node.next_start)
    if node.reason:
        known = node.phase in ("dead", "restarting")
        yield node.reason if known else f"reason: {node.reason}"
    if node.suspended:
        yield "suspended"
    if node.restarts:
        yield f"restarted {node.restarts} x"
    yield from describe_load(node.recent_restarts, node.waiting, node.peak, node.callers)
    if node.note:
        yield node.note
    if node.message or node.line:
        yield _describe_activity(node)


def describe_next_start(seconds: float) -> str:
    """Return when a child starts that waits for its start; empty for any other actor."""
    return f" in {round(seconds, 2):g} s" if seconds > 0 else ""


def describe_load(recent_restarts: int, waiting: int, peak: int, callers: int) -> Iterator[str]:
    """Yield the parts of an actor's line on restarts, messages and callers; each field as in
    `Snapshot`.
    """
    if recent_restarts:
        restarts = "restart" if recent_restarts == 1 else "restarts"
        yield f"{recent_restarts} recent {restarts}"
    if waiting:
        yield f"{waiting} waiting (at most {peak})"
    if callers:
        yield f"{callers} callers"


def _describe_activity(node: Snapshot) -> str:
    """Return the current message, the duration and the line of code."""
    message = f"handling {node.message}" if node.message else ""
    if node.message and node.message_age > 0:
        message += f" for {node.message_age:.3g} s"
    line = f"at {node.line}" if node.line else ""
    return f"{message} {line}".strip()
