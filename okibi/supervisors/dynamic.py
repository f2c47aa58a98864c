"""A supervisor that starts empty and takes children while it runs.

OTP: simple_one_for_one. Elixir: `DynamicSupervisor`. Typical children are connections, sessions
and jobs. There may be 100,000 of them, so no operation except the stop depends on their number.

Children are identified by Ref, not by id: two children may have equal specs. The supervisor
numbers the children, and the number is part of the path: `/pool/worker-17`.

    request            running    RESTARTING           dead        another supervisor's
    terminate_child    stops      cancels the start    no-op       NotFound
    which_child        answers    answers              NotFound    NotFound
    get_childspec      answers    answers              NotFound    NotFound

The Ref of the last incarnation identifies a child that is RESTARTING. Terminating a dead child is
no error, because a child may die at any moment (OTP's rule; Elixir returns `not_found`).

    exit reason          permanent    transient    temporary
    normal, shutdown     restart      forget       forget
    crashed, killed      restart      restart      forget
"""

# Arguments are checked at run time as well: a caller may not use a type checker.
# pyright: reportUnnecessaryIsInstance=false

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeVar, cast

import attrs
import trio

from ..actors import SHUTDOWN, Actor, Ref, StartError
from ..actors.life import Phase
from ..actors.process import Process
from ..actors.start import factory_name
from .admin import (
    ChildInfo,
    Counts,
    MaxChildren,
    NotFound,
    build_info,
    build_refusal,
    describe_child,
    kind_of,
)
from .any_supervisor_spec import (
    AnySupervisorSpec,
    AutoShutdown,
    check_intensity,
    implements,
)
from .backoff import Backoff, check_backoff
from .child_place import Place
from .child_state import ChildEvent
from .restarter import Restarter
from .spec import Child, build_factory, check_child, check_significant
from .spec_error import SpecError, wrong_value
from .strategy import should_restart

A = TypeVar("A", bound=Actor)

# Children to stop between two checkpoints. Stopping 100,000 children in one step would block the
# event loop for most of a second. Batches of 500 were measured too: their objects live longer, and
# the garbage collector ran four times as often.
_STOP_BATCH = 32


def _as_arguments(given: object) -> tuple[object, ...]:
    if not isinstance(given, tuple | list):
        raise wrong_value("extra_arguments", "a tuple or a list", given)
    return tuple(cast("tuple[object, ...]", given))


@attrs.frozen
class DynamicSupervisorSpec(AnySupervisorSpec["DynamicSupervisor"]):
    """The spec of a DynamicSupervisor (Elixir: options of `DynamicSupervisor.start_link/1`).

    | field | default | meaning |
    | --- | --- | --- |
    | max_children | None | an integer >= 0, the limit of live and restarting children; None: none |
    | intensity | 3 | restarts allowed within `period`, over all children; INFINITY: any |
    | period | 5.0 | seconds > 0: the window in which restarts are counted |
    | extra_arguments | () | a tuple of arguments passed first to the factory of every child |
    | backoff | None | a Backoff: delays before restarts; None: restart at once |

    >>> from okibi.supervisors import DynamicSupervisorSpec
    >>> DynamicSupervisorSpec(max_children=1000).intensity
    3

    Raises:
        SpecError: a field has an illegal value.
    """

    default_id: ClassVar[str] = "dynamic"

    max_children: int | None = None
    intensity: float = 3
    period: float = 5.0
    extra_arguments: tuple[object, ...] = attrs.field(default=(), converter=_as_arguments)
    backoff: Backoff | None = None

    def __attrs_post_init__(self) -> None:
        limit: object = self.max_children
        legal = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0
        if limit is not None and not legal:
            raise wrong_value("max_children", "an integer >= 0 or None", limit)
        check_intensity(self.intensity, self.period, self.backoff is not None)
        check_backoff(self.backoff)


def append_arguments(factory: Callable[..., A], *args: object, **kwargs: object) -> Callable[[], A]:
    """Make a factory that appends arguments to a supervisor's `extra_arguments`.

    >>> import attrs
    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, DynamicSupervisorSpec, append_arguments
    >>> @attrs.define(eq=False)
    ... class Worker(Server):
    ...     database: str
    ...     table: str
    >>> flags = DynamicSupervisorSpec(extra_arguments=("stock",))
    >>> child = Child(append_arguments(Worker, "prices"))
    >>> child.start(*flags.extra_arguments)
    Worker(database='stock', table='prices')

    Args:
        factory: the actor's class, or a callable that makes the actor.
        *args, **kwargs: passed to the factory after the supervisor's `extra_arguments`.
    """

    def make(*extra: object) -> A:
        return factory(*extra, *args, **kwargs)

    make.__name__ = factory_name(factory)
    return make


@implements(DynamicSupervisorSpec)
@attrs.define(eq=False)
class DynamicSupervisor(Restarter):
    """Starts children on request and restarts each alone (Elixir: `DynamicSupervisor`).

    >>> import trio
    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, DynamicSupervisor, DynamicSupervisorSpec
    >>> from okibi.supervisors import Restart, supervise
    >>> class Session(Server):
    ...     async def greet(self, name: str) -> str:
    ...         return f"hello {name}"
    >>> SESSION = Child(Session, restart=Restart.TEMPORARY)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         flags = DynamicSupervisorSpec(max_children=1000)
    ...         pool = await supervise(nursery, flags, path="/sessions")
    ...         first = await pool.call(DynamicSupervisor.start_child, SESSION)
    ...         second = await pool.call(DynamicSupervisor.start_child, SESSION)
    ...         print(second.path, await second.call(Session.greet, "bob"))
    ...         await pool.call(DynamicSupervisor.terminate_child, first)
    ...         print(await pool.call(DynamicSupervisor.count_children))
    ...         pool.stop()
    >>> trio.run(main)
    /sessions/Session-2 hello bob
    Counts(specs=1, active=1, supervisors=0, workers=1)

    The supervisor handles one request at a time (OTP: a supervisor is a gen_server). While a child
    runs `init` or `terminate`, further requests wait. To start many children, send all requests
    with `request` and await the replies afterwards.

    On stop, all children stop at the same time, each within its own grace. The stop takes as long
    as the slowest child.

    Args:
        spec: limits, restart intensity and back-off.
    """

    spec: DynamicSupervisorSpec = attrs.Factory(DynamicSupervisorSpec)
    # Children that wait for their next start, with their last process. The key is the place's id.
    _restarting: dict[str, tuple[Place, Process]] = attrs.field(
        factory=dict[str, tuple[Place, Process]], init=False
    )
    _restarts: tuple[float, ...] = attrs.field(default=(), init=False)
    _last_number: int = attrs.field(default=0, init=False)
    _supervisor_count: int = attrs.field(default=0, init=False)

    # -- requests

    async def start_child(self, spec: Child[A]) -> Ref[A] | None:
        """Start a child (Elixir: `DynamicSupervisor.start_child/2`).

        Args:
            spec: the child; several children may have equal specs.

        Returns:
            The child's Ref, or None if its `init` raised Ignore.

        Raises:
            MaxChildren: `max_children` is reached; restarting children count.
            AlreadyStarted: another actor has registered the child's name.
            ChildFailed: the child failed to start, and is forgotten.
            SpecError: `spec` is not a Child, or is significant, or is a supervisor's spec although
                this supervisor has `extra_arguments`.
        """
        child = self._check_spec(spec)
        self._check_max_children()
        ref = await self._start_numbered(child, child.id)
        if ref is not None and kind_of(child) == "supervisor":
            self._supervisor_count += 1
        return ref

    async def terminate_child(self, child: Ref[Any]) -> None:
        """Stop a child or cancel its next start, wait for its end, and forget the child.

        This does not count as a restart. Terminating a dead child does nothing (OTP:
        `terminate_child/2` of a simple_one_for_one).

        Args:
            child: the Ref that `start_child` returned, or the current incarnation's.

        Raises:
            NotFound: the actor is alive and not a child of this supervisor.
        """
        place = self._find(child)
        if place is not None:
            await self.stop(place)
            self._forget(place)
        elif not _is_dead_ref(child):
            raise self._not_found(child)

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """List all children: running ones first, the newest first, then restarting ones."""
        places = (*reversed(self._children.by_process.values()), *self._restarting_places())
        return tuple(build_info(place) for place in places)

    async def which_child(self, child: Ref[Any]) -> ChildInfo:
        """Describe one child.

        Raises:
            NotFound: the actor is dead or not a child of this supervisor.
        """
        return build_info(self._get(child))

    async def count_children(self) -> Counts:
        """Count the children by kind, in constant time."""
        active = len(self._children.by_process)
        specs = active + len(self._restarting)
        return Counts(specs, active, self._supervisor_count, specs - self._supervisor_count)

    async def get_childspec(self, child: Ref[Any]) -> Child[Any]:
        """Return a child's spec.

        Raises:
            NotFound: the actor is dead or not a child of this supervisor.
        """
        return self._get(child).spec

    @property
    def places(self) -> tuple[Place, ...]:
        """The children's places, read-only: running ones in start order, then restarting ones."""
        return (*self._children.by_process.values(), *self._restarting_places())

    # -- stop

    async def stop_children(self) -> None:
        """Ask all children to stop, then wait for all; each child's grace begins when asked."""
        for place, _ in self._restarting.values():
            self._children.request_stop(place)
        living = list(self._children.by_process.values())
        for number, place in enumerate(living):
            if number % _STOP_BATCH == 0:
                await trio.lowlevel.checkpoint()
            self._children.request_stop(place)
        try:
            for place in living:
                self._record_stop(await self._children.wait_ended(place))
        finally:
            # The loop above waits in start order; the stop report lists children as they ended.
            self._stop_results.sort(key=lambda stopped: stopped.seconds)

    # -- starts and look-ups

    def _check_spec(self, spec: Child[A]) -> Child[A]:
        check_child(spec, "spec")
        check_significant(spec, AutoShutdown.NEVER)
        start: object = spec.start
        takes_none = isinstance(spec.start, AnySupervisorSpec)
        if self.spec.extra_arguments and takes_none:
            raise SpecError(
                f"{self.path} gives its children extra_arguments, but child {spec.id!r} is a "
                f"supervisor and takes none: start that child under another supervisor",
                field="start",
                value=start,
            )
        return spec

    def _check_max_children(self) -> None:
        limit = self.spec.max_children
        if limit is not None and len(self._children.by_process) + len(self._restarting) >= limit:
            raise MaxChildren(
                f"{self.path}: cannot start another child, max_children={limit} is reached"
            )

    async def _start_numbered(
        self, child: Child[Any], label: str, make: Callable[[], Actor] | None = None
    ) -> Ref[Any] | None:
        """Start an actor in a new place; the place's id is the label and the next number."""
        self._last_number += 1
        place = Place(child, f"{label}-{self._last_number}")
        try:
            return await self._children.start(place, make or self._factory_for(child))
        except StartError as failure:
            raise build_refusal(failure) from failure.reason.error

    def _factory_for(self, child: Child[Any]) -> Callable[[], Actor]:
        factory = build_factory(child)
        extra = self.spec.extra_arguments
        return partial(factory, *extra) if extra else factory

    def _find(self, child: object) -> Place | None:
        if not isinstance(child, Ref):
            return None
        process = child.process()
        place = self._children.by_process.get(process)
        if place is None:
            place, last = self._restarting.get(process.path.rpartition("/")[2], (None, None))
            if last is not process:
                return None
        return place

    def _get(self, child: Ref[Any]) -> Place:
        place = self._find(child)
        if place is None:
            raise self._not_found(child)
        return place

    def _not_found(self, child: object) -> NotFound:
        if isinstance(child, Ref):
            return NotFound(f"{self.path} has no child {child!r}")
        return NotFound(f"{self.path} has no child {describe_child(child)}: pass the child's Ref")

    def _restarting_places(self) -> list[Place]:
        return [place for place, _ in self._restarting.values()]

    # -- restarts

    async def _handle_child_end(self, place: Place, process: Process) -> None:
        reason = process.life.reason or SHUTDOWN
        self._children.detach(place)
        if not should_restart(place.spec.restart, reason):
            self._forget(place)
            return
        self._count_restart(place, reason)
        self._restarting[place.id] = place, process
        delay = self._next_delay(place, reason)
        if delay > 0:
            self._schedule_restart(place, delay)
        else:
            await self._restart(place)

    async def _restart(self, place: Place) -> None:
        waiting = self._restarting.pop(place.id)
        try:
            ref = await self._children.start(place, self._factory_for(place.spec))
        except StartError as failure:
            self._restarting[place.id] = waiting
            self._handle_failed_start(place, failure)
            return
        if ref is None:
            self._forget(place)
        else:
            self._handle_restarted(place)

    def _forget(self, place: Place) -> None:
        place.move(ChildEvent.FORGET)
        self._children.stop_expecting_names(place)
        self._restarting.pop(place.id, None)
        if kind_of(place.spec) == "supervisor":
            self._supervisor_count -= 1


def _is_dead_ref(child: object) -> bool:
    return isinstance(child, Ref) and child.process().life.phase is Phase.DEAD
