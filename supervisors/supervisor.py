"""The supervisor: it performs what `strategy` decides."""

import logging
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import attrs
import trio

from actors import (
    Actor,
    AlreadyRegistered,
    Down,
    ExitReason,
    MailboxPolicy,
    Name,
    Ref,
    Server,
    StartError,
    WhenFull,
    crashed,
    start,
)
from actors.process import Process
from actors.start import GRACE, spawn, wait_started

from .spec import BRUTAL_KILL, Child, Supervision
from .strategy import Decision, Standing, State, again, count, ended

logger = logging.getLogger("supervisors")


class SupervisorGaveUp(Exception):
    """More restarts than its intensity allows: the supervisor has stopped all its children.

    The error of the child that was one too many is this one's `__cause__`. OTP ends with the
    quiet reason `shutdown` here, which makes a transient sub-supervisor vanish in silence; to
    okibi giving up is a crash.
    """

    def __init__(self, path: str, flags: Supervision, child: str, reason: ExitReason) -> None:
        super().__init__(
            f"{path} gave up: {child} ended ({reason}), and {flags.intensity} restarts "
            f"within {flags.period:g} s are its limit"
        )
        self.__cause__ = reason.error


class Retry(NamedTuple):
    """A supervisor's message to itself: try again to start this child."""

    child: str


@attrs.define(eq=False)
class Place:
    """Where a child stands: its spec, and the incarnation that lives there now, if one does."""

    spec: Child[Any]
    process: Process | None = None
    state: State = State.UNDEFINED
    starts: int = 0

    def standing(self) -> Standing:
        return Standing(self.spec.id, self.spec.restart, self.state)


@attrs.define(eq=False)
class Supervisor(Server):
    """Starts its children in order, restarts those that end, stops them in reverse.

    >>> import trio
    >>> from actors import Name, Server
    >>> from supervisors import Child, Supervision, supervise
    >>> class Fraction(Server):
    ...     async def divide(self, by: int) -> float:
    ...         return 1 / by
    >>> FRACTION = Name("fraction", Fraction)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         tree = Supervision([Child(Fraction, name=FRACTION)])
    ...         top = await supervise(nursery, tree)
    ...         try:
    ...             await FRACTION.call(Fraction.divide, 0)
    ...         except Exception as error:
    ...             print(type(error).__name__, "by", type(error.__cause__).__name__)
    ...         await trio.testing.wait_all_tasks_blocked()
    ...         print(await FRACTION.call(Fraction.divide, 4))
    ...         top.stop()
    >>> trio.run(main)
    ActorExited by ZeroDivisionError
    0.25

    At the first start a child that fails is fatal: those before it are stopped in reverse and
    the supervisor does not start. A restart that fails is counted and tried again.

    Its children's tasks run in a nursery of its own, each shielded: of an outer cancellation only
    the supervisor hears. Their ends reach it as messages, never as exceptions.

    Args:
        flags: its children and what to do about them.
    """

    # As in OTP nobody is turned away: what asks a supervisor is rare, and must not be lost.
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1_000_000, WhenFull.REJECT)

    flags: Supervision
    _places: dict[str, Place] = attrs.field(factory=dict[str, Place], init=False)
    _restarts: tuple[float, ...] = attrs.field(default=(), init=False)
    _nursery: trio.Nursery = attrs.field(init=False, repr=False)
    _stopping: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False, repr=False)

    async def live(self, started: Callable[[], None]) -> None:
        error: BaseException | None = None
        self._process.on_kill = self._kill_children
        self._process.on_grace = self._limit_stopping
        async with trio.open_nursery() as self._nursery:
            try:
                for spec in self.flags.children:
                    self._places[spec.id] = place = Place(spec)
                    await self._start(place)
                started()
                await self.run()
            except BaseException as caught:
                # Raised again outside the nursery, which would wrap it in a group.
                error = caught
            await self._stop_all()
        if error is not None:
            raise error

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            place = self._place_of(message.ref)
            if place is not None:
                await self._child_ended(place, message.reason)
        elif isinstance(message, Retry):
            place = self._places.get(message.child)
            if place is not None and place.state is State.RESTARTING:
                await self._perform(self._again(message.child))
        else:
            await super().handle_info(message)

    @property
    def places(self) -> tuple[Place, ...]:
        """Its children's places in start order; to look at, not to change."""
        return tuple(self._places.values())

    @property
    def restarts(self) -> tuple[float, ...]:
        """When the restarts happened that the last decision counted."""
        return self._restarts

    # -- deciding

    def _standings(self) -> list[Standing]:
        return [place.standing() for place in self._places.values()]

    def _again(self, child: str) -> Decision:
        return again(self.flags.strategy, self._standings(), child, self._restarts)

    async def _child_ended(self, place: Place, reason: ExitReason) -> None:
        place.process = None
        place.state = State.UNDEFINED
        child, now = place.spec.id, trio.current_time()
        decision = ended(self.flags, self._standings(), child, reason, self._restarts, now)
        if decision.give_up:
            raise SupervisorGaveUp(self.path, self.flags, child, reason)
        await self._perform(decision)

    def _start_failed(self, place: Place, failure: StartError) -> None:
        logger.error("%s", failure, exc_info=failure.reason.error)
        decision = count(self.flags, self._restarts, trio.current_time())
        if decision.give_up:
            raise SupervisorGaveUp(self.path, self.flags, place.spec.id, failure.reason)
        self._restarts = decision.restarts
        place.state = State.RESTARTING
        # By way of the mailbox: what was asked meanwhile, a stop above all, comes first.
        # Not as a `send`, which an actor that has just been asked to stop refuses.
        self._process.mailbox.offer(Retry(place.spec.id))

    # -- performing

    async def _perform(self, decision: Decision) -> None:
        self._restarts = decision.restarts
        for child in decision.stop:
            await self._stop(self._places[child])
        for child in decision.forget:
            del self._places[child]
        for child in decision.start:
            place = self._places[child]
            try:
                await self._start(place)
            except StartError as failure:
                self._start_failed(place, failure)
                return
            logger.info("%s/%s restarted", self.path, child)

    async def _start(self, place: Place) -> None:
        # Nothing is started once this supervisor is asked to stop, or cancelled.
        await trio.lowlevel.checkpoint_if_cancelled()
        spec = place.spec
        place.starts += 1
        path = f"{self.path}/{spec.id}"
        try:
            process = spawn(
                self._nursery,
                self._factory(spec),
                path=path,
                name=spec.name,
                incarnation=place.starts,
                # BRUTAL_KILL is what this supervisor does; an end of the child's own is not cut.
                grace=GRACE if isinstance(spec.shutdown, str) else spec.shutdown,
                supervised=True,
            )
        except AlreadyRegistered as taken:
            raise StartError(path, crashed(taken)) from None
        place.process = process
        place.state = State.RUNNING
        self.monitor(Ref(process))
        try:
            await wait_started(process, spec.start_timeout)
        except StartError:
            await process.wait_dead()
            place.process = None
            place.state = State.UNDEFINED
            raise

    def _factory(self, spec: Child[Any]) -> Callable[[], Actor]:
        flags = spec.start
        return (lambda: Supervisor(flags)) if isinstance(flags, Supervision) else flags

    async def _stop(self, place: Place) -> None:
        """Stop one child and wait: asked, given its grace, then killed.

        By its end, not by its Down: that comes through the mailbox, finds nobody of that
        incarnation, and is passed over.
        """
        process, place.state = place.process, State.UNDEFINED
        if process is None:
            return
        if place.spec.shutdown == BRUTAL_KILL:
            process.kill()
        else:
            process.stop()
        await process.wait_dead()
        place.process = None

    async def _stop_all(self) -> None:
        """Last first, each within its grace; when this supervisor's own is over, at once."""
        self._stopping.shield = True
        self._limit_stopping()
        with self._stopping:
            for place in reversed(self._places.values()):
                await self._stop(place)
        with trio.CancelScope(shield=True):
            for place in reversed(self._places.values()):
                if place.process is not None:
                    place.process.kill()
                    await place.process.wait_dead()

    def _limit_stopping(self) -> None:
        """Its own grace may begin when it stops already: having given up, or for a restart."""
        self._stopping.deadline = self._process.deadline()

    def _kill_children(self) -> None:
        for place in self._places.values():
            if place.process is not None:
                place.process.kill()

    def _place_of(self, ref: Ref[Any] | None) -> Place | None:
        for place in self._places.values():
            if place.process is not None and ref is not None and ref.process() is place.process:
                return place
        return None


async def supervise(
    nursery: trio.Nursery,
    flags: Supervision,
    *,
    name: Name[Supervisor] | None = None,
    path: str = "/supervisor",
) -> Ref[Supervisor]:
    """Start a tree in a nursery and wait until all of it has started.

    Cancelling the nursery stops the tree in reverse order. A top supervisor that gives up raises
    SupervisorGaveUp into the nursery.

    Raises:
        StartError: a child failed to start; whatever had started is stopped again.
        AlreadyRegistered: the name is taken.
    """
    return await start(
        nursery,
        lambda: Supervisor(flags),
        name=name,
        path=path,
        grace=math.inf,
        timeout=math.inf,
    )
