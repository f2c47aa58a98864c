"""What runs applications: a controller over all of them, and a master over each one's tree.

    applications (controller)      starts in order, stops in reverse, ends when a kind says so
    ├─ database (master)           runs the hooks around its tree, and owns the nursery
    │  └─ supervisor               the application's tree
    └─ shop (master)
       └─ supervisor

In OTP the master is the group leader of its application's processes, and when the application
stops it kills whoever still has it. Here every task lives in some nursery, and none can outlive
it. The master has one for tasks that are in no tree, see `application_nursery`.
"""

import logging
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import attrs
import trio

from ..actors import SHUTDOWN, Exit, ExitReason, Name, Ref, Refusal, StartError, crashed, logs
from ..actors.exits import crash_in, is_a
from ..actors.process import CURRENT
from .admin import NotFound, describe_child
from .any_supervisor_spec import AnySupervisorSpec, implements
from .application import Application, Hook, as_applications, ends_all, refuse_namesake, start_order
from .child_place import ChildEnded, Children, Place
from .child_state import ChildEvent
from .parent import Parent
from .spec import INFINITY, Child, Restart
from .supervisor import supervise

logger = logs.logger("okibi.supervisors")


class ApplicationFailed(Refusal):
    """An application did not start; what was started for it is stopped again.

    The error of the child that failed is this one's `__cause__`.

    Attributes:
        application: its name.
        path: the child that failed, the lowest one.
        reason: why it did.
    """

    def __init__(self, application: str, failure: StartError) -> None:
        while is_a(failure.reason.error, StartError):
            failure = failure.reason.error
        super().__init__(f"application {application!r} did not start: {failure}")
        self.application = application
        self.path = failure.path
        self.reason = failure.reason
        self.__cause__ = failure.reason.error


class ApplicationEnded(Exception):
    """An application has ended, and by its kind all others have with it.

    The error that ended it, if one did, is this one's `__cause__`.

    Attributes:
        application: its name.
        reason: why its top supervisor ended.
    """

    def __init__(self, application: Application, reason: ExitReason) -> None:
        super().__init__(
            f"application {application.name!r} ended ({reason}); "
            f"it is {application.kind.value}: all applications are stopped"
        )
        self.application = application.name
        self.reason = reason
        self.__cause__ = reason.error


class ApplicationInfo(NamedTuple):
    """One application that runs.

    Attributes:
        application: what it was started as.
        top: its top supervisor; None while that is on its way up or down.
    """

    application: Application
    top: Ref[Parent] | None


@attrs.frozen
class Applications(AnySupervisorSpec["ApplicationController"]):
    """Applications to run together, with all that they need: the flags of their controller.

    As a child, `Child(Applications([...]))`, they are a part of another tree: put first, they are
    started before their siblings and stopped after them. When one of them is the end of all, that
    child crashes, and its supervisor does with it as with any other: to end then, and not to start
    all of them anew, it is given `intensity=0`.

    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Application, Applications, Child, SupervisorSpec
    >>> class Pool(Server): ...
    >>> class Shop(Server): ...
    >>> DATABASE = Application("database", SupervisorSpec([Child(Pool)]))
    >>> tree = SupervisorSpec([Child(Applications([DATABASE])), Child(Shop)], intensity=0)
    >>> [child.id for child in tree.children]
    ['applications', 'Shop']

    Args:
        applications: in start order, as far as what they need leaves a choice.

    Raises:
        SpecError: something else is in it, or two different ones have the same name.
    """

    default_id: ClassVar[str] = "applications"

    applications: tuple[Application, ...] = attrs.field(converter=as_applications)

    def __attrs_post_init__(self) -> None:
        start_order(self.applications)


class ApplicationMaster(Parent):
    """Runs one application: its tree, its hooks, its nursery (OTP: application_master).

    It ends when the tree does, and for the same reason.
    """

    __slots__ = ("_keeping", "_kept", "_nursery", "_place", "_started", "application")

    _nursery: trio.Nursery

    def __init__(self, application: Application) -> None:
        self.application = application
        self._started = False
        # Shielded, for a task in no tree is to live until the stop hook has run.
        self._kept = trio.CancelScope(shield=True)
        self._keeping = trio.Event()
        # Each child of the tree has a limit of its own to start in.
        self._place = Place(Child(application.tree, start_timeout=INFINITY))

    @property
    def places(self) -> tuple[Place]:
        """The place of its tree; to look at, not to change."""
        return (self._place,)

    def children(self, nursery: trio.Nursery) -> Children:
        nursery.start_soon(self._keep)
        return super().children(nursery)

    async def init(self) -> None:
        await self._keeping.wait()
        if await self._children.start(self._place) is None:
            raise RuntimeError(f"{self.path}: its tree is not needed, so it is no application")
        self._started = True

    async def handle_info(self, message: object) -> None:
        if isinstance(message, ChildEnded):
            self._children.detach(self._place)
            raise Exit(message.process.reason or SHUTDOWN)
        await super().handle_info(message)

    async def stop_children(self) -> None:
        """The hooks are for an application that was started: all of it, or none."""
        try:
            if self._started:
                await self._run("prep_stop", self.application.prep_stop)
            await self.stop(self._place)
            if self._started:
                await self._run("stop", self.application.stop)
        finally:
            self._kept.cancel()

    async def _keep(self) -> None:
        """Hold a nursery that this one's own cancellation does not reach, in a task of its own."""
        with self._kept:
            async with trio.open_nursery() as self._nursery:
                self._keeping.set()
                await trio.sleep_forever()

    def _kill_children(self) -> None:
        super()._kill_children()
        # A hook is no child: without this it would outlive the kill of its master.
        self._set_stop_deadline()

    async def _run(self, which: str, hook: Hook | None) -> None:
        """Run a hook. However it ends the stop goes on (OTP: `catch Mod:stop(State)`)."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if hook is None:
            return
        timeout = self.application.hook_timeout
        with trio.move_on_after(timeout) as limit:
            try:
                await hook()
            except BaseException as error:
                crash = crash_in(error)
                if crash is None:
                    raise
                words = "%s: its %s hook failed, its stop goes on: %s"
                logger.error(words, self.path, which, crashed(crash), exc_info=crash)
        if limit.cancelled_caught:
            said = "%s: its %s hook was cancelled after %g s, its stop goes on"
            logger.error(said, self.path, which, timeout)


@implements(Applications)
class ApplicationController(Parent):
    """Runs applications together (OTP: application_controller).

    Started by `start_applications`, or as a child: see there, and `Applications`.

    Args:
        flags: the applications that it begins with.
    """

    __slots__ = ("_running", "spec")

    def __init__(self, spec: Applications) -> None:
        self.spec = spec
        # In start order.
        self._running: dict[Place, Application] = {}

    # -- what one can ask it

    async def ensure_all_started(self, application: Application) -> tuple[str, ...]:
        """Start one more application, and before it what it needs (OTP: `ensure_all_started/1`).

        Returns:
            The names of those that did not run before, in start order.

        Raises:
            ApplicationFailed: one failed; those that were started for it are stopped again.
            SpecError: another one of that name runs, or it needs itself.
        """
        wanted = start_order([application])
        known = {running.name: running for running in self._running.values()}
        for each in wanted:
            refuse_namesake(known.get(each.name, each), each)
        begun: list[Place] = []
        try:
            for each in wanted:
                if each.name not in known:
                    begun.append(await self._begin(each))
        except ApplicationFailed:
            for place in reversed(begun):
                await self._end(place)
            raise
        return tuple(place.id for place in begun)

    async def stop_application(self, name: str) -> None:
        """Stop one application; it takes no other along, whatever its kind (OTP: `stop/1`).

        Raises:
            NotFound: it does not run.
        """
        for place in self._running:
            if place.id == name:
                return await self._end(place)
        raise NotFound(f"{self.path} runs no application {describe_child(name)}")

    async def which_applications(self) -> tuple[ApplicationInfo, ...]:
        """Those that run, the newest first (OTP: `which_applications/0`)."""
        return tuple(
            ApplicationInfo(application, _top(place))
            for place, application in reversed(self._running.items())
        )

    @property
    def places(self) -> tuple[Place, ...]:
        """Its applications' places in start order; to look at, not to change."""
        return tuple(self._running)

    # -- its life

    async def init(self) -> None:
        for application in start_order(self.spec.applications):
            await self._begin(application)

    async def handle_info(self, message: object) -> None:
        if not isinstance(message, ChildEnded):
            return await super().handle_info(message)
        place = self._children.by_process.get(message.process)
        if place is None:
            return None
        self._children.detach(place)
        application, reason = self._running[place], message.process.reason or SHUTDOWN
        self._forget(place)
        if ends_all(application.kind, reason):
            raise ApplicationEnded(application, reason)
        level = logging.INFO if reason.quiet else logging.WARNING
        said = "application %r ended (%s); it is %s: the others go on"
        logger.log(level, said, application.name, reason, application.kind.value)
        return None

    async def stop_children(self) -> None:
        """Last first, each when the one after it has ended; none before those that need it."""
        by_name = {place.id: place for place in self._running}
        order: dict[Place, None] = {}
        for application in self._running.values():
            # What it needs may have ended since, and been started anew: after it.
            needed = [by_name.get(each.name) for each in start_order([application])]
            order.update((place, None) for place in needed if place is not None)
        for place in reversed(order):
            await self.stop(place)

    async def _begin(self, application: Application) -> Place:
        def master() -> ApplicationMaster:
            return ApplicationMaster(application)

        spec = Child(
            master,
            id=application.name,
            restart=Restart.TEMPORARY,
            shutdown=INFINITY,
            start_timeout=INFINITY,
        )
        place = Place(spec)
        self._running[place] = application
        try:
            await self._children.start(place)
        except StartError as failure:
            self._forget(place)
            failed = ApplicationFailed(application.name, failure)
            raise failed from failed.__cause__
        return place

    async def _end(self, place: Place) -> None:
        await self.stop(place)
        self._forget(place)

    def _forget(self, place: Place) -> None:
        place.move(ChildEvent.FORGET)
        del self._running[place]


def _top(place: Place) -> Ref[Parent] | None:
    master = None if place.process is None else place.process.actor
    return master.places[0].ref() if isinstance(master, ApplicationMaster) else None


def application_nursery() -> trio.Nursery:
    """The nursery of the application that the calling actor, or hook, belongs to.

    Tasks that are in no tree can be started in it. When the application stops, its tree and its
    stop hook come first, then whatever is left here is cancelled. A crash of such a task is the
    end of the application.

    >>> import trio, trio.testing
    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Application, Child, SupervisorSpec
    >>> from okibi.supervisors import application_nursery, start_applications
    >>> async def tick():
    ...     try:
    ...         await trio.sleep_forever()
    ...     finally:
    ...         print("the clock stands still")
    >>> class Clock(Server):
    ...     async def init(self): application_nursery().start_soon(tick)
    ...     async def terminate(self, reason): print("its owner has gone")
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         clock = Application("clock", SupervisorSpec([Child(Clock)]))
    ...         controller = await start_applications(nursery, [clock])
    ...         await trio.testing.wait_all_tasks_blocked()
    ...         controller.stop()
    >>> trio.run(main)
    its owner has gone
    the clock stands still

    Raises:
        RuntimeError: whoever calls belongs to no application.
    """
    process = CURRENT.get()
    while process is not None:
        if isinstance(process.actor, ApplicationMaster):
            return process.actor._nursery
        process = process.parent
    raise RuntimeError("application_nursery() is for the actors and the hooks of an application")


async def start_applications(
    nursery: trio.Nursery,
    applications: Iterable[Application],
    *,
    name: Name[ApplicationController] | None = None,
    path: str = "/applications",
) -> Ref[ApplicationController]:
    """Start applications in a nursery, and before each what it needs; wait until all have started.

    >>> import trio
    >>> from okibi.actors import Name, Server, stop
    >>> from okibi.supervisors import Application, Child, SupervisorSpec, start_applications
    >>> class Pool(Server):
    ...     async def init(self): print("pool is open")
    ...     async def terminate(self, reason): print("pool is closed")
    ...     async def query(self): return 42
    >>> class Shop(Server):
    ...     async def init(self): print("shop found", await POOL.call(Pool.query))
    ...     async def terminate(self, reason): print("shop is closed")
    >>> POOL = Name("pool", Pool)
    >>> async def farewell(): print("last customers")
    >>> DATABASE = Application("database", SupervisorSpec([Child(Pool, name=POOL)]))
    >>> SHOP = Application("shop", SupervisorSpec([Child(Shop)]), [DATABASE], prep_stop=farewell)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         controller = await start_applications(nursery, [SHOP])
    ...         await stop(controller)
    >>> trio.run(main)
    pool is open
    shop found 42
    last customers
    shop is closed
    pool is closed

    Cancelling the nursery stops them in reverse order. When one ends whose kind makes that the
    end of all, ApplicationEnded is raised into the nursery, after all have stopped.

    Args:
        nursery: they live in this one.
        applications: values; those that they need need not be among them.
        name: an address to ask the controller by.
        path: what it is called in logs.

    Raises:
        ApplicationFailed: one did not start; those before it are stopped again, in reverse.
        SpecError: they cannot be run together.
        AlreadyRegistered: the name is taken.
    """
    try:
        return await supervise(nursery, Applications(applications), name=name, path=path)
    except StartError as failure:
        error = failure.reason.error
        if is_a(error, ApplicationFailed):
            raise error from error.__cause__
        raise
