"""The supervisor of children that are known beforehand. `strategy` decides, this module acts."""

import math
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import attrs
import trio

from ..actors import SHUTDOWN, Actor, Exit, Name, Ref, StartError, logs, start
from ..actors.process import Process
from .any_supervisor_spec import AnySupervisorSpec, build_supervisor, implements
from .child_place import Place
from .child_state import ChildEvent, ChildState
from .restarter import Restarter
from .spec import Child, Strategy, SupervisorSpec, check_child, check_significant
from .spec_error import wrong_value
from .strategy import ChildView, Decision, decide_on_end, decide_restart, should_restart

if TYPE_CHECKING:
    from .admin import ChildInfo, Counts

A = TypeVar("A", bound=Actor)

logger = logs.logger("okibi.supervisors")


@implements(SupervisorSpec)
@attrs.define(eq=False)
class Supervisor(Restarter):
    """Starts children in order, restarts children that end, stops children in reverse order.

    An actor need not survive a state that its code does not expect: a half-written file, a division
    by zero, a peer that closes the connection. The actor crashes, and its supervisor starts a new
    one with fresh state:

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

    The caller of the crashed actor gets ActorExited. A later call through the Name reaches the new
    incarnation. Between the crash and the restart the name is free: `FRACTION.call` raises
    NoProcess, `FRACTION.waiting(5).call` waits up to 5 s for the new incarnation.

    The options are fields of `SupervisorSpec` and of `Child`. Other kinds of supervisor follow the
    same rules, as far as they have the options.

    **Start.** The supervisor starts its children in the order of the list. Each child starts after
    the `init` of the previous child has returned, so list dependencies first. If a child fails in
    this first start, or exceeds its `start_timeout`, the supervisor stops the running children in
    reverse order, and the starter of the supervisor gets StartError. If `init` raises Ignore, the
    child does not run, and the spec is kept. During an `init` the supervisor handles no requests,
    but it can be stopped. Move slow work out of `init` with `continue_with`.

    **Shutdown.** The supervisor stops its children in reverse order, one at a time. A child is
    asked to stop, has `shutdown` seconds for its `terminate`, and is then killed. BRUTAL_KILL kills
    at once, INFINITY waits without a limit. The grace period of the supervisor, if it has one,
    limits all these stops together. A supervisor always ends after its last child. `stop_report`
    returns how long each child took, which children were killed, and the line of code of a child
    that does not end.

    **Exit reasons and restart types.** A child that ends by itself is restarted or not:

    | exit reason | PERMANENT | TRANSIENT | TEMPORARY |
    | --- | --- | --- | --- |
    | `normal`, `shutdown` | restart | stay down | drop |
    | `crashed`, `killed` | restart | restart | drop |

    `normal` and `shutdown`: `run` returned, the actor raised `Exit`, or its Ref was stopped.
    `crashed` and `killed`: an exception left the actor, or its Ref was killed. *Stay down*: the
    spec is kept, for `restart_child` and for the strategies. *Drop*: the spec is removed. The table
    does not apply to children that the supervisor stops.

    A restart calls the factory of the spec. The new incarnation has the same path and name, and
    none of the old state. State that must survive a crash belongs in another actor or outside the
    process. Most children are PERMANENT. TRANSIENT is for work that ends when it is done. TEMPORARY
    is for work whose failure another actor handles.

    **Strategies.** When a child restarts, the strategy says which siblings restart with it:

    | strategy | siblings that restart too | when children |
    | --- | --- | --- |
    | ONE_FOR_ONE | none | do not depend on each other |
    | REST_FOR_ONE | those started after the child | depend on children before them |
    | ONE_FOR_ALL | all | all depend on each other |

    The siblings are stopped in reverse order, then all are started in order. Siblings that were
    down are started too; TEMPORARY siblings are dropped. After a failed start the supervisor tries
    again, and handles requests between two attempts.

    **Intensity.** A restart must not hide a fault that it does not cure. After more than
    `intensity` restarts within `period` seconds, of all children together, the supervisor stops all
    children and crashes with SupervisorGaveUp. A failed attempt counts as a restart; siblings that
    restart along do not count. The supervisor above then restarts this whole subtree, and gives up
    in turn if the fault stays. A top supervisor that gives up raises SupervisorGaveUp into its
    nursery. The log shows every crash, the first one first. `backoff` adds delays between restarts.

    **Automatic shutdown.** A supervisor can end when its work is done. With `auto_shutdown`
    ANY_SIGNIFICANT, the supervisor ends with the reason `shutdown` after the first `significant`
    child has ended by itself and is not restarted; with ALL_SIGNIFICANT, after the last one.
    Significant children are TRANSIENT or TEMPORARY. Make the supervisor TRANSIENT or TEMPORARY too:
    a PERMANENT supervisor would be restarted.

    **Kinds of supervisor.** SupervisorSpec is for children that are known beforehand, plus some
    that `start_child` adds later. DynamicSupervisorSpec is for any number of children that come and
    go. PartitionSupervisorSpec is for N copies of one child. TaskSupervisorSpec is for functions.
    Application adds dependencies and hooks to a tree. `Child(SupervisorSpec([...]), id="storage")`
    makes a supervisor a child.

    **Subclasses.** `class Mine(Supervisor)` may add messages and override `init`, `handle_info` and
    `terminate`. `init` and `handle_info` must call `super()`: those methods start the children and
    handle their ends. `terminate` runs after the last child has ended. Use the subclass as
    `Child(partial(Mine, spec), shutdown=INFINITY)`: without `shutdown` the child would have the 5 s
    of any actor. Alternatively, write a spec class for the subclass (`implements`).

    Source: OTP: supervisor.

    Args:
        spec: the children and the options.
    """

    spec: SupervisorSpec = attrs.field(repr=False)
    _places: dict[str, Place] = attrs.field(factory=dict[str, Place], init=False)
    _restarts: tuple[float, ...] = attrs.field(default=(), init=False)

    # -- requests

    async def start_child(self, spec: Child[A]) -> Ref[A] | None:
        """Add a child at the end of the start order, and start it (OTP: `start_child/2`).

            worker = await top.call(Supervisor.start_child, Child(Worker, id="second"))

        Args:
            spec: the child spec, with an id that no other child has.

        Returns:
            The new child. None if its `init` raised Ignore: the spec is kept unless the child is
            TEMPORARY.

        Raises:
            AlreadyStarted: a child with the id runs, or another actor has the name.
            AlreadyPresent: a child with the id exists and does not run.
            ChildFailed: the child did not start; the spec is dropped.
            SpecError: `spec` is no Child, or is significant under a supervisor that never shuts
                down by itself.
        """
        from .admin import build_refusal, refuse_present

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
        """Stop a child, or call off its restart. The child stays down (OTP: `terminate_child/2`).

        The spec is kept unless the child is TEMPORARY. The stop does not count against the
        intensity, affects no sibling, and causes no automatic shutdown.

        Args:
            child: the id of the child.

        Raises:
            NotFound: no child has the id.
        """
        place = self._find_place(child, "terminate_child")
        called_off = place.state is ChildState.RESTARTING
        await self.stop(place)
        for each in self.places if called_off else (place,):
            # The attempt would also have started siblings. They stay down too.
            if each.state is ChildState.UNDEFINED:
                self._children.stop_expecting_names(each)
        if place.temporary:
            self._forget(place)

    async def restart_child(self, child: str) -> Ref[Any] | None:
        """Start a child that is down (OTP: `restart_child/2`).

        The start does not count against the intensity. A failed start keeps the spec.

        Args:
            child: the id of the child.

        Returns:
            The new incarnation; None if its `init` raised Ignore.

        Raises:
            NotFound: no child has the id.
            Running: the child runs.
            Restarting: the child waits for a restart.
            AlreadyStarted: another actor has the name.
            ChildFailed: the child did not start.
        """
        from .admin import build_refusal

        place = self._find_place(child, "restart_child")
        try:
            return await self._start_place(place)
        except StartError as failure:
            raise build_refusal(failure) from failure.reason.error

    async def delete_child(self, child: str) -> None:
        """Drop the spec of a child that is down (OTP: `delete_child/2`).

        Args:
            child: the id of the child.

        Raises:
            NotFound: no child has the id.
            Running: the child runs.
            Restarting: the child waits for a restart.
        """
        self._forget(self._find_place(child, "delete_child"))

    async def which_children(self) -> "tuple[ChildInfo, ...]":
        """Return all children, the last in start order first (OTP: `which_children/1`)."""
        from .admin import build_info

        return tuple(build_info(place) for place in reversed(self._places.values()))

    async def which_child(self, child: str) -> "ChildInfo":
        """Return one child (OTP: `which_child/2`).

        Args:
            child: the id of the child.

        Raises:
            NotFound: no child has the id.
        """
        from .admin import build_info

        return build_info(self._find_place(child, "which_child"))

    async def count_children(self) -> "Counts":
        """Count the children by kind (OTP: `count_children/1`)."""
        from .admin import count_places

        return count_places(self._places.values())

    async def get_childspec(self, child: str) -> Child[Any]:
        """Return the spec of a child (OTP: `get_childspec/2`).

        Args:
            child: the id of the child.

        Raises:
            NotFound: no child has the id.
        """
        return self._find_place(child, "get_childspec").spec

    def _find_place(self, child: str, request: str) -> Place:
        # Imported here and above: a start handles no requests.
        from .admin import find_place

        return find_place(self._places, child, request, self.path)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of the children in start order. Read only."""
        return tuple(self._places.values())

    # -- life cycle

    async def init(self) -> None:
        for spec in self.spec.children:
            place = self._places[spec.id] = Place(spec)
            await self._start_place(place)

    async def stop_children(self) -> None:
        """Stop the children one after the other, in reverse start order."""
        for place in reversed(self._places.values()):
            await self.stop(place)

    # -- decide

    def _views(self, place: Place) -> list[ChildView]:
        """Return the facts that the decision about a child may depend on."""
        # Siblings only if needed: when ten thousand children end together, viewing all of them for
        # each of them would take minutes.
        alone = self.spec.strategy is Strategy.ONE_FOR_ONE and not place.spec.significant
        return [each.view() for each in ((place,) if alone else self.places)]

    async def _restart(self, place: Place) -> None:
        views = self._views(place)
        await self._perform(decide_restart(self.spec.strategy, views, place.id, self._restarts))

    async def _handle_child_end(self, place: Place, process: Process) -> None:
        reason = process.life.reason or SHUTDOWN
        self._children.detach(place)
        if not place.spec.significant and not should_restart(place.spec.restart, reason):
            # A shortcut: for most temporary children the siblings do not matter.
            if place.temporary:
                self._forget(place)
            return
        child, now = place.id, trio.current_time()
        decision = decide_on_end(self.spec, self._views(place), child, reason, self._restarts, now)
        if decision.give_up:
            raise self._give_up(child, reason)
        if decision.shut_down:
            raise Exit(SHUTDOWN)
        delay = self._next_delay(place, reason) if decision.start else 0
        await self._perform(decision, place if delay > 0 else None, delay)

    # -- act

    async def _perform(
        self, decision: Decision, delayed: Place | None = None, delay: float = 0.0
    ) -> None:
        """Carry out a decision.

        Args:
            decision: the children to stop, to forget and to start.
            delayed: the child whose restart waits for the back-off; None for a restart at once.
            delay: seconds until that restart.
        """
        self._restarts = decision.restarts
        for child in decision.start:
            self._children.expect_names(self._places[child])
        for child in decision.stop:
            await self.stop(self._places[child])
        for child in decision.forget:
            self._forget(self._places[child])
        for child in decision.start:
            # Call off scheduled attempts: this decision starts the child, or the child stays down
            # if a start before it fails (OTP: terminate_children).
            if self._places[child].state is ChildState.RESTARTING:
                self._children.request_stop(self._places[child])
        places = [self._places[child] for child in decision.start]
        if delayed is not None:
            self._schedule_restart(delayed, delay, places)
            return
        for place in places:
            try:
                await self._start_place(place)
            except StartError as failure:
                self._handle_failed_start(place, failure, places)
                return
            if place.process is not None:
                self._handle_restarted(place)

    async def _start_place(self, place: Place) -> Ref[Any] | None:
        """Start a child. If its `init` raises Ignore, drop the spec of a temporary child."""
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
    """Start a supervision tree in a nursery, and wait until all children have started.

        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, SupervisorSpec([Child(Visits, name=VISITS)]))

    Cancelling the nursery stops the tree in reverse order. A top supervisor that gives up raises
    SupervisorGaveUp into the nursery.

    Args:
        nursery: the nursery for the whole tree.
        spec: the top supervisor: a SupervisorSpec or another supervisor spec.
        name: registers the top supervisor under a Name.
        path: the path of the top supervisor. The paths of its children begin with it.

    Returns:
        The Ref of the top supervisor.

    Raises:
        SpecError: `spec` is no supervisor spec.
        TypeError: `nursery` is no Nursery, or `name` is no Name.
        StartError: a child did not start. The children before have been stopped.
        AlreadyRegistered: another actor has the name.
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
