"""Name: a typed address that survives restarts.

The table of names belongs to one `trio.run` (a RunVar), so two trees in one process never meet. A
name is registered before `init` runs and released before monitors are notified (OTP: Reference
Manual, Processes). An actor that receives a `Down` can register the name at once.

Between two incarnations of a supervised actor its name is free, for as long as the supervisor's
back-off lasts. The table has the names whose actors a supervisor is about to restart. NoProcess
says so, with the reason and the length of a delay. A task that waits for such a name is woken when
the supervisor gives up, or when the delay is longer than the task may wait.
"""

import math
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterable
from contextlib import contextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NamedTuple,
    ParamSpec,
    TypeVar,
    get_origin,
)

import attrs
import trio
from trio.lowlevel import RunVar, checkpoint, current_task

from . import logs
from .exits import NOT_STARTED, NoProcess
from .life import Phase
from .process import CURRENT, Process, outside_run_error
from .ref import Address, Ref
from .request import NameWait
from .safe_repr import describe_value
from .wait_cycles import find_cycle, refuse_cycle

if TYPE_CHECKING:
    from .pending import Pending
    from .registry import Registered

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")
R = TypeVar("R")


class ExpectedRestart(NamedTuple):
    """The restart of the actor that had a name.

    Attributes:
        supervisor: restarts the actor.
        at: the time at which the start is due, on trio's clock; -inf without a delay.
        path: the path of the actor that caused the delay: the actor itself, or a sibling that the
            strategy restarts along.
        why: the reason for the delay.
    """

    supervisor: Process
    at: float = -math.inf
    path: str = ""
    why: str = ""


class NameTable(dict[Any, Process]):
    """The names of one run: from key to process.

    Attributes:
        restarters: the restarts that are about to register a name again.
        attached_values: the values that `Name.update_value` has set.
        waiting: the waits for a name that no actor has.
    """

    __slots__ = ("attached_values", "restarters", "waiting")

    def __init__(self) -> None:
        super().__init__()
        self.restarters: dict[Hashable, ExpectedRestart] = {}
        self.attached_values: dict[Hashable, object] = {}
        self.waiting: dict[Hashable, dict[NameWait, None]] = {}

    def release(self, key: Hashable) -> None:
        """Remove a name and its value."""
        del self[key]
        self.attached_values.pop(key, None)

    async def wait_for_change(self, key: Hashable) -> None:
        """Wait until the name is registered, or its supervisor gives up the restart.

        Counts as a call to the supervisor when call cycles are searched. In a restart of several
        children, the supervisor may wait for the end of the actor that waits here.

        Raises:
            CallCycle: the supervisor waits for this actor.
        """
        wait, restart = _make_wait(key), self.restarters.get(key)
        restarter = None if restart is None else restart.supervisor
        caller, task = CURRENT.get(), current_task()
        if caller is not None and restarter is not None:
            refuse_cycle(caller.waits, restarter.waits, task, wait)
        with _edge_to(restarter, wait):
            await self._wait(key, wait)

    async def wait_for_phase(self, key: Hashable, process: Process) -> None:
        """Wait until the actor that has the name has started, or has ended.

        Raises:
            CallCycle: the actor called this actor meanwhile.
        """
        wait = _make_wait(key)
        with _edge_to(process, wait):
            await process.waits.next_phase_or_end_of(wait)

    async def _wait(self, key: Hashable, request: NameWait) -> None:
        requests = self.waiting.setdefault(key, {})
        requests[request] = None
        try:
            await request.reply()
        finally:
            requests.pop(request, None)
            if not requests and self.waiting.get(key) is requests:
                del self.waiting[key]

    def wake(self, key: Hashable) -> None:
        """Wake the tasks that wait for a name."""
        for request in self.waiting.pop(key, ()):
            request.answer(None)

    def not_found(self, key: Hashable, waited: float | None = None) -> NoProcess:
        """Build the error that says why no actor can be reached by a name.

        Args:
            key: the name's key.
            waited: the seconds that the caller has waited; None if it did not wait.
        """
        holder, restart = self.get(key), self.restarters.get(key)
        within = "" if waited is None else f" within {waited:g} s"
        if holder is not None:
            done = "started" if holder.life.ending_reason is None else "ended"
            return NoProcess(key, f"{holder.path} has not {done}{within}")
        if restart is None:
            none = within and f"none was started{within}, "
            return NoProcess(key, f"{none}{NOT_STARTED}")
        restarter, delay = restart.supervisor, restart.at - trio.current_time()
        if restarter.life.ending_reason is not None:
            return NoProcess(key, f"its supervisor {restarter.path} is ending")
        if delay > 0:
            logs.count(logs.REFUSED_MESSAGES, restart.path)
            due = f"{restart.path} starts again in {round(delay, 2):g} s"
            return NoProcess(key, f"{due}, because {restart.why}")
        if within:
            return NoProcess(key, f"its supervisor {restarter.path} has not restarted it{within}")
        how = "use NAME.wait() or NAME.waiting(seconds)"
        return NoProcess(key, f"its supervisor {restarter.path} is restarting it ({how})")


_table: RunVar[NameTable] = RunVar("names")


class AlreadyRegistered(Exception):
    """The name is taken by a living actor (OTP: `{already_started, Pid}`).

    Attributes:
        ref: the actor that has the name.
    """

    def __init__(self, name: "Name[Any]", ref: Ref[Any]) -> None:
        super().__init__(f"the name {name.key!r} is taken by {ref!r}")
        self.ref = ref


@attrs.frozen(repr=False)
class Name(Address[A], Generic[A]):
    """An address that is looked up at each send, so it survives restarts.

    Give it to `start` or to a Child with `name=`. Then `call`, `cast` and `send` reach the actor
    that has the name at that moment, and raise NoProcess if there is none. `wait` and `waiting`
    wait for the next one:

    >>> import trio
    >>> from okibi.actors import Name, Server, start, stop
    >>> class Room(Server):
    ...     async def greet(self, who: str) -> str:
    ...         return f"hello {who}"
    >>> ROOM = Name(("room", 7), Room)
    >>> async def open_room(nursery):
    ...     await start(nursery, Room, name=ROOM)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         nursery.start_soon(open_room, nursery)
    ...         print(await ROOM.waiting(5).call(Room.greet, "bob"))
    ...         await stop(await ROOM.wait())
    >>> trio.run(main)
    hello bob

    Args:
        key: unique in one `trio.run`: a text, or any other hashable value.
        actor: the class of the actor. Type checkers check messages against it.

    Raises:
        TypeError: `key` is empty or not hashable, or `actor` is no class.
    """

    key: Hashable
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        check_key_and_class("Name", self.key, self.actor)

    def process(self) -> Process:
        table = name_table()
        process = table.get(self.key)
        if process is None:
            raise table.not_found(self.key)
        return process

    def whereis(self) -> Ref[A] | None:
        """Return the Ref of the actor that has the name now, or None (OTP: `whereis/1`)."""
        process = name_table().get(self.key)
        return None if process is None else Ref(process)

    async def wait(self) -> Ref[A]:
        """Wait until an actor has the name and has started; return its Ref.

        An actor in its `init` has not started. An actor that is ending does not count: `wait` waits
        for the next one. The wait has no limit; use `trio.move_on_after`, or `waiting`.

        An actor that waits for its own name, or for an actor that waits for it, gets the Ref at
        once. Otherwise the wait would never end.

        Raises:
            NoProcess: a supervisor was about to restart the actor and does not: it gave up, was
                stopped, or was told to terminate the child.
            CallCycle: the supervisor that is to start the actor waits for this actor to end.
            RuntimeError: this thread does not run trio.
        """
        await checkpoint()
        return Ref(await _wait_for_actor(name_table(), self.key))

    def waiting(self, seconds: float) -> "WaitingAddress[A]":
        """Return the same address; its `call`, `cast`, `request` and `send` wait for the name.

            await VISITS.waiting(5).call(Visits.visit, "bob")

        Not an argument of `call`, because every keyword of `call` goes to the called method.
        `waiting` limits only the wait for the name; to limit the reply too, use `trio.fail_after`.

        Args:
            seconds: the longest wait, in seconds, for an actor that has the name and has started.
                trio's clock counts, frozen time included. Then the send raises NoProcess; also at
                once when the supervisor gives up the restart, or delays it for longer.

        Raises:
            ValueError: `seconds` is negative or NaN.
        """
        return WaitingAddress(self, seconds)

    def update_value(self, change: Callable[[Any], object]) -> object:
        """Change the value that belongs to a name (Elixir: `Registry.update_value`).

        Only the actor that has the name may change it. Every task of the run can read the value
        with `select`, without a message to the actor. The value is None at first and is removed
        when the actor ends.

            ROOM.update_value(lambda _: {"topic": "trio"})

        Args:
            change: called with the old value, returns the new one.

        Returns:
            The new value.

        Raises:
            RuntimeError: the calling actor does not have the name.
        """
        table, me = name_table(), CURRENT.get()
        if me is None or table.get(self.key) is not me:
            why = "this task is in no actor" if me is None else f"{me.path} does not have it"
            raise RuntimeError(
                f"{self!r}: only the actor that has the name may change its value: {why}"
            )
        value = table.attached_values[self.key] = change(table.attached_values.get(self.key))
        return value

    @staticmethod
    def select(
        actor: type[B], where: "Callable[[Registered[B]], bool] | None" = None
    ) -> "list[Registered[B]]":
        """Return all registered actors of a class (Elixir: `Registry.select/2`).

        >>> from functools import partial
        >>> import attrs, trio
        >>> from okibi.actors import Name, Server, start
        >>> @attrs.define(eq=False)
        ... class Room(Server):
        ...     number: int
        ...     async def init(self):
        ...         Name(("room", self.number), Room).update_value(lambda _: self.number > 1)
        >>> async def main():
        ...     async with trio.open_nursery() as nursery:
        ...         for number in (1, 2, 3):
        ...             name = Name(("room", number), Room)
        ...             await start(nursery, partial(Room, number), name=name)
        ...         for room in Name.select(Room, lambda room: room.value):
        ...             print(room.key, room.ref.path)
        ...         nursery.cancel_scope.cancel()
        >>> trio.run(main)
        ('room', 2) ('room', 2)
        ('room', 3) ('room', 3)

        Args:
            actor: the class; subclasses count.
            where: a filter, called with each Registered. Default: all.

        Returns:
            A Registered (`key`, `ref`, `value`) for each, in the order of registration.

        Raises:
            RuntimeError: this thread does not run trio.
        """
        from .registry import select

        table = name_table()
        found = select(table, table.attached_values, actor)
        return found if where is None else [each for each in found if where(each)]

    def __repr__(self) -> str:
        return f"Name({self.key!r}, {self.actor.__name__})"


class WaitingAddress(Address[A]):
    """A name whose messages wait until an actor has it. Made by `Name.waiting`.

    `cast_nowait`, `send_nowait` and `monitor` do not wait.
    """

    __slots__ = ("_name", "_seconds")

    def __init__(self, name: Name[A], seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"{name!r}.waiting: seconds must be >= 0, got {seconds!r}")
        self._name = name
        self._seconds = seconds

    def process(self) -> Process:
        return self._name.process()

    async def call(
        self,
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        await self._wait_for_name()
        return await super().call(method, *args, **kwargs)

    async def request(
        self,
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> "Pending[R]":
        await self._wait_for_name()
        return await super().request(method, *args, **kwargs)

    async def cast(
        self,
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        await self._wait_for_name()
        await super().cast(method, *args, **kwargs)

    async def send(self, message: object) -> None:
        await self._wait_for_name()
        await super().send(message)

    async def _wait_for_name(self) -> None:
        table, key = name_table(), self._name.key
        if _accepts_messages(table.get(key)):
            return
        until = trio.current_time() + self._seconds
        with trio.move_on_at(until):
            await _wait_for_actor(table, key, until)
            return
        raise table.not_found(key, self._seconds)

    def __repr__(self) -> str:
        return f"{self._name!r}.waiting({self._seconds!r})"


def check_key_and_class(kind: str, key: object, actor: object) -> None:
    """Check the arguments of a Name or a Group.

    Raises:
        TypeError: one of them is wrong.
    """
    try:
        hash(key)
    except TypeError as error:
        raise TypeError(f"{kind}(key, actor): key must be hashable: {error}") from None
    if key is None or key == "":
        raise TypeError(f"{kind}(key, actor): key must not be empty, got {key!r}")
    if not isinstance(get_origin(actor) or actor, type):
        raise TypeError(
            f"{kind}({key!r}, actor): actor must be a class, got {describe_value(actor)}"
        )


def name_table() -> NameTable:
    """Return the table of names of this run.

    Raises:
        RuntimeError: this thread does not run trio.
    """
    try:
        return _table.get()
    except LookupError:
        table = NameTable()
        _table.set(table)
        return table
    except RuntimeError as no_run:
        raise outside_run_error("looking up a Name") from no_run


def register(name: Name[A], process: Process) -> None:
    """Register a process under a name until it ends.

    Raises:
        AlreadyRegistered: the name is taken.
    """
    table = name_table()
    holder = table.get(name.key)
    if holder is not None:
        raise AlreadyRegistered(name, Ref(holder))
    table[name.key] = process
    process.watch(NameTable, lambda _: table.release(name.key))
    if table.waiting:
        table.wake(name.key)


def expect_restart(keys: Iterable[Hashable], restarter: Process) -> None:
    """Note that a supervisor is about to restart the actors of these names."""
    table, note = name_table(), ExpectedRestart(restarter)
    for key in keys:
        table.restarters[key] = note
        # The waiting tasks now wait for this supervisor.
        table.wake(key)


def announce_wait(keys: Iterable[Hashable], note: ExpectedRestart) -> None:
    """Note that the expected restart of the actors of these names is delayed."""
    table = name_table()
    for key in keys:
        if key in table.restarters and table.restarters[key].supervisor is note.supervisor:
            table.restarters[key] = note
            # A task with a time limit may have to give up now.
            table.wake(key)


def expect_no_restart(keys: Iterable[Hashable], restarter: Process) -> None:
    """Undo `expect_restart`: the supervisor has started the actors, or has given up.

    A note of another supervisor for the same name stays.
    """
    table = name_table()
    for key in keys:
        note = table.restarters.get(key)
        if note is None or note.supervisor is not restarter:
            continue
        del table.restarters[key]
        if key not in table:
            table.wake(key)


def awaited_name(process: Process) -> Hashable | None:
    """Return the key of the unregistered name that a task of this actor awaits; None for none."""
    waiting = name_table().waiting.items()
    return next((key for key, waits in waiting if any(w.caller is process for w in waits)), None)


def _make_wait(key: Hashable) -> NameWait:
    return NameWait(key, CURRENT.get(), current_task())


@contextmanager
def _edge_to(callee: Process | None, wait: NameWait) -> Generator[None]:
    """Record that this task holds the loop of its actor and waits for the loop of `callee`."""
    caller, task = CURRENT.get(), current_task()
    if caller is None or callee is None or not caller.waits.held_by(task):
        yield
        return
    caller.waits.begin(task, callee.waits, wait)
    try:
        yield
    finally:
        caller.waits.end(task, callee.waits)


def _accepts_messages(process: Process | None) -> bool:
    return (
        process is not None
        and process.life.phase is Phase.RUNNING
        and process.life.ending_reason is None
    )


async def _wait_for_actor(table: NameTable, key: Hashable, until: float = math.inf) -> Process:
    """Wait until an actor has the name and has started.

    Args:
        table: the table of names.
        key: the name's key.
        until: the end of the wait, as a time of trio's clock.

    Raises:
        NoProcess: the supervisor does not restart the actor as expected, or not in time.
    """
    me, task = CURRENT.get(), current_task()
    expected: ExpectedRestart | None = None
    while True:
        process = table.get(key)
        if process is None:
            restart = table.restarters.get(key)
            if restart is None and expected is not None:
                path = expected.supervisor.path
                raise NoProcess(key, f"its supervisor {path} does not restart it")
            if restart is not None and restart.at > until:
                raise table.not_found(key)
            expected = restart
            await table.wait_for_change(key)
        elif _accepts_messages(process):
            return process
        elif me is not None and find_cycle(me.waits, process.waits, task) is not None:
            # The actor's start or end waits for this task.
            return process
        else:
            await table.wait_for_phase(key, process)
