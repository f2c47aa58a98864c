"""Group: a typed key that any number of actors share (OTP: `pg`; Elixir: Registry, duplicate keys).

An actor may join a group several times. Each join counts: two joins need two leaves and bring each
dispatch twice. A dead actor leaves all its groups before its monitors are notified.

The table of groups belongs to one `trio.run` (a RunVar), like the table of names. It has no entry
for a group with neither members nor monitors. OTP's groups across machines have no counterpart.
"""

import itertools
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_origin

import attrs
from trio.lowlevel import RunVar, cancel_shielded_checkpoint, checkpoint_if_cancelled

from .exits import NO_PROCESS, ActorExited, ExitReason
from .life import Phase
from .mailbox import MailboxFull
from .names import check_key_and_class
from .process import Process, check_same_run, logger, outside_run_error
from .ref import Ref, cast_now
from .request import describe, message_name

A = TypeVar("A")
P = ParamSpec("P")

# Messages between two checkpoints: some 3 ms.
BATCH = 250


@attrs.frozen(repr=False)
class Group(Generic[A]):
    """A key that any number of actors of one class share. `dispatch` and `send` reach all members.

    >>> import trio
    >>> from okibi.actors import Group, Server, start
    >>> class Listener(Server):
    ...     async def init(self):
    ...         LISTENERS.join(self.ref)
    ...         self.news = []
    ...     async def hear(self, news: str) -> None:
    ...         self.news.append(news)
    ...     async def heard(self) -> list[str]:
    ...         return self.news
    >>> LISTENERS = Group("listeners", Listener)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         for path in ("bob", "eve"):
    ...             await start(nursery, Listener, path=path)
    ...             print("reached", await LISTENERS.dispatch(Listener.hear, f"{path} is here"))
    ...         for member in LISTENERS.members():
    ...             print(member.path, await member.call(Listener.heard))
    ...             member.stop()
    >>> trio.run(main)
    reached 1
    reached 2
    bob ['bob is here', 'eve is here']
    eve ['eve is here']

    An actor that calls `self.monitor(group)` gets a `Joined` or `Left` at each change.

    Args:
        key: unique among the groups of one `trio.run`: a text, or any other hashable value.
        actor: the class of the members.

    Raises:
        TypeError: `key` is empty or not hashable, or `actor` is no class.
    """

    key: Hashable
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        check_key_and_class("Group", self.key, self.actor)

    def join(self, ref: Ref[A]) -> None:
        """Add an actor to the group; a member is added once more (OTP: `pg:join/3`).

        Usually an actor joins in its `init`: `GROUP.join(self.ref)`. Any task may add any actor.

        Raises:
            ActorExited: the actor has ended.
            RuntimeError: the actor belongs to another `trio.run`.
            TypeError: the actor is of another class than the group's.
        """
        process = ref.process()
        if process.life.phase is Phase.DEAD:
            raise ActorExited(process.path, process.life.reason or NO_PROCESS, f"a join of {self}")
        check_same_run(process, "join")
        # None while the factory runs. For `Pool[Connection]` only Pool can be checked.
        actor: object = process.actor
        if actor is not None and not isinstance(actor, get_origin(self.actor) or self.actor):
            raise TypeError(
                f"{process.path} cannot join {self}: it is of class {type(actor).__name__}"
            )
        _group_table().join(self.key, process)

    def leave(self, ref: Ref[A]) -> bool:
        """Undo the actor's latest join (OTP: `pg:leave/3`).

        Returns:
            False if the actor is no member, or has ended (OTP: `not_joined`).
        """
        return _group_table().leave(self.key, ref.process())

    def members(self) -> list[Ref[A]]:
        """Return the members of now, in the order of joining; each as often as it has joined."""
        return [Ref(process) for process in _group_table().processes(self.key)]

    async def dispatch(
        self,
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Cast to all members (Elixir: `Registry.dispatch/3`).

        Casts to all members, or to none if the caller is cancelled. It waits for no member: a
        member with a full mailbox is skipped and logged as a warning (policy DROP_OLDEST: the
        member drops its oldest message). A member that is ending is skipped and logged as info.
        After each 250 members other tasks run; who joins meanwhile gets no cast.

        Args:
            method: a public async method of the members' class, written `Class.method`.
            *args: positional arguments of the method.
            **kwargs: keyword arguments of the method.

        Returns:
            The number of casts; an actor that has joined twice counts twice.

        Raises:
            TypeError: `method` is no message.
        """
        name = message_name(method)
        return await self._to_members(
            lambda member: cast_now(member, method, args, kwargs), f"{name} was not cast"
        )

    async def send(self, message: object) -> int:
        """Send a value to all members, by the rules of `dispatch` (Elixir: the same).

        A Server gets the value in `handle_info`.

        Args:
            message: any value. All members get the same object.

        Returns:
            The number of messages; an actor that has joined twice counts twice.
        """
        return await self._to_members(
            lambda member: member.send_nowait(message), f"{describe(message)} was not sent"
        )

    async def _to_members(self, deliver: Callable[[Ref[A]], None], failed: str) -> int:
        await checkpoint_if_cancelled()
        reached = 0
        for number, member in enumerate(self.members(), 1):
            if number % BATCH == 0:
                # Shielded: a cancelled caller must not leave the work half done.
                await cancel_shielded_checkpoint()
            try:
                deliver(member)
                reached += 1
            except MailboxFull as full:
                logger.warning("%s: %s to a member: %s", self, failed, full)
            except ActorExited as gone:
                logger.info("%s: %s to a member: %s", self, failed, gone)
        await cancel_shielded_checkpoint()
        return reached

    def add_monitor(self, watcher: Process) -> "GroupMonitor[A]":
        """Send `watcher` a Joined or Left at each change. Used by `Actor.monitor`."""
        monitor = GroupMonitor(watcher, self, tuple(self.members()))
        if watcher.life.phase is not Phase.DEAD:
            _group_table().watch(monitor)
            watcher.tie(monitor)
        return monitor

    def __repr__(self) -> str:
        return f"Group({self.key!r}, {self.actor.__name__})"


class GroupMonitor(Generic[A]):
    """A monitor of a group (OTP: `pg:monitor/2`). Made by `Actor.monitor`.

    Attributes:
        group: the monitored group.
        members_at_start: the members when the monitor was set. Each later change brings exactly one
            `Joined` or `Left`, on the control lane.
    """

    __slots__ = ("_watcher", "group", "members_at_start")

    def __init__(
        self, watcher: Process, group: Group[A], members_at_start: tuple[Ref[A], ...]
    ) -> None:
        self._watcher = watcher
        self.group = group
        self.members_at_start = members_at_start

    def demonitor(self) -> None:
        """End the monitoring. Messages that wait in the mailbox are removed."""
        _group_table().unwatch(self)
        self._watcher.unwatch(self)
        self._watcher.mailbox.remove_control(
            lambda m: isinstance(m, (Joined, Left)) and m.monitor is self,
        )

    def notify(self, message: object) -> None:
        """Post a message to the watcher."""
        self._watcher.mailbox.post(message)


@attrs.frozen
class Joined:
    """An actor has joined a monitored group. A member may join again.

    Attributes:
        group: the group.
        ref: the actor.
        monitor: the monitor that `Actor.monitor` returned.
    """

    group: Group[Any]
    ref: Ref[Any]
    monitor: GroupMonitor[Any]


@attrs.frozen
class Left:
    """An actor has left a monitored group. If it had joined twice, its end brings two `Left`.

    Attributes:
        group: the group.
        ref: the actor.
        reason: why the actor ended; None if it left by `Group.leave`.
        monitor: the monitor that `Actor.monitor` returned.
    """

    group: Group[Any]
    ref: Ref[Any]
    reason: ExitReason | None
    monitor: GroupMonitor[Any]


class GroupTable:
    """The groups of one run, their members and monitors.

    Each membership has a number, so leaving a large group needs no search.

    Attributes:
        members: the members by number, for each group key.
        joins: the numbers of the memberships, for each member and group key.
        monitors: the monitors, for each group key.
    """

    __slots__ = ("_numbers", "joins", "members", "monitors")

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.members: dict[Hashable, dict[int, Process]] = {}
        self.joins: dict[Process, dict[Hashable, list[int]]] = {}
        self.monitors: dict[Hashable, dict[GroupMonitor[Any], None]] = {}

    def processes(self, key: Hashable) -> list[Process]:
        """Return the members of a group, in the order of joining."""
        return list(self.members.get(key, {}).values())

    def join(self, key: Hashable, process: Process) -> None:
        number = next(self._numbers)
        self.members.setdefault(key, {})[number] = process
        if process not in self.joins:
            self.joins[process] = {}
            # First of the watchers, so that a Left comes before the Down.
            process.watch_first(self, self._remove_ended)
        self.joins[process].setdefault(key, []).append(number)
        for monitor in self._monitors_of(key):
            monitor.notify(Joined(monitor.group, Ref(process), monitor))

    def leave(self, key: Hashable, process: Process) -> bool:
        joins = self.joins.get(process, {})
        numbers = joins.get(key)
        if not numbers:
            return False
        self._remove(key, numbers.pop(), process, None)
        if not numbers:
            del joins[key]
        if not joins:
            del self.joins[process]
            process.unwatch(self)
        return True

    def watch(self, monitor: GroupMonitor[Any]) -> None:
        self.monitors.setdefault(monitor.group.key, {})[monitor] = None

    def unwatch(self, monitor: GroupMonitor[Any]) -> None:
        key = monitor.group.key
        monitors = self.monitors.get(key, {})
        monitors.pop(monitor, None)
        if not monitors:
            self.monitors.pop(key, None)

    def _remove_ended(self, process: Process) -> None:
        """Remove a process that has ended from all its groups."""
        for key, numbers in self.joins.pop(process).items():
            for number in numbers:
                self._remove(key, number, process, process.life.reason)

    def _remove(
        self, key: Hashable, number: int, process: Process, reason: ExitReason | None
    ) -> None:
        members = self.members[key]
        del members[number]
        if not members:
            del self.members[key]
        for monitor in self._monitors_of(key):
            monitor.notify(Left(monitor.group, Ref(process), reason, monitor))

    def _monitors_of(self, key: Hashable) -> list[GroupMonitor[Any]]:
        return list(self.monitors.get(key, ()))


_groups_of_run: RunVar[GroupTable] = RunVar("groups")


def _group_table() -> GroupTable:
    try:
        return _groups_of_run.get()
    except LookupError:
        table = GroupTable()
        _groups_of_run.set(table)
        return table
    except RuntimeError as no_run:
        raise outside_run_error("using a Group") from no_run
