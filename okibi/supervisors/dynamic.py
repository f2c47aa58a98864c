"""A supervisor of children that come and go (Elixir: `DynamicSupervisor`; OTP: simple_one_for_one).

It starts empty and takes children while it lives: connections, sessions, jobs. They are as many as
there are, so nothing it does depends on their number, and what it keeps of one is a Place, found
by the process that lives there. Ids would have to be made up: two children may have equal specs,
and the path of each ends in a number of its own, `/pool/worker-17`.

    what was asked     the child lives   is RESTARTING      has ended     somebody else's, alive
    terminate_child    is stopped        is called off      is done       NotFound
    which_child        is shown          is shown           NotFound      NotFound
    get_childspec      is given          is given           NotFound      NotFound

A child that is RESTARTING is asked for by the Ref of its last incarnation. That terminating one
who has ended is no error is OTP's rule (Elixir says `not_found`): it may end at any moment, and
what was wanted is so.

    ended            permanent    transient    temporary
    quietly          restart      forget it    forget it
    otherwise        restart      restart      forget it
"""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeVar, cast

import attrs
import trio

from ..actors import SHUTDOWN, Actor, Ref, StartError, logs
from ..actors.process import Phase, Process
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
    Backoff,
    check_backoff,
    check_intensity,
    implements,
)
from .child_place import Place
from .child_state import ChildEvent
from .restarter import Restarter
from .spec import Child, build_factory, check_child, check_significant
from .spec_error import SpecError, wrong_value
from .strategy import should_restart

A = TypeVar("A", bound=Actor)

logger = logs.logger("okibi.supervisors")

# How many children are asked to stop in one step. Asking a hundred thousand would keep all other
# tasks from running for a good part of a second; and what is made to end five hundred lives long
# enough for the garbage collector to go over all the others for it, four times as often.
_ASKED_AT_ONCE = 32


def _as_arguments(given: object) -> tuple[object, ...]:
    if not isinstance(given, tuple | list):
        raise wrong_value("extra_arguments", "a tuple or a list", given)
    return tuple(cast("tuple[object, ...]", given))


@attrs.frozen
class DynamicSupervisorSpec(AnySupervisorSpec["DynamicSupervisor"]):
    """The flags of a DynamicSupervisor.

    | field | default | legal |
    | --- | --- | --- |
    | max_children | None | how many may live at once, those that restart included; None: any |
    | intensity | 3 | how many restarts within `period` are borne, of all together; 0: none |
    | period | 5.0 s | the window in which restarts are counted |
    | extra_arguments | () | what every child's factory is given, before what else it takes |
    | backoff | None | a Backoff: restarts wait; None: they do not |

    Raises:
        SpecError: a field is wrong; `field` names it.
    """

    default_id: ClassVar[str] = "dynamic"

    max_children: int | None = None
    intensity: int = 3
    period: float = 5.0
    extra_arguments: tuple[object, ...] = attrs.field(default=(), converter=_as_arguments)
    backoff: Backoff | None = None

    def __attrs_post_init__(self) -> None:
        most: object = self.max_children
        whole = isinstance(most, int) and not isinstance(most, bool) and most >= 0
        if most is not None and not whole:
            raise wrong_value("max_children", "an integer >= 0 or None", most)
        check_intensity(self.intensity, self.period)
        check_backoff(self.backoff)


def append_arguments(factory: Callable[..., A], *args: object, **kwargs: object) -> Callable[[], A]:
    """A factory for a supervisor with `extra_arguments`: it is given those first, then these.

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
        factory: makes the actor; its class, or any callable.
        *args, **kwargs: what it is given behind the supervisor's `extra_arguments`.
    """

    def make(*extra: object) -> A:
        return factory(*extra, *args, **kwargs)

    make.__name__ = factory_name(factory)
    return make


@implements(DynamicSupervisorSpec)
@attrs.define(eq=False)
class DynamicSupervisor(Restarter):
    """Starts children when it is asked to, each for itself (one_for_one), and stops all at once.

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

    It is a server: while a child is in its `init`, or is being terminated, what else is asked
    waits its turn, as in OTP. Who wants many children at once asks for all of them with
    `request` and takes the replies afterwards.

    Its children stop all at the same time, each within its own grace, so that a stop takes as
    long as the slowest child's, not as long as all together.

    Args:
        flags: how many children there may be, and what becomes of those that end.
    """

    spec: DynamicSupervisorSpec = attrs.Factory(DynamicSupervisorSpec)
    # Those that wait for their next start, and who lived there last: by id, that is by path.
    _restarting: dict[str, tuple[Place, Process]] = attrs.field(
        factory=dict[str, tuple[Place, Process]], init=False
    )
    _restarts: tuple[float, ...] = attrs.field(default=(), init=False)
    _begun: int = attrs.field(default=0, init=False)
    _supervisors: int = attrs.field(default=0, init=False)

    # -- what one can ask it

    async def start_child(self, spec: Child[A]) -> Ref[A] | None:
        """Start one more child (Elixir: `DynamicSupervisor.start_child/2`).

        Returns:
            Who lives there now; None if its `init` raised Ignore: then nothing of it is kept.

        Raises:
            MaxChildren: as many as may live here already, those included that restart.
            AlreadyStarted: somebody bears its name.
            ChildFailed: it did not start, and is forgotten.
            SpecError: it is no Child; or it is significant, which has no meaning here; or it is
                given as flags, which cannot take this supervisor's `extra_arguments`.
        """
        child = self._checked(spec)
        self._refuse_more()
        ref = await self._begin(child, child.id)
        if ref is not None and kind_of(child) == "supervisor":
            self._supervisors += 1
        return ref

    async def terminate_child(self, child: Ref[Any]) -> None:
        """Stop a child, or call its next start off, and forget it; wait until it has ended.

        No crash and no end of its own: nothing is counted. One that has ended already is no
        error (OTP: `terminate_child/2` of a simple_one_for_one).

        Raises:
            NotFound: it lives, and not here.
        """
        place = self._find(child)
        if place is not None:
            await self.stop(place)
            self._forget(place)
        elif not _has_ended(child):
            raise self._not_found(child)

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """All its children as they stand, the newest first, those that restart last."""
        places = (*reversed(self._children.by_process.values()), *self._waiting())
        return tuple(build_info(place) for place in places)

    async def which_child(self, child: Ref[Any]) -> ChildInfo:
        """One child as it stands.

        Raises:
            NotFound: it is none of this supervisor's, or has ended.
        """
        return build_info(self._found(child))

    async def count_children(self) -> Counts:
        """How many children there are, and of which kind; it takes as long for any number."""
        active = len(self._children.by_process)
        specs = active + len(self._restarting)
        return Counts(specs, active, self._supervisors, specs - self._supervisors)

    async def get_childspec(self, child: Ref[Any]) -> Child[Any]:
        """A child's spec.

        Raises:
            NotFound: it is none of this supervisor's, or has ended.
        """
        return self._found(child).spec

    @property
    def places(self) -> tuple[Place, ...]:
        """Its children's places, those that restart last; to look at, not to change."""
        return (*self._children.by_process.values(), *self._waiting())

    # -- its life

    async def stop_children(self) -> None:
        """All are asked, then all are waited for: each has its own grace from when it was asked."""
        for place, _ in self._restarting.values():
            self._children.request_stop(place)
        living = list(self._children.by_process.values())
        for number, place in enumerate(living):
            if number % _ASKED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            self._children.request_stop(place)
        try:
            for place in living:
                self._record_stop(await self._children.wait_ended(place))
        finally:
            # They were waited for in the order they had started; the report is by their ends.
            self._stop_results.sort(key=lambda stopped: stopped.seconds)

    # -- who is meant

    def _checked(self, spec: Child[A]) -> Child[A]:
        check_child(spec, "spec")
        check_significant(spec, AutoShutdown.NEVER)
        if self.spec.extra_arguments and isinstance(spec.start, AnySupervisorSpec):
            raise SpecError(
                f"{self.path} gives its children extra_arguments, but child {spec.id!r} is a "
                f"supervisor and takes none: start that child under another supervisor",
                field="start",
                value=spec.start,
            )
        return spec

    def _refuse_more(self) -> None:
        most = self.spec.max_children
        if most is not None and len(self._children.by_process) + len(self._restarting) >= most:
            raise MaxChildren(f"{self.path} has {most} children, and may have no more")

    async def _begin(
        self, child: Child[Any], what: str, make: Callable[[], Actor] | None = None
    ) -> Ref[Any] | None:
        """Start somebody in a new place, named by what it is and a number of its own."""
        self._begun += 1
        place = Place(child, f"{what}-{self._begun}")
        try:
            return await self._children.start(place, make or self._factory(child))
        except StartError as failure:
            raise build_refusal(failure) from failure.reason.error

    def _factory(self, child: Child[Any]) -> Callable[[], Actor]:
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

    def _found(self, child: Ref[Any]) -> Place:
        place = self._find(child)
        if place is None:
            raise self._not_found(child)
        return place

    def _not_found(self, child: object) -> NotFound:
        if isinstance(child, Ref):
            return NotFound(f"{self.path} has no child {child!r}")
        return NotFound(
            f"{self.path} has no child {describe_child(child)}: it has no ids, ask with a Ref"
        )

    def _waiting(self) -> list[Place]:
        return [place for place, _ in self._restarting.values()]

    # -- restarts

    async def _handle_child_end(self, place: Place, process: Process) -> None:
        reason = process.reason or SHUTDOWN
        self._children.detach(place)
        if not should_restart(place.spec.restart, reason):
            self._forget(place)
            return
        self._count_restart(place, reason)
        self._restarting[place.id] = place, process
        if self.spec.backoff is None:
            await self._restart(place)
        else:
            self._schedule_retry(place)

    async def _restart(self, place: Place) -> None:
        waiting = self._restarting.pop(place.id)
        try:
            ref = await self._children.start(place, self._factory(place.spec))
        except StartError as failure:
            self._restarting[place.id] = waiting
            self._handle_failed_start(place, failure)
            return
        if ref is None:
            self._forget(place)
        else:
            logger.info("%s restarted", ref.path)

    def _forget(self, place: Place) -> None:
        place.move(ChildEvent.FORGET)
        self._children.stop_expecting_names(place)
        self._restarting.pop(place.id, None)
        if kind_of(place.spec) == "supervisor":
            self._supervisors -= 1


def _has_ended(child: object) -> bool:
    return isinstance(child, Ref) and child.process().phase is Phase.DEAD
