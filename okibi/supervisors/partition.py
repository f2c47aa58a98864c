"""N copies of one child; a key selects the copy (Elixir: `PartitionSupervisor`).

One busy actor is one queue; N copies are N queues. All messages of one key go to one copy, in
order.

A PartitionSupervisor is a Supervisor with N children whose ids are 0 to N-1. It adds `resize` and
the look-up of a copy by key. A `PartitionAddress` looks up the supervisor's name and then the copy
at every send. An address therefore survives restarts of the copy and of the supervisor.
"""

# Arguments are checked at run time as well: a caller may not use a type checker.
# pyright: reportUnnecessaryIsInstance=false

import os

# binascii.crc32 equals zlib.crc32. A first `import zlib` could find a user's `zlib.py`.
from binascii import crc32
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Generic, TypeVar, cast

import attrs

from ..actors import Actor, Address, Name, NoProcess, Ref, Refusal, StartError
from ..actors.process import Process
from ..actors.safe_repr import describe_value, shape
from .admin import build_refusal, describe_child
from .any_supervisor_spec import AnySupervisorSpec, implements
from .backoff import Backoff
from .child_place import Place
from .spec import Child, Strategy, SupervisorSpec, check_child
from .spec_error import SpecError, wrong_value
from .supervisor import Supervisor

A = TypeVar("A", bound=Actor)


class FixedChildren(Refusal):
    """A PartitionSupervisor starts and deletes no single children; use `resize`."""


class NoPartition(NoProcess):
    """No copy handles the key: there are 0 copies, or the copy is not running now."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path)
        self.args = (f"{path} {why}",)


def count_usable_cpus() -> int:
    """Count the CPUs that this process may use (Elixir: `System.schedulers_online/0`)."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def partition_of(key: Hashable, partitions: int) -> int:
    """Return the number of the copy that handles a key.

    An integer maps to `abs(key) % partitions`. Strings, bytes, None and tuples of all these map by
    a CRC-32 and have the same copy in every process. Other keys map by Python's `hash`. That hash
    usually differs between processes (PYTHONHASHSEED). Elixir's `phash2` never differs.

    Equal keys of different types (1 and 1.0) may have different copies; use one type of key.

    >>> partition_of(7, 4), partition_of(-7, 4), partition_of("bob", 4), partition_of((1, "a"), 5)
    (3, 3, 0, 0)

    Args:
        key: any hashable value.
        partitions: the count of copies, at least 1.

    Raises:
        TypeError: the key is not hashable.
    """
    return _key_as_integer(key) % partitions


def _key_as_integer(key: Hashable) -> int:
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
            return crc32(" ".join(str(_key_as_integer(part)) for part in parts).encode())
        case _:
            return abs(hash(key))


@attrs.frozen
class PartitionSupervisorSpec(AnySupervisorSpec["PartitionSupervisor"]):
    """The spec of a PartitionSupervisor (Elixir: options of `PartitionSupervisor.start_link/1`).

    | field | default | meaning |
    | --- | --- | --- |
    | child | | a Child, or a function from a copy's number to a Child; the number becomes the id |
    | partitions | usable CPUs | an integer >= 1: the count of copies, and the limit of `resize` |
    | strategy | ONE_FOR_ONE | ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE |
    | intensity | 3 | restarts allowed within `period`, over all copies; INFINITY: any |
    | period | 5.0 | seconds > 0: the window in which restarts are counted |
    | backoff | None | a Backoff: delays before restarts; None: restart at once |

    A function as `child` is called for every number when the spec is made, and must have no side
    effects (Elixir: `with_arguments`). A copy cannot be significant: a PartitionSupervisor never
    shuts down automatically.

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
        supervision: the equivalent SupervisorSpec.

    Raises:
        SpecError: a field has an illegal value.
    """

    default_id: ClassVar[str] = "partitions"

    child: Child[Any] | Callable[[int], Child[Any]]
    partitions: int = attrs.field(factory=count_usable_cpus)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: float = 3
    period: float = 5.0
    backoff: Backoff | None = None
    supervision: SupervisorSpec = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        number = self.partitions
        if not _is_whole(number) or number < 1:
            raise wrong_value("partitions", "an integer >= 1", number)
        # SupervisorSpec checks the other fields.
        supervision = SupervisorSpec(
            [_copy_spec(self.child, number) for number in range(number)],
            self.strategy,
            self.intensity,
            self.period,
            backoff=self.backoff,
        )
        object.__setattr__(self, "supervision", supervision)


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _copy_spec(child: Child[Any] | Callable[[int], Child[Any]], number: int) -> Child[Any]:
    made: object = child
    # Calling a class would create an actor here, outside any supervisor.
    if callable(child) and not isinstance(child, type):
        made = child(number)
        if not isinstance(made, Child):
            raise SpecError(
                f"child({number}) must return a Child, got {describe_value(made)}",
                field="child",
                value=made,
            )
    check_child(made, "child")
    return attrs.evolve(cast("Child[Any]", made), id=str(number))


@implements(PartitionSupervisorSpec)
class PartitionSupervisor(Supervisor):
    """Supervises N copies of a child; each key has one copy (Elixir: `PartitionSupervisor`).

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

    All requests of a Supervisor work, except `start_child` and `delete_child`; use `resize`.

    Args:
        spec: the child, the count of copies, and the limits of restarts.
    """

    __slots__ = ("_maximum", "_partitions", "_removed")

    def __init__(self, spec: PartitionSupervisorSpec) -> None:
        super().__init__(spec.supervision)
        self._maximum = self._partitions = spec.partitions
        # Places of the copies that `resize` removed. A place keeps the count of incarnations.
        # Strategies must not see these places: ONE_FOR_ALL would start their copies again.
        self._removed: dict[str, Place] = {}

    # -- requests

    async def partitions(self) -> int:
        """Return the current count of copies (Elixir: `partitions/1`)."""
        return self._partitions

    async def resize(self, partitions: int) -> int:
        """Change the count of copies (Elixir: `resize!/2`).

        After a resize most keys map to another copy; the state of the copies does not move.
        Surplus copies receive no new messages and stop, the last first. `which_children` and
        `count_children` omit the stopped copies (Elixir includes them). New copies start all or
        none: if one fails, the others stop again.

        Args:
            partitions: an integer from 0 to the `partitions` of the spec.

        Returns:
            The previous count.

        Raises:
            SpecError: `partitions` is out of range.
            ChildFailed: a copy failed to start; the count is unchanged.
            AlreadyStarted: another actor has registered a copy's name; the count is unchanged.
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
            await self._remove_from(before)
            raise build_refusal(failure) from failure.reason.error
        await self._remove_from(partitions)
        self._partitions = partitions
        return before

    async def start_child(self, spec: Child[A]) -> Ref[A] | None:
        """Refuse the request: use `resize`.

        Raises:
            FixedChildren: always.
        """
        raise FixedChildren(
            f"{self.path} cannot start a single child ({shape(spec)}): "
            f"resize() changes the number of copies"
        )

    async def delete_child(self, child: str) -> None:
        """Refuse the request: use `resize`.

        Raises:
            FixedChildren: always.
        """
        raise FixedChildren(
            f"{self.path} cannot delete child {describe_child(child)}: "
            f"resize() changes the number of copies"
        )

    # -- look-up

    def _find_process(self, key: Hashable) -> Process:
        if self._partitions == 0:
            raise NoPartition(self.path, "has 0 partitions: call resize() first")
        number = partition_of(key, self._partitions)
        place = self._places.get(str(number))
        if place is None or place.process is None:
            raise NoPartition(self.path, f"has no running actor in partition {number}")
        return place.process

    # -- resize

    async def _add(self, number: int) -> None:
        spec = self.spec.children[number]
        known = self._removed.pop(spec.id, None)
        place = self._places[spec.id] = known or Place(spec)
        await self._start_place(place)

    async def _remove_from(self, first: int) -> None:
        """Stop the copies numbered `first` and above, the last first."""
        for place in reversed(self.places):
            if int(place.id) >= first:
                await self.stop(place)
                self._children.stop_expecting_names(place)
                self._removed[place.id] = self._places.pop(place.id)


@attrs.frozen(repr=False)
class PartitionedName(Generic[A]):
    """A typed name of N copies; `at(key)` addresses one copy (Elixir: via tuple).

    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, PartitionedName, PartitionSupervisorSpec
    >>> class Cache(Server): ...
    >>> CACHES = PartitionedName("caches", Cache)
    >>> Child(PartitionSupervisorSpec(Child(Cache)), name=CACHES.name).id
    'caches'
    >>> CACHES.at("bob")
    PartitionedName('caches', Cache).at('bob')

    Args:
        key: the key of the PartitionSupervisor's Name: any hashable value, unique in one run.
        actor: the actor class of the copies.

    Raises:
        TypeError: `key` is no legal key of a Name, or `actor` is not an actor class.
    """

    key: Hashable
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        Name(self.key, self.actor)

    @property
    def name(self) -> Name[PartitionSupervisor]:
        """The PartitionSupervisor's own Name, for its Child and for requests to it."""
        return Name(self.key, PartitionSupervisor)

    def at(self, key: Hashable) -> "PartitionAddress[A]":
        """Address the copy that handles a key (see `partition_of`)."""
        return PartitionAddress(self, key)

    def __repr__(self) -> str:
        return f"PartitionedName({self.key!r}, {self.actor.__name__})"


@attrs.frozen(repr=False)
class PartitionAddress(Address[A], Generic[A]):
    """The address of one key's copy, looked up at every send. Made by `PartitionedName.at(key)`.

    Args:
        partitioned: the name of the copies.
        key: selects the copy.
    """

    partitioned: PartitionedName[A]
    key: Hashable

    def process(self) -> Process:
        """Look up the copy's current process.

        Raises:
            NoProcess: no actor is registered under the supervisor's name.
            NoPartition: there are 0 copies, or the key's copy is not running.
        """
        process = self.partitioned.name.process()
        supervisor = process.actor
        if not isinstance(supervisor, PartitionSupervisor):
            raise NoPartition(process.path, "is not a PartitionSupervisor, or has not started yet")
        return supervisor._find_process(self.key)

    def __repr__(self) -> str:
        return f"{self.partitioned!r}.at({self.key!r})"
