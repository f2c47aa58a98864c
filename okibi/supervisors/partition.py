"""Copies of one child, each with its share of the keys (Elixir: `PartitionSupervisor`).

One actor that everybody asks is a queue; N copies of it are N queues. A key says which copy, so
whatever belongs to one key stays together and in order.

The supervisor is a Supervisor over N children with the ids 0 to N-1: it decides and performs
nothing of its own, but that it can be resized. What is its own is the way to a copy. `Name` looks
up one table, `PartitionedName` that table and the supervisor's places, at every send, so an address
made from it outlives every incarnation of the copy, and of the supervisor.
"""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false

import os

# As zlib's, which nobody may have imported yet: a user's own `zlib.py` could be found instead.
from binascii import crc32
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Generic, TypeVar, cast

import attrs

from ..actors import Actor, Address, Name, NoProcess, Ref, Refusal, StartError
from ..actors.process import Process
from ..actors.safe_repr import misplaced, shape
from .admin import build_refusal, describe_child
from .any_supervisor_spec import AnySupervisorSpec, Backoff, implements
from .child_place import Place
from .spec import Child, Strategy, SupervisorSpec, check_child
from .spec_error import SpecError, wrong_value
from .supervisor import Supervisor

A = TypeVar("A", bound=Actor)


class FixedChildren(Refusal):
    """A partition supervisor has its copies and no other children: they are resized."""


class NoPartition(NoProcess):
    """No copy for that key: there are none at all, or it does not run now."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path)
        self.args = (f"{path} {why}",)


def usable_cpus() -> int:
    """How many CPUs this process may use (Elixir: `System.schedulers_online/0`)."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def partition_of(key: Hashable, partitions: int) -> int:
    """Which of so many copies has this key.

    A whole number goes by its absolute value, `abs(key) % partitions`. Texts, bytes, None and
    tuples of all these go by a checksum, which is the same in every process. Everything else
    goes by Python's `hash`, which mostly is not (PYTHONHASHSEED): then a key has its copy as long
    as this process lives, and another one in the next. Elixir's `phash2` is the same everywhere.

    Equal keys of different types (1 and 1.0) may part; keep to one type.

    >>> partition_of(7, 4), partition_of(-7, 4), partition_of("bob", 4), partition_of((1, "a"), 5)
    (3, 3, 0, 0)

    Raises:
        TypeError: the key cannot be hashed.
    """
    return _number(key) % partitions


def _number(key: Hashable) -> int:
    match key:
        case int():
            return abs(key)
        case str():
            return crc32(key.encode("utf-8", "surrogatepass"))
        case bytes():
            return crc32(key)
        case None:
            return 0
        case tuple():
            parts = cast("tuple[Hashable, ...]", key)
            return crc32(" ".join(str(_number(part)) for part in parts).encode())
        case _:
            return abs(hash(key))


@attrs.frozen
class PartitionSupervisorSpec(AnySupervisorSpec["PartitionSupervisor"]):
    """N copies of one child, and what to do about them (Elixir: options of `start_link/1`).

    | field | default | legal |
    | --- | --- | --- |
    | child | | a Child, or a function of the copy's number that gives one; its id is the number |
    | partitions | the CPUs this process may use | how many copies, from 1; the most there can be |
    | strategy | ONE_FOR_ONE | ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE |
    | intensity | 3 | how many restarts within `period` are borne, of all copies together; 0: none |
    | period | 5.0 s | the window in which restarts are counted |
    | backoff | None | a Backoff: restarts wait; None: they do not |

    The function is called for every number where these flags are made, and has to be as free of
    effects as they are (Elixir: `with_arguments`). A copy cannot be significant, for its
    supervisor never shuts down by itself.

    >>> from functools import partial
    >>> import attrs
    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, PartitionSupervisorSpec
    >>> @attrs.define(eq=False)
    ... class Shelf(Server):
    ...     number: int
    >>> copy = lambda number: Child(partial(Shelf, number))
    >>> shelves = PartitionSupervisorSpec(copy, partitions=3)
    >>> [child.id for child in shelves.supervision.children]
    ['0', '1', '2']

    Attributes:
        supervision: the same as a supervisor's flags.

    Raises:
        SpecError: a field is wrong; `field` names it.
    """

    default_id: ClassVar[str] = "partitions"

    child: Child[Any] | Callable[[int], Child[Any]]
    partitions: int = attrs.field(factory=usable_cpus)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 3
    period: float = 5.0
    backoff: Backoff | None = None
    supervision: SupervisorSpec = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        number = self.partitions
        if not _is_whole(number) or number < 1:
            raise wrong_value("partitions", "an integer >= 1", number)
        # It finds whatever else may be wrong.
        supervision = SupervisorSpec(
            [_copy(self.child, number) for number in range(number)],
            self.strategy,
            self.intensity,
            self.period,
            backoff=self.backoff,
        )
        object.__setattr__(self, "supervision", supervision)


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _copy(child: Child[Any] | Callable[[int], Child[Any]], number: int) -> Child[Any]:
    made: object = child
    # A class would be made here and now, outside any tree.
    if callable(child) and not isinstance(child, type):
        made = child(number)
        if not isinstance(made, Child):
            raise SpecError(
                f"child({number}) must return a Child, got {misplaced(made)}",
                field="child",
                value=made,
            )
    check_child(made, "child")
    return attrs.evolve(cast("Child[Any]", made), id=str(number))


@implements(PartitionSupervisorSpec)
class PartitionSupervisor(Supervisor):
    """Starts N copies of a child, gives each its share of the keys, restarts those that end.

    >>> import attrs, trio
    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, PartitionedName, PartitionSupervisor
    >>> from okibi.supervisors import PartitionSupervisorSpec, SupervisorSpec, supervise
    >>> @attrs.define(eq=False)
    ... class Cache(Server):
    ...     kept: dict[str, str] = attrs.Factory(dict)
    ...     async def put(self, key: str, value: str) -> None:
    ...         self.kept[key] = value
    ...     async def get(self, key: str) -> str | None:
    ...         return self.kept.get(key)
    >>> CACHES = PartitionedName("caches", Cache)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         copies = PartitionSupervisorSpec(Child(Cache), partitions=4)
    ...         caches = Child(copies, name=CACHES.name)
    ...         top = await supervise(nursery, SupervisorSpec([caches]))
    ...         for who in ("ann", "bob"):
    ...             await CACHES.at(who).call(Cache.put, who, f"{who}'s basket")
    ...         for who in ("ann", "bob"):
    ...             print(await CACHES.at(who).call(Cache.get, who))
    ...         print((await CACHES.name.call(PartitionSupervisor.count_children)).active)
    ...         top.stop()
    >>> trio.run(main)
    ann's basket
    bob's basket
    4

    It answers what a Supervisor does, but takes and drops no children: it is resized.

    Args:
        flags: the child, and how many copies of it.
    """

    __slots__ = ("_maximum", "_partitions", "_spare")

    def __init__(self, spec: PartitionSupervisorSpec) -> None:
        super().__init__(spec.supervision)
        self._maximum = self._partitions = spec.partitions
        # Places of copies that are not wanted now: they keep count of their incarnations, and are
        # out of sight of the strategies, which else would start them with their siblings.
        self._spare: dict[str, Place] = {}

    # -- what one can ask it

    async def partitions(self) -> int:
        """How many copies the keys are shared out to now (Elixir: `partitions/1`)."""
        return self._partitions

    async def resize(self, partitions: int) -> int:
        """Have more copies, or fewer (Elixir: `resize!/2`).

        Most keys belong to another copy after that: what the copies keep must bear it. Copies
        that are one too many get no new message, then stop, the last first, and are in no list
        and no count any more (in Elixir they are). Of those to be added either all start or, if
        one fails, none stays.

        Args:
            partitions: from 0 to as many as the flags say.

        Returns:
            How many there were.

        Raises:
            SpecError: it is no such number.
            ChildFailed: a copy did not start; there are as many as before.
            AlreadyStarted: somebody else bears the name of a copy; likewise.
        """
        before = self._partitions
        if not _is_whole(partitions) or not 0 <= partitions <= self._maximum:
            rule = f"an integer from 0 to {self._maximum}"
            raise wrong_value("partitions", rule, partitions, where=self.path)
        self._partitions = min(before, partitions)
        try:
            for number in range(before, partitions):
                await self._add(number)
        except StartError as failure:
            await self._reduce(before)
            raise build_refusal(failure) from failure.reason.error
        await self._reduce(partitions)
        self._partitions = partitions
        return before

    async def start_child(self, spec: Child[A]) -> Ref[A] | None:
        """Refused: use `resize`.

        Raises:
            FixedChildren: always.
        """
        raise FixedChildren(
            f"{self.path} takes no {shape(spec)}: its children are copies, use resize"
        )

    async def delete_child(self, child: str) -> None:
        """Refused: use `resize`.

        Raises:
            FixedChildren: always.
        """
        raise FixedChildren(
            f"{self.path} drops no {describe_child(child)}: its children are copies, use resize"
        )

    # -- the way to a copy

    def _process_of(self, key: Hashable) -> Process:
        if self._partitions == 0:
            raise NoPartition(self.path, "has been resized to 0 partitions: resize it to more")
        number = partition_of(key, self._partitions)
        place = self._places.get(str(number))
        if place is None or place.process is None:
            raise NoPartition(self.path, f"has nobody in partition {number} now")
        return place.process

    # -- performing

    async def _add(self, number: int) -> None:
        spec = self.spec.children[number]
        known = self._spare.pop(spec.id, None)
        place = self._places[spec.id] = known or Place(spec)
        await self._start_place(place)

    async def _reduce(self, partitions: int) -> None:
        """Stop the copies from that number on, the last first."""
        for place in reversed(self.places):
            if int(place.id) >= partitions:
                await self.stop(place)
                self._children.stop_expecting_names(place)
                self._spare[place.id] = self._places.pop(place.id)


@attrs.frozen(repr=False)
class PartitionedName(Generic[A]):
    """The typed address of N copies; `at` gives that of the one with a key (Elixir: via tuple).

    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, PartitionedName, PartitionSupervisorSpec
    >>> class Cache(Server): ...
    >>> CACHES = PartitionedName("caches", Cache)
    >>> Child(PartitionSupervisorSpec(Child(Cache)), name=CACHES.name).id
    'caches'
    >>> CACHES.at("bob")
    PartitionedName('caches', Cache).at('bob')

    Args:
        key: what the partition supervisor is called, unique in one run: the key of its Name.
        actor: the class of its copies.

    Raises:
        TypeError: one of them is something else.
    """

    key: Hashable
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        Name(self.key, self.actor)

    @property
    def name(self) -> Name[PartitionSupervisor]:
        """The partition supervisor's own: for the spec of its child, and to ask it."""
        return Name(self.key, PartitionSupervisor)

    def at(self, key: Hashable) -> "PartitionAddress[A]":
        """The address of the copy that has this key; `partition_of` says which."""
        return PartitionAddress(self, key)

    def __repr__(self) -> str:
        return f"PartitionedName({self.key!r}, {self.actor.__name__})"


@attrs.frozen(repr=False)
class PartitionAddress(Address[A], Generic[A]):
    """The address of the copy that has a key, looked up at every send; `PartitionedName.at(key)`.

    Args:
        partitioned: the copies.
        key: the key.
    """

    partitioned: PartitionedName[A]
    key: Hashable

    def process(self) -> Process:
        """The copy behind this address now.

        Raises:
            NoProcess: nobody bears the partition supervisor's name.
            NoPartition: no copy has the key: there are none, or it does not run now.
        """
        process = self.partitioned.name.process()
        supervisor = process.actor
        if not isinstance(supervisor, PartitionSupervisor):
            raise NoPartition(process.path, "is no partition supervisor, or has not begun yet")
        return supervisor._process_of(self.key)

    def __repr__(self) -> str:
        return f"{self.partitioned!r}.at({self.key!r})"
