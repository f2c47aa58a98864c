"""Run applications: one controller over all applications, one master over each tree.

    applications (controller)      starts in order, stops in reverse, applies the kinds
    ├─ database (master)           runs the hooks, owns the application's nursery
    │  └─ supervisor               the application's tree
    └─ shop (master)
       └─ supervisor

In OTP the master is the group leader of its application's processes, and kills the remaining ones
when the application stops. In trio every task lives in a nursery. The master owns a nursery for
tasks outside the tree, see `application_nursery`.
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
    """An application failed to start; the dependencies started for it have stopped again.

    `__cause__` is the error of the child that failed.

    Attributes:
        application: the application's name.
        path: the path of the child that failed, the lowest in the tree.
        reason: the child's exit reason.
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
    """An application exited, and its kind stopped all applications.

    `__cause__` is the error of the top supervisor, if the exit was a crash.

    Attributes:
        application: the application's name.
        reason: the exit reason of the top supervisor.
    """

    def __init__(self, application: Application, reason: ExitReason) -> None:
        super().__init__(
            f"application {application.name!r} ended ({reason}); "
            f"its kind is {application.kind.value}, so all applications stop"
        )
        self.application = application.name
        self.reason = reason
        self.__cause__ = reason.error


class ApplicationInfo(NamedTuple):
    """A running application.

    Attributes:
        application: the Application that was started.
        top: the top supervisor's Ref; None while the tree starts or stops.
    """

    application: Application
    top: Ref[Parent] | None


@attrs.frozen
class Applications(AnySupervisorSpec["ApplicationController"]):
    """The spec of an ApplicationController: applications that run together.

    `Child(Applications([...]))` puts applications into another tree. As the first child, they
    start before their siblings and stop after them. An exit that stops all applications crashes
    the child, and the supervisor restarts it like any other. With `intensity=0` the supervisor
    stops its tree instead.

    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Application, Applications, Child, SupervisorSpec
    >>> class Pool(Server): ...
    >>> class Shop(Server): ...
    >>> DATABASE = Application("database", SupervisorSpec([Child(Pool)]))
    >>> tree = SupervisorSpec([Child(Applications([DATABASE])), Child(Shop)], intensity=0)
    >>> [child.id for child in tree.children]
    ['applications', 'Shop']

    Args:
        applications: Application values in start order; dependencies come first in any case.

    Raises:
        SpecError: an item is not an Application, or two different ones share a name.
    """

    default_id: ClassVar[str] = "applications"

    applications: tuple[Application, ...] = attrs.field(converter=as_applications)

    def __attrs_post_init__(self) -> None:
        start_order(self.applications)


class ApplicationMaster(Parent):
    """Runs one application: its tree, hooks and nursery (OTP: application_master).

    The master exits when the tree exits, with the same reason.
    """

    __slots__ = (
        "_nursery",
        "_nursery_open",
        "_nursery_scope",
        "_place",
        "_started",
        "application",
    )

    _nursery: trio.Nursery

    def __init__(self, application: Application) -> None:
        self.application = application
        self._started = False
        # Shielded: the tasks outside the tree run until the stop hook has finished.
        self._nursery_scope = trio.CancelScope(shield=True)
        self._nursery_open = trio.Event()
        # No limit for the whole tree: each child has its own start_timeout.
        self._place = Place(Child(application.tree, start_timeout=INFINITY))

    @property
    def places(self) -> tuple[Place]:
        """The place of the tree, read-only."""
        return (self._place,)

    def _make_children(self, nursery: trio.Nursery) -> Children:
        nursery.start_soon(self._hold_nursery)
        return super()._make_children(nursery)

    async def init(self) -> None:
        await self._nursery_open.wait()
        if await self._children.start(self._place) is None:
            raise RuntimeError(
                f"{self.path}: the top supervisor raised Ignore in init, "
                f"an application cannot run without its tree"
            )
        self._started = True

    async def handle_info(self, message: object) -> None:
        if isinstance(message, ChildEnded):
            self._children.detach(self._place)
            raise Exit(message.process.life.reason or SHUTDOWN)
        await super().handle_info(message)

    async def stop_children(self) -> None:
        """Stop the tree between the two hooks; the hooks run only after a complete start."""
        try:
            if self._started:
                await self._run_hook("prep_stop", self.application.prep_stop)
            await self.stop(self._place)
            if self._started:
                await self._run_hook("stop", self.application.stop)
        finally:
            self._nursery_scope.cancel()

    async def _hold_nursery(self) -> None:
        """Hold the application's nursery open, shielded from the master's cancellation."""
        with self._nursery_scope:
            async with trio.open_nursery() as self._nursery:
                self._nursery_open.set()
                await trio.sleep_forever()

    def _kill_children(self) -> None:
        super()._kill_children()
        # A hook is not a child: without this line a hook would outlive a killed master.
        self._set_stop_deadline()

    async def _run_hook(self, which: str, hook: Hook | None) -> None:
        """Run a hook; log its failure and continue (OTP: `catch Mod:stop(State)`)."""
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
                text = "%s: %s hook failed, the stop continues: %s"
                logger.error(text, self.path, which, crashed(crash), exc_info=crash)
        if limit.cancelled_caught:
            text = "%s: %s hook cancelled after %g s (hook_timeout), the stop continues"
            logger.error(text, self.path, which, timeout)


@implements(Applications)
class ApplicationController(Parent):
    """Runs applications together (OTP: application_controller).

    Started by `start_applications`, or as `Child(Applications([...]))`.

        await controller.call(ApplicationController.stop_application, "shop")

    Args:
        spec: the applications to start first.
    """

    __slots__ = ("_running", "spec")

    def __init__(self, spec: Applications) -> None:
        self.spec = spec
        # In start order.
        self._running: dict[Place, Application] = {}

    # -- requests

    async def ensure_all_started(self, application: Application) -> tuple[str, ...]:
        """Start an application after its dependencies (OTP: `ensure_all_started/1`).

        Args:
            application: the application; running dependencies are left alone.

        Returns:
            The names of the newly started applications, in start order.

        Raises:
            ApplicationFailed: one failed; the ones started by this request have stopped again.
            SpecError: a different application of the same name runs, or the dependencies are
                circular.
        """
        wanted = start_order([application])
        known = {running.name: running for running in self._running.values()}
        for each in wanted:
            refuse_namesake(known.get(each.name, each), each)
        started: list[Place] = []
        try:
            for each in wanted:
                if each.name not in known:
                    started.append(await self._start(each))
        except ApplicationFailed:
            for place in reversed(started):
                await self._stop(place)
            raise
        return tuple(place.id for place in started)

    async def stop_application(self, name: str) -> None:
        """Stop one application and no other, whatever its kind (OTP: `stop/1`).

        Args:
            name: the application's name.

        Raises:
            NotFound: no application of that name runs.
        """
        for place in self._running:
            if place.id == name:
                return await self._stop(place)
        raise NotFound(f"{self.path} runs no application {describe_child(name)}")

    async def which_applications(self) -> tuple[ApplicationInfo, ...]:
        """List the running applications, the newest first (OTP: `which_applications/0`)."""
        return tuple(
            ApplicationInfo(application, _top(place))
            for place, application in reversed(self._running.items())
        )

    @property
    def places(self) -> tuple[Place, ...]:
        """The applications' places in start order, read-only."""
        return tuple(self._running)

    # -- start, exits, stop

    async def init(self) -> None:
        for application in start_order(self.spec.applications):
            await self._start(application)

    async def handle_info(self, message: object) -> None:
        if not isinstance(message, ChildEnded):
            return await super().handle_info(message)
        place = self._children.by_process.get(message.process)
        if place is None:
            return None
        self._children.detach(place)
        application, reason = self._running[place], message.process.life.reason or SHUTDOWN
        self._forget(place)
        if ends_all(application.kind, reason):
            raise ApplicationEnded(application, reason)
        level = logging.INFO if reason.quiet else logging.WARNING
        text = "application %r ended (%s); its kind is %s, so the others keep running"
        logger.log(level, text, application.name, reason, application.kind.value)
        return None

    async def stop_children(self) -> None:
        """Stop the applications one after another, in reverse order, dependents first."""
        by_name = {place.id: place for place in self._running}
        order: dict[Place, None] = {}
        for application in self._running.values():
            # Start order alone is wrong if a dependency exited and was started again later.
            needed = [by_name.get(each.name) for each in start_order([application])]
            order.update((place, None) for place in needed if place is not None)
        for place in reversed(order):
            await self.stop(place)

    async def _start(self, application: Application) -> Place:
        def make_master() -> ApplicationMaster:
            return ApplicationMaster(application)

        spec = Child(
            make_master,
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

    async def _stop(self, place: Place) -> None:
        await self.stop(place)
        self._forget(place)

    def _forget(self, place: Place) -> None:
        place.move(ChildEvent.FORGET)
        del self._running[place]


def _top(place: Place) -> Ref[Parent] | None:
    master = None if place.process is None else place.process.actor
    return master.places[0].ref() if isinstance(master, ApplicationMaster) else None


def application_nursery() -> trio.Nursery:
    """Return the nursery of the application that the calling actor or hook belongs to.

    The nursery is for tasks outside the supervision tree. On stop, the tree stops first, then the
    stop hook runs, then the tasks in the nursery are cancelled. A crash of such a task ends the
    application.

    >>> import trio, trio.testing
    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Application, Child, SupervisorSpec
    >>> from okibi.supervisors import application_nursery, start_applications
    >>> async def tick():
    ...     try:
    ...         await trio.sleep_forever()
    ...     finally:
    ...         print("ticking cancelled")
    >>> class Clock(Server):
    ...     async def init(self): application_nursery().start_soon(tick)
    ...     async def terminate(self, reason): print("clock stopped")
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         clock = Application("clock", SupervisorSpec([Child(Clock)]))
    ...         controller = await start_applications(nursery, [clock])
    ...         await trio.testing.wait_all_tasks_blocked()
    ...         controller.stop()
    >>> trio.run(main)
    clock stopped
    ticking cancelled

    Raises:
        RuntimeError: the caller is not an actor or a hook of an application.
    """
    process = CURRENT.get()
    while process is not None:
        if isinstance(process.actor, ApplicationMaster):
            return process.actor._nursery
        process = process.parent
    raise RuntimeError(
        "application_nursery() must be called by an actor or a hook of an application"
    )


async def start_applications(
    nursery: trio.Nursery,
    applications: Iterable[Application],
    *,
    name: Name[ApplicationController] | None = None,
    path: str = "/applications",
) -> Ref[ApplicationController]:
    """Start applications and their dependencies in a nursery; wait until all have started.

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

    OTP: `application:ensure_all_started/1`. Cancelling the nursery stops the applications in
    reverse order. If an exit stops all applications, the nursery raises ApplicationEnded after
    all have stopped.

    Args:
        nursery: the nursery of the whole tree.
        applications: Application values; dependencies need not be listed.
        name: a Name for the controller.
        path: the controller's path, used in logs.

    Returns:
        The controller's Ref.

    Raises:
        ApplicationFailed: one failed to start; the others have stopped again, in reverse order.
        SpecError: two different applications share a name, or the dependencies are circular.
        AlreadyRegistered: another actor has registered `name`.
    """
    try:
        return await supervise(nursery, Applications(applications), name=name, path=path)
    except StartError as failure:
        error = failure.reason.error
        if is_a(error, ApplicationFailed):
            raise error from error.__cause__
        raise
