"""Groups: typed keys that any number of actors share (OTP: `pg`; Elixir: Registry, duplicate keys).

An actor may join as often as it likes and is then in the group as often: it must leave as often,
and a dispatch reaches it as often. Its entries are gone with it, before anybody is told of its
end, so a group has no dead members. What OTP solves besides, groups that span machines, is no
question inside one process.

The table belongs to one run of trio (a RunVar), as that of the names does. It holds nothing of
a group that nobody is in and nobody monitors.
"""

import itertools
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_origin

import attrs
from trio.lowlevel import RunVar, cancel_shielded_checkpoint, checkpoint_if_cancelled

from .exits import NO_PROCESS, ActorExited, ExitReason
from .mailbox import MailboxFull
from .names import check_address
from .process import Phase, Process, logger
from .ref import Ref
from .request import message_name
from .run_guard import not_here, refuse_elsewhere

A = TypeVar("A")
P = ParamSpec("P")


@attrs.frozen(repr=False)
class Group(Generic[A]):
    """A key that any number of actors of one class share.

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
    ...             print("told", await LISTENERS.dispatch(Listener.hear, f"{path} is here"))
    ...         for member in LISTENERS.members():
    ...             print(member.path, await member.call(Listener.heard))
    ...             member.stop()
    >>> trio.run(main)
    told 1
    told 2
    bob ['bob is here', 'eve is here']
    eve ['eve is here']

    An actor is told of joins and leaves by `self.monitor(group)`.

    Args:
        key: what it is called, unique among the groups of one run: any value that can be a dict's
            key.
        actor: the class of the actors that join it.

    Raises:
        TypeError: one of them is something else.
    """

    key: Hashable
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        check_address("Group", self.key, self.actor, "join")

    def join(self, ref: Ref[A]) -> None:
        """Put an actor into the group, once more if it is in it (OTP: `pg:join/3`).

        Any task may do this for any actor; most do it for themselves, in `init`.

        Raises:
            ActorExited: the actor has ended.
            RuntimeError: it lives in another run of trio's.
            TypeError: it is of another class than the group's.
        """
        process = ref.process()
        if process.phase is Phase.DEAD:
            raise ActorExited(process.path, process.reason or NO_PROCESS, f"a join of {self}")
        refuse_elsewhere(process, "join")
        # None while its factory runs. `Pool[Connection]` promises a Pool: isinstance knows no more.
        actor: object = process.actor
        if actor is not None and not isinstance(actor, get_origin(self.actor) or self.actor):
            raise TypeError(f"{self} is joined by no {type(actor).__name__}: {process.path}")
        _registry().join(self.key, process)

    def leave(self, ref: Ref[A]) -> bool:
        """Take back the actor's latest join (OTP: `pg:leave/3`).

        Returns:
            False if it is not in the group (OTP: `not_joined`), as when it has just ended.
        """
        return _registry().leave(self.key, ref.process())

    def members(self) -> list[Ref[A]]:
        """Who is in it now, in the order they joined, each as often as it did."""
        return [Ref(process) for process in _registry().processes(self.key)]

    async def dispatch(
        self,
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Cast to every entry, from the caller's own task (Elixir: `Registry.dispatch/3`).

        All are cast to in one step, or none if the caller is cancelled. It waits for nobody:
        a member whose mailbox has no room, by whatever policy but DROP_OLDEST, is left out, for
        one slow member would else hold up the others. That is logged as a warning; that a
        member is just ending, as info.

        Returns:
            To how many entries it went.

        Raises:
            TypeError: `method` is no message.
        """
        name = message_name(method)
        await checkpoint_if_cancelled()
        reached = 0
        for member in self.members():
            try:
                member.cast_nowait(method, *args, **kwargs)
                reached += 1
            except MailboxFull as full:
                logger.warning("%s did not reach all with %s: %s", self, name, full)
            except ActorExited as gone:
                logger.info("%s did not reach all with %s: %s", self, name, gone)
        await cancel_shielded_checkpoint()
        return reached

    def watched_by(self, watcher: Process) -> "GroupMonitor[A]":
        """Have `watcher` told of joins and leaves: what an actor's `monitor` does."""
        monitor = GroupMonitor(watcher, self, tuple(self.members()))
        if watcher.phase is not Phase.DEAD:
            _registry().watch(monitor)
            # A short-lived watcher must leave nothing behind in a long-lived group.
            watcher.watchers[monitor] = lambda _: monitor.demonitor()
        return monitor

    def __repr__(self) -> str:
        return f"Group({self.key!r}, {self.actor.__name__})"


class GroupMonitor(Generic[A]):
    """One actor's interest in who joins and leaves a group (OTP: `pg:monitor/2`).

    Attributes:
        group: which one.
        members: who was in it when the monitor was set; each change since then brings exactly
            one `Joined` or `Left`, on the control lane.
    """

    __slots__ = ("_watcher", "group", "members")

    def __init__(self, watcher: Process, group: Group[A], members: tuple[Ref[A], ...]) -> None:
        self._watcher = watcher
        self.group = group
        self.members = members

    def demonitor(self) -> None:
        """Lose interest. No message of this monitor is seen after it, not even a waiting one."""
        _registry().unwatch(self)
        self._watcher.watchers.pop(self, None)
        self._watcher.mailbox.forget(
            lambda m: isinstance(m, (Joined, Left)) and m.monitor is self,
        )

    def tell(self, message: object) -> None:
        """Put a message on the watcher's control lane."""
        self._watcher.mailbox.post(message)


@attrs.frozen
class Joined:
    """An actor has joined a group, perhaps not for the first time.

    Attributes:
        group: which one.
        ref: who.
        monitor: which of one's monitors this is.
    """

    group: Group[Any]
    ref: Ref[Any]
    monitor: GroupMonitor[Any]


@attrs.frozen
class Left:
    """One entry of an actor is gone from a group: of several, each brings its own `Left`.

    Attributes:
        group: which one.
        ref: who.
        reason: why the actor ended; None if it lives and was taken out by `leave`.
        monitor: which of one's monitors this is.
    """

    group: Group[Any]
    ref: Ref[Any]
    reason: ExitReason | None
    monitor: GroupMonitor[Any]


class Registry:
    """The groups of one run: who is in which, and who is told of it.

    An entry has a number, so that an actor among a hundred thousand leaves without a search.
    """

    __slots__ = ("_numbers", "entries", "joins", "monitors")

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.entries: dict[Hashable, dict[int, Process]] = {}
        self.joins: dict[Process, dict[Hashable, list[int]]] = {}
        self.monitors: dict[Hashable, dict[GroupMonitor[Any], None]] = {}

    def processes(self, key: Hashable) -> list[Process]:
        """Who is in a group, in the order they joined."""
        return list(self.entries.get(key, {}).values())

    def join(self, key: Hashable, process: Process) -> None:
        number = next(self._numbers)
        self.entries.setdefault(key, {})[number] = process
        if process not in self.joins:
            self.joins[process] = {}
            # Before those who monitor it: a Left comes before the Down, as the name is free.
            process.watchers = {self: self._forget, **process.watchers}
        self.joins[process].setdefault(key, []).append(number)
        for monitor in self._told(key):
            monitor.tell(Joined(monitor.group, Ref(process), monitor))

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
            del process.watchers[self]
        return True

    def watch(self, monitor: GroupMonitor[Any]) -> None:
        self.monitors.setdefault(monitor.group.key, {})[monitor] = None

    def unwatch(self, monitor: GroupMonitor[Any]) -> None:
        key = monitor.group.key
        told = self.monitors.get(key, {})
        told.pop(monitor, None)
        if not told:
            self.monitors.pop(key, None)

    def _forget(self, process: Process) -> None:
        """Take out a process that has ended, of every group, as often as it is in it."""
        for key, numbers in self.joins.pop(process).items():
            for number in numbers:
                self._remove(key, number, process, process.reason)

    def _remove(
        self, key: Hashable, number: int, process: Process, reason: ExitReason | None
    ) -> None:
        entries = self.entries[key]
        del entries[number]
        if not entries:
            del self.entries[key]
        for monitor in self._told(key):
            monitor.tell(Left(monitor.group, Ref(process), reason, monitor))

    def _told(self, key: Hashable) -> list[GroupMonitor[Any]]:
        return list(self.monitors.get(key, ()))


_of_this_run: RunVar[Registry] = RunVar("groups")


def _registry() -> Registry:
    try:
        return _of_this_run.get()
    except LookupError:
        registry = Registry()
        _of_this_run.set(registry)
        return registry
    except RuntimeError as no_run:
        raise not_here("a Group's members are known") from no_run
