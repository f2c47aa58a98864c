"""The supervisor: it performs what `strategy` decides."""

import math
from functools import partial
from typing import Any, TypeVar, cast, overload

import attrs
import trio

from ..actors import SHUTDOWN, Actor, Exit, Name, Ref, StartError, logs, start
from ..actors.process import Process
from .admin import (
    ChildInfo,
    Counts,
    build_info,
    build_refusal,
    count_places,
    find_place,
    refuse_present,
)
from .any_supervisor_spec import AnySupervisorSpec, build_supervisor, implements
from .child_place import Place
from .child_state import ChildEvent, ChildState
from .restarter import Restarter, SupervisorGaveUp
from .spec import Child, Strategy, SupervisorSpec, check_child, check_significant
from .spec_error import wrong_value
from .strategy import ChildView, Decision, decide_on_end, decide_restart, should_restart

A = TypeVar("A", bound=Actor)

logger = logs.logger("okibi.supervisors")


@implements(SupervisorSpec)
@attrs.define(eq=False)
class Supervisor(Restarter):
    """Starts its children in order, restarts those that end, stops them in reverse.

    Code meets a state that it was not written for: a file that is half there, a zero, a peer that
    has changed its mind. An actor is not written to survive that. It crashes, alone, and its
    supervisor starts another one, in a state that it was written for:

    >>> import trio
    >>> from okibi.actors import Name, Server
    >>> from okibi.supervisors import Child, SupervisorSpec, supervise
    >>> class Fraction(Server):
    ...     async def divide(self, by: int) -> float:
    ...         return 1 / by
    >>> FRACTION = Name("fraction", Fraction)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         tree = SupervisorSpec([Child(Fraction, name=FRACTION)])
    ...         top = await supervise(nursery, tree)
    ...         try:
    ...             await FRACTION.call(Fraction.divide, 0)
    ...         except Exception as error:
    ...             print(type(error).__name__, "by", type(error.__cause__).__name__)
    ...         print(await FRACTION.waiting(5).call(Fraction.divide, 4))
    ...         top.stop()
    >>> trio.run(main)
    ActorExited by ZeroDivisionError
    0.25

    Whoever had asked is told; whoever asks the Name later meets the fresh one. Until the supervisor
    has had its turn, and while its back-off lasts, the name is free: `FRACTION.call` fails at once
    with NoProcess then, `FRACTION.waiting(5).call` waits for the fresh one. Which children
    there are is a value, `SupervisorSpec`; its docstring has a table of the flags, that of `Child`
    one of what can be said of each. Every other kind of supervisor lives by the same rules.

    **Start.** One child after the other, in the order of the list, each when the `init` of the
    one before it has returned: put first what the others need. One that fails, or takes longer
    than its `start_timeout`, is fatal at this first start: those before it are stopped again, last
    first, and the starter gets StartError. One that raises Ignore is left out, and its spec kept.
    While it waits for an `init` the supervisor answers nobody, but a stop gets through. An `init`
    that takes long does less and goes on after it (`continue_with`).

    **Shutdown.** In reverse order, each when the one after it has ended. A child is asked, then
    has the `shutdown` seconds of its spec for its `terminate`, then is killed; BRUTAL_KILL does
    not ask, INFINITY waits. The supervisor's own grace, if it has one, is over all of them
    together. It ends after the last child has, whatever happens; `stop_report` says who took how
    long, who had to be killed, and in which line one sits that does not die.

    **Exit reasons and restarts.** A child's `restart` says what its end by itself means:

    | ended | PERMANENT | TRANSIENT | TEMPORARY |
    | --- | --- | --- | --- |
    | `normal`, `shutdown` | restart | stay | drop |
    | `crashed`, `killed` | restart | restart | drop |

    The first row is one whose `run` has returned, that has raised `Exit`, or that somebody has
    stopped by its Ref; the second, one that an exception has left, or that was killed. *Stay*: its
    spec is kept, for `restart_child` and for the strategies; *drop*: it is forgotten. What the
    supervisor itself stops is none of these. A restart makes a new actor by the factory of the
    spec: same path, same name, the next incarnation, and nothing of the old state. What is to
    outlive a crash belongs to another actor, or outside. Most children are PERMANENT; TRANSIENT
    is for a job that is done once it has been done well, TEMPORARY for one whose failure is
    somebody else's to handle.

    **Strategies.** Only when a child is to be restarted its siblings are looked at:

    | strategy | stopped, last first, and started again with it, in order |
    | --- | --- |
    | ONE_FOR_ONE | nobody: the children do not depend on each other |
    | REST_FOR_ONE | those after it: they depend on those before them |
    | ONE_FOR_ALL | all: they only make sense together |

    All in reach are started, also those that had stayed down; TEMPORARY ones are dropped. A
    restart that fails is tried again; between two attempts requests have their turn.

    **Intensity.** What a restart does not cure, it must not hide. More than `intensity` restarts
    within `period` seconds, of all children together, and the supervisor stops them all and ends
    with SupervisorGaveUp, which for the supervisor above is one crash, to be counted there. A
    new attempt counts as one, siblings that restart along do not. So a fault spreads floor by
    floor, each a larger part that is started afresh, until it is cured or the top gives up: that
    raises into the nursery, for what is then to be restarted is the process. The log has each
    crash, the first one first. `backoff` puts waits between restarts, for faults that need time.

    **Automatic shutdown.** A supervisor may be there for one piece of work: its `significant`
    children, TRANSIENT or TEMPORARY. With `auto_shutdown` ANY_SIGNIFICANT it ends, as asked to
    (`shutdown`), when the first of them has ended by itself and is not restarted; with
    ALL_SIGNIFICANT, when the last has. Make it TRANSIENT or TEMPORARY in turn: as a PERMANENT
    child it comes straight back.

    **Which kind.** This one for children that are known beforehand, also when a few come later
    by `start_child`; `DynamicSupervisorSpec` for those that come and go, in any number;
    `PartitionSupervisorSpec` for N copies of one; `TaskSupervisorSpec` for functions;
    `Application` for a whole tree with hooks and needs. A tree is
    built of them: `Child(SupervisorSpec([...]), id="storage")` is a child as any other.

    **A class of one's own**, `class Mine(Supervisor)`, may add messages and override `init`, and
    `terminate`, which runs after the last child has ended. An `init` or `handle_info` of its own
    must call `super()`'s, which starts the children, or hears of their ends. As a child it is
    `Child(partial(Mine, flags), shutdown=INFINITY)`: to its parent it is like any actor, with 5 s
    to end in, unless it says otherwise or has Flags of its own (`@performs`).

    Args:
        flags: its children and what to do about them.
    """

    spec: SupervisorSpec
    _places: dict[str, Place] = attrs.field(factory=dict[str, Place], init=False)
    _restarts: tuple[float, ...] = attrs.field(default=(), init=False)

    # -- what one can ask it

    async def start_child(self, spec: Child[A]) -> Ref[A] | None:
        """Take one more child, the last in start order, and start it (OTP: `start_child/2`).

        Returns:
            Who lives there now; None if its `init` raised Ignore, and then its spec is kept
            unless it is temporary.

        Raises:
            AlreadyStarted: a child of that id lives, or somebody bears the name.
            AlreadyPresent: there is a spec of that id already.
            ChildFailed: it did not start; its spec is not kept.
            SpecError: it is no Child, or one that does not fit the flags.
        """
        check_child(spec, "spec")
        check_significant(spec, self.spec.auto_shutdown)
        refuse_present(self._places.get(spec.id), self.path)
        place = self._places[spec.id] = Place(spec)
        try:
            return await self._start_place(place)
        except StartError as failure:
            self._forget(place)
            raise build_refusal(failure) from failure.reason.error

    async def terminate_child(self, child: str) -> None:
        """Stop a child, or call its next start off; it stays stopped (OTP: `terminate_child/2`).

        Its spec is kept unless it is temporary. No crash and no end of its own: nothing is
        counted, no sibling is touched, and the supervisor does not shut down for it.

        Raises:
            NotFound: there is no such child.
        """
        place = find_place(self._places, child, "terminate_child", self.path)
        called_off = place.state is ChildState.RESTARTING
        await self.stop(place)
        for each in self.places if called_off else (place,):
            # Siblings that were to be started along with a child stay down without its attempt.
            if each.state is ChildState.UNDEFINED:
                self._children.stop_expecting_names(each)
        if place.temporary:
            self._forget(place)

    async def restart_child(self, child: str) -> Ref[Any] | None:
        """Start a child that was stopped, or had ended (OTP: `restart_child/2`).

        It does not count as a restart. A start that fails leaves the spec as it was.

        Returns:
            Who lives there now; None if its `init` raised Ignore.

        Raises:
            NotFound: there is no such child.
            Running: it lives.
            Restarting: it is about to be started.
            AlreadyStarted: somebody else bears its name.
            ChildFailed: it did not start.
        """
        place = find_place(self._places, child, "restart_child", self.path)
        try:
            return await self._start_place(place)
        except StartError as failure:
            raise build_refusal(failure) from failure.reason.error

    async def delete_child(self, child: str) -> None:
        """Drop the spec of a child that does not run (OTP: `delete_child/2`).

        Raises:
            NotFound, Running, Restarting: as `restart_child`.
        """
        self._forget(find_place(self._places, child, "delete_child", self.path))

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """All its children as they stand, the newest first (OTP: `which_children/1`)."""
        return tuple(build_info(place) for place in reversed(self._places.values()))

    async def which_child(self, child: str) -> ChildInfo:
        """One child as it stands (OTP: `which_child/2`).

        Raises:
            NotFound: there is no such child.
        """
        return build_info(find_place(self._places, child, "which_child", self.path))

    async def count_children(self) -> Counts:
        """How many children there are, and of which kind (OTP: `count_children/1`)."""
        return count_places(self._places.values())

    async def get_childspec(self, child: str) -> Child[Any]:
        """A child's spec (OTP: `get_childspec/2`).

        Raises:
            NotFound: there is no such child.
        """
        return find_place(self._places, child, "get_childspec", self.path).spec

    @property
    def places(self) -> tuple[Place, ...]:
        """Its children's places in start order; to look at, not to change."""
        return tuple(self._places.values())

    # -- its life

    async def init(self) -> None:
        for spec in self.spec.children:
            place = self._places[spec.id] = Place(spec)
            await self._start_place(place)

    async def stop_children(self) -> None:
        """Last first, each when the one after it has ended."""
        for place in reversed(self._places.values()):
            await self.stop(place)

    # -- deciding

    def _standings(self, place: Place) -> list[ChildView]:
        """All that the decision about a place may depend on."""
        # Looking at each of ten thousand for each of them, when all end at once, takes minutes.
        alone = self.spec.strategy is Strategy.ONE_FOR_ONE and not place.spec.significant
        return [each.standing() for each in ((place,) if alone else self.places)]

    async def _restart(self, place: Place) -> None:
        standings = self._standings(place)
        await self._perform(decide_restart(self.spec.strategy, standings, place.id, self._restarts))

    async def _handle_child_end(self, place: Place, process: Process) -> None:
        reason = process.reason or SHUTDOWN
        self._children.detach(place)
        if not place.spec.significant and not should_restart(place.spec.restart, reason):
            # Most ends of temporary children: there is nothing to decide, whoever else is there.
            if place.temporary:
                self._forget(place)
            return
        child, now = place.id, trio.current_time()
        decision = decide_on_end(
            self.spec, self._standings(place), child, reason, self._restarts, now
        )
        if decision.give_up:
            raise SupervisorGaveUp(self.path, self.spec, child, reason)
        if decision.shut_down:
            raise Exit(SHUTDOWN)
        waits = decision.start and self.spec.backoff is not None
        await self._perform(decision, place if waits else None)

    # -- performing

    async def _perform(self, decision: Decision, waits: Place | None = None) -> None:
        """Do what was decided; with back-off `waits` is the child whose start is put off."""
        self._restarts = decision.restarts
        for child in decision.start:
            self._children.expect_names(self._places[child])
        for child in decision.stop:
            await self.stop(self._places[child])
        for child in decision.forget:
            self._forget(self._places[child])
        for child in decision.start:
            # A sibling's own attempt is called off: it is started with this one, in order, or
            # stays down if one before it fails (OTP: terminate_children).
            if self._places[child].state is ChildState.RESTARTING:
                self._children.request_stop(self._places[child])
        if waits is not None:
            self._schedule_retry(waits)
            return
        for child in decision.start:
            place = self._places[child]
            try:
                await self._start_place(place)
            except StartError as failure:
                self._handle_failed_start(place, failure)
                return
            if place.process is not None:
                logger.info("%s/%s restarted", self.path, child)

    async def _start_place(self, place: Place) -> Ref[Any] | None:
        """Start a child; one that is not needed keeps its spec, unless it is temporary."""
        ref = await self._children.start(place)
        if ref is None and place.temporary:
            self._forget(place)
        return ref

    def _forget(self, place: Place) -> None:
        place.move(ChildEvent.FORGET)
        self._children.stop_expecting_names(place)
        del self._places[place.id]


@overload
async def supervise(
    nursery: trio.Nursery,
    spec: SupervisorSpec,
    *,
    name: Name[Supervisor] | None = None,
    path: str = ...,
) -> Ref[Supervisor]: ...
@overload
async def supervise(
    nursery: trio.Nursery,
    spec: AnySupervisorSpec[A],
    *,
    name: Name[A] | None = None,
    path: str = ...,
) -> Ref[A]: ...
async def supervise(
    nursery: trio.Nursery,
    spec: AnySupervisorSpec[Any],
    *,
    name: Name[Any] | None = None,
    path: str = "/supervisor",
) -> Ref[Any]:
    """Start a tree in a nursery and wait until all of it has started.

    Cancelling the nursery stops the tree in reverse order. A top supervisor that gives up raises
    SupervisorGaveUp into the nursery.

    Args:
        nursery: the whole tree lives in this one.
        flags: the top supervisor's: a SupervisorSpec, or those of another kind.
        name: an address for others.
        path: what it is called in logs; its children's paths begin with it.

    Raises:
        SpecError: `flags` is no supervisor spec, a list of children for instance.
        TypeError: `nursery` is none, or `name` no Name.
        StartError: a child failed to start; whatever had started is stopped again.
        AlreadyRegistered: the name is taken.
    """
    if not isinstance(cast("object", spec), AnySupervisorSpec):
        rule = "a SupervisorSpec or another supervisor spec"
        raise wrong_value("spec", rule, spec, where=path)
    return await start(
        nursery,
        partial(build_supervisor, spec),
        name=name,
        path=path,
        grace=math.inf,
        timeout=math.inf,
    )
