"""Names: typed addresses that survive restarts.

The table belongs to one run of trio (a RunVar), so two trees in one process never meet. A name
is taken before `init` runs and free again before anybody is told of the end (OTP: Reference
Manual, Processes), so whoever sees a `Down` can register anew at once.

Between two incarnations of a supervised actor its name is free for a moment, or for as long as
the supervisor's back-off lasts. The supervisor notes in the table which names it is about to
start again. NoProcess says so, and a task that waits for such a name is woken as soon as the
supervisor gives the restart up.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, get_origin

import attrs
import trio
from trio.lowlevel import RunVar, checkpoint, current_task

from .exits import NoProcess, StartError
from .process import CURRENT, Phase, Process
from .ref import Address, Ref
from .request import Request
from .run_guard import not_here
from .safe_repr import misplaced
from .wait_cycles import circle, refuse_circle

if TYPE_CHECKING:
    from .pending import Pending
    from .registry import Registered

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")
R = TypeVar("R")


class Names(dict[Any, Process]):
    """The table of one run: which process bears which name.

    Attributes:
        restarters: the supervisor that is about to start the actor of a name again.
        kept: what an actor has put beside its name (`Name.update_value`).
        waiting: the requests of those that wait for a name to be borne.
    """

    __slots__ = ("kept", "restarters", "waiting")

    def __init__(self) -> None:
        super().__init__()
        self.restarters: dict[Hashable, Process] = {}
        self.kept: dict[Hashable, object] = {}
        self.waiting: dict[Hashable, dict[Request, None]] = {}

    def release(self, key: Hashable) -> None:
        """Take a name from its bearer, together with its value."""
        del self[key]
        self.kept.pop(key, None)

    async def park(self, key: Hashable) -> None:
        """Wait until the name is taken, or no supervisor is about to start its actor any more.

        To the search for circles it is a call of the supervisor: one that waits for the end of the
        actor that waits here, as in a restart of several children, would never start the other.

        Raises:
            CallCycle: the supervisor waits for the actor that waits here.
        """
        caller, task, restarter = CURRENT.get(), current_task(), self.restarters.get(key)
        request = Request("wait", (), {}, caller, True, task)
        if caller is None or restarter is None or not caller.held_by(task):
            await self._wait(key, request)
            return
        refuse_circle(caller, restarter, task, request)
        caller.begin_wait(task, restarter, request)
        try:
            await self._wait(key, request)
        finally:
            caller.end_wait(task, restarter)

    async def _wait(self, key: Hashable, request: Request) -> None:
        requests = self.waiting.setdefault(key, {})
        requests[request] = None
        try:
            await request.reply()
        finally:
            requests.pop(request, None)
            if not requests and self.waiting.get(key) is requests:
                del self.waiting[key]

    def wake(self, key: Hashable) -> None:
        """Have the tasks that wait for a name look again."""
        for request in self.waiting.pop(key, ()):
            request.answer(None)

    def absent(self, key: Hashable, waited: float | None = None) -> NoProcess:
        """The error that says why no actor can be reached by the name.

        Args:
            key: the name's key.
            waited: for how many seconds the caller has waited, None if it did not wait.
        """
        bearer, restarter = self.get(key), self.restarters.get(key)
        within = "" if waited is None else f" within {waited:g} s"
        if bearer is not None:
            done = "started" if bearer.doom is None else "ended"
            return NoProcess(key, f"{bearer.path} has not {done}{within}")
        if restarter is None:
            none = within and f"none was started{within}, "
            return NoProcess(key, f"{none}start one with name=...")
        if restarter.doom is not None:
            return NoProcess(key, f"its supervisor {restarter.path} is ending")
        if within:
            return NoProcess(key, f"its supervisor {restarter.path} has not restarted it{within}")
        how = "use NAME.wait() or NAME.waiting(seconds)"
        return NoProcess(key, f"its supervisor {restarter.path} is restarting it ({how})")


_table: RunVar[Names] = RunVar("names")


class AlreadyRegistered(Exception):
    """Somebody lives under that name already (OTP: `{already_started, Pid}`).

    Attributes:
        ref: who that is.
    """

    def __init__(self, name: "Name[Any]", ref: Ref[Any]) -> None:
        super().__init__(f"the name {name.key!r} is taken by {ref!r}")
        self.ref = ref


@attrs.frozen(repr=False)
class Name(Address[A], Generic[A]):
    """An address that is looked up at every send.

    `call`, `cast` and `send` go to whoever bears it then, and fail at once with NoProcess while
    nobody does. `wait` and `waiting` wait for the next actor that bears it:

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
        key: what it is called, unique in one run: any value that can be a dict's key, compared as
            a dict compares them.
        actor: the class of the actor that bears it.

    Raises:
        TypeError: one of them is something else.
    """

    key: Hashable
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        check_address("Name", self.key, self.actor, "bear")

    def process(self) -> Process:
        table = names()
        process = table.get(self.key)
        if process is None:
            raise table.absent(self.key)
        return process

    def whereis(self) -> Ref[A] | None:
        """Who bears the name now (OTP: `whereis/1`)."""
        process = names().get(self.key)
        return None if process is None else Ref(process)

    async def wait(self) -> Ref[A]:
        """Wait until an actor bears the name and has started, and give its Ref.

        An actor that is in its `init` has not started. An actor that is about to end counts no
        more: `wait` waits for the next one. It waits as long as it takes; limit it with
        `trio.move_on_after`, or use `waiting`.

        An actor that waits for its own name, or for an actor that waits for it in turn, is given
        the Ref at once: its own start or end would never come.

        Raises:
            NoProcess: a supervisor was about to start the actor again, and does not: the
                supervisor gave up, was stopped, or was told to terminate the child.
            CallCycle: the supervisor that is to start the actor waits for this one to end.
            RuntimeError: this is no thread that runs trio.
        """
        await checkpoint()
        return Ref(await _bearer(names(), self.key))

    def waiting(self, seconds: float) -> "WaitingAddress[A]":
        """The same address, but `call`, `cast`, `request` and `send` wait for the name first.

            await VISITS.waiting(5).call(Visits.visit, "bob")

        A method and not an argument of `call`: every keyword of `call` belongs to the method that
        is called. `waiting` limits the wait for the name alone; to limit the reply as well, use
        `trio.fail_after`.

        Args:
            seconds: how long they wait for an actor that bears the name and has started, by trio's
                clock, time in which a sandbox is frozen included. Then, or as soon as the
                actor's supervisor gives the restart up, they raise NoProcess.

        Raises:
            ValueError: `seconds` is less than 0, or not a number.
        """
        return WaitingAddress(self, seconds)

    def update_value(self, change: Callable[[Any], object]) -> object:
        """Change the value that an actor keeps beside its name (Elixir: `Registry.update_value`).

        Every task of the run can read it, without asking the actor, by `select`. It is None at
        first and goes with the actor.

            ROOM.update_value(lambda _: {"topic": "trio"})

        Args:
            change: given the value, gives the new one.

        Returns:
            The new value.

        Raises:
            RuntimeError: the actor that runs this does not bear the name.
        """
        table, me = names(), CURRENT.get()
        if me is None or table.get(self.key) is not me:
            by = "this task is in no actor" if me is None else f"{me.path} does not"
            raise RuntimeError(f"only the actor that bears {self!r} may change its value: {by}")
        value = table.kept[self.key] = change(table.kept.get(self.key))
        return value

    @staticmethod
    def select(
        actor: type[B], where: "Callable[[Registered[B]], bool] | None" = None
    ) -> "list[Registered[B]]":
        """Who of a class bears a name now (Elixir: `Registry.select/2`).

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
            actor: the class of the actors, subclasses included.
            where: given each; it is selected if this gives True. All, if left out.

        Returns:
            One Registered (`key`, `ref`, `value`) for each, in the order they took their names.

        Raises:
            RuntimeError: this is no thread that runs trio.
        """
        from .registry import select

        table = names()
        found = select(table, table.kept, actor)
        return found if where is None else [each for each in found if where(each)]

    def __repr__(self) -> str:
        return f"Name({self.key!r}, {self.actor.__name__})"


class WaitingAddress(Address[A]):
    """A name whose messages wait until an actor bears it. Made by `Name.waiting`.

    What does not wait by itself (`cast_nowait`, `send_nowait`, `monitor`) does not wait here.
    """

    __slots__ = ("_name", "_seconds")

    def __init__(self, name: Name[A], seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"{name!r}: a wait is 0 seconds or more, not {seconds!r}")
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
        await self._borne()
        return await super().call(method, *args, **kwargs)

    async def request(
        self,
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> "Pending[R]":
        await self._borne()
        return await super().request(method, *args, **kwargs)

    async def cast(
        self,
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        await self._borne()
        await super().cast(method, *args, **kwargs)

    async def send(self, message: object) -> None:
        await self._borne()
        await super().send(message)

    async def _borne(self) -> None:
        table, key = names(), self._name.key
        if _can_be_asked(table.get(key)):
            return
        with trio.move_on_after(self._seconds):
            await _bearer(table, key)
            return
        raise table.absent(key, self._seconds)

    def __repr__(self) -> str:
        return f"{self._name!r}.waiting({self._seconds!r})"


def check_address(kind: str, key: object, actor: object, verb: str) -> None:
    """See to it that a Name, or a Group, has a key and a class.

    Raises:
        TypeError: one of them is something else.
    """
    try:
        hash(key)
    except TypeError as error:
        raise TypeError(f"a {kind}'s key must be hashable, as a dict's keys: {error}") from None
    if key is None or key == "":
        raise TypeError(f"a {kind}'s key must not be empty, it is {key!r}")
    if not isinstance(get_origin(actor) or actor, type):
        raise TypeError(
            f"{kind}({key!r}): actor is the class that will {verb} it, not {misplaced(actor)}"
        )


def names() -> Names:
    """The table of this run: who bears which name.

    Raises:
        RuntimeError: this is no thread that runs trio.
    """
    try:
        return _table.get()
    except LookupError:
        table = Names()
        _table.set(table)
        return table
    except RuntimeError as no_run:
        raise not_here("a Name is looked up") from no_run


def register(name: Name[A], process: Process) -> None:
    """Give a process a name until it ends.

    Raises:
        AlreadyRegistered: it is taken.
    """
    table = names()
    holder = table.get(name.key)
    if holder is not None:
        raise AlreadyRegistered(name, Ref(holder))
    table[name.key] = process
    process.release_name = partial(table.release, name.key)
    if table.waiting:
        table.wake(name.key)


def expect(keys: Iterable[Hashable], restarter: Process) -> None:
    """Note that a supervisor is about to start the actors of these names again."""
    table = names()
    for key in keys:
        table.restarters[key] = restarter
        # They wait for this supervisor from now on.
        table.wake(key)


def expect_no_more(keys: Iterable[Hashable], restarter: Process) -> None:
    """Note that the supervisor has started them, or does not.

    Another supervisor that expects the same name meanwhile is left alone.
    """
    table = names()
    for key in keys:
        if table.restarters.get(key) is not restarter:
            continue
        del table.restarters[key]
        if key not in table:
            table.wake(key)


def _can_be_asked(process: Process | None) -> bool:
    return process is not None and process.phase is Phase.RUNNING and process.doom is None


async def _bearer(table: Names, key: Hashable) -> Process:
    """Wait until an actor bears the name and has started.

    Raises:
        NoProcess: the supervisor that was to start the actor again does not.
    """
    me, task = CURRENT.get(), current_task()
    expected: Process | None = None
    while True:
        process = table.get(key)
        if process is None:
            restarter = table.restarters.get(key)
            if restarter is None and expected is not None:
                raise NoProcess(key, f"its supervisor {expected.path} does not restart it")
            expected = restarter
            await table.park(key)
        elif _can_be_asked(process):
            return process
        elif me is not None and circle(me, process, task) is not None:
            # That start, or end, waits for this very task.
            return process
        elif process.doom is not None:
            await process.wait_dead()
        else:
            with suppress(StartError):
                await process.wait_started()
