"""Actor: one task with a mailbox. Most actors are Servers; Actor is the base for the others."""

import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast, get_origin, overload

import trio

from .exits import ExitReason
from .hook_errors import require_awaitable
from .mailbox import DEFAULT_POLICY, MailboxPolicy
from .monitors import Monitor, watch
from .process import Process
from .ref import Address, Ref, refuse_calls
from .safe_repr import describe_value, shape
from .timers import Interval, Timer

if TYPE_CHECKING:
    from .mailbox import TurnRunner
    from .monitors import Monitorable
    from .status import Status

A = TypeVar("A", bound="Actor")
M = TypeVar("M")


class Actor:
    """A task with a mailbox. Override `run`, and `init` and `terminate` where needed.

    >>> import trio
    >>> from okibi.actors import Actor, start
    >>> class Counter(Actor):
    ...     async def run(self):
    ...         total = 0
    ...         while (number := await self.receive()) is not None:
    ...             total += number
    ...         print("total", total)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         counter = await start(nursery, Counter)
    ...         for message in (1, 2, None):
    ...             await counter.send(message)
    >>> trio.run(main)
    total 3

    A subclass may be an attrs class (`@attrs.define(eq=False)`: two actors with equal fields are
    not equal) or a plain class. Each start creates a new instance, in the task that then runs it.
    `__init__` runs before the actor has a path, a mailbox or timers; `init` runs after.

    Attributes:
        mailbox: the capacity of the mailbox of an actor, and the rule for a full mailbox.
    """

    __slots__ = ("__weakref__", "_process")

    mailbox: ClassVar[MailboxPolicy] = DEFAULT_POLICY
    # Whether its methods are messages. A call to any other actor would never be answered.
    _answers_calls: ClassVar[bool] = False
    _process: Process

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_private_names(cls, "Actor", _PRIVATE_NAMES)

    # -- to override

    async def init(self) -> None:
        """Prepare. The starter waits until this returns; an exception fails the start."""

    async def run(self) -> None:
        """Do the work. The actor ends when this returns (`normal`) or raises (`crashed`)."""
        raise NotImplementedError(f"{type(self).__name__} needs a `run`")

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up. May await until the grace is over. Does not run when the actor is killed.

        Args:
            reason: why the actor ends.
        """

    def format_status(self, status: "Status") -> "Status":
        """Redact what okibi shows of this actor (OTP: `format_status/1`). The default: nothing.

        okibi calls it before each crash report, trace, log of events, snapshot and
        `debug.get_status`. Return a changed copy (`attrs.evolve`); module `status` has an example.
        The method is not `async` and must not change the actor: okibi calls it at any moment, also
        from other tasks.

        If it changes the reason of a crash, callers, monitors, the supervisor and the nursery get
        the changed reason, with a `Redacted` in place of the exception. (OTP passes the reason on
        unchanged.) If it raises, they get only the type of the exception.

        Args:
            status: `state`, `message`, `reply`, `reason` and `log`. The state lacks the fields
                that an attrs class declares with `repr=False`.

        Returns:
            The status that okibi may show. okibi shows the type and the length of each value, or
            the value itself with `OKIBI_CRASH_REPORTS=full`. A text that replaces another value is
            shown.
        """
        return status

    # -- to use inside

    @property
    def ref(self) -> Ref[Self]:
        """The address of this incarnation."""
        return Ref(self._process)

    @property
    def path(self) -> str:
        """The place in the supervision tree, `/function/visits`."""
        return self._process.path

    def receive(self) -> Coroutine[Any, Any, Any]:
        """Wait for the next message. Messages of timers come before sent ones.

        Await the result. A plain `def`, because an `async def` would add a frame to every message.

        Raises:
            trio.BusyResourceError: another task waits for this actor's messages.
            RuntimeError: the actor has ended, or ends during the wait.
        """
        process = self._process
        process.waits.record_outer_nurseries()
        return process.mailbox.receive()

    @overload
    def monitor(self, watched: Address[Any], /) -> Monitor: ...

    @overload
    def monitor(self, watched: "Monitorable[M]", /) -> M: ...

    def monitor(self, watched: "Address[Any] | Monitorable[M]", /) -> Monitor | M:
        """Receive a message when something happens elsewhere (OTP: `monitor/2`, `pg:monitor/2`).

        Args:
            watched: the actor, group, reply or task to monitor.
                An address or a CallingTask brings one `Down` when the actor or task ends.
                A Group brings a `Joined` or `Left` at each change; the monitor has the `members`
                of now. A Pending or a Task brings one `Result`.

        Returns:
            The monitor. Its `demonitor` ends the monitoring.

        Raises:
            RuntimeError: `watched` belongs to another `trio.run`, this thread does not run trio,
                or the Pending was abandoned.
            TypeError: `watched` cannot be monitored.
        """
        if isinstance(watched, Address):
            return watch(self._process, watched)
        if not hasattr(watched, "add_monitor"):
            raise TypeError(
                f"{self._process.path}: monitor needs an address, a Group, a Pending or a Task, "
                f"got {shape(watched)}"
            )
        return watched.add_monitor(self._process)

    def send_after(self, seconds: float, message: object) -> Timer:
        """Send a message to this actor after a delay (OTP: `erlang:send_after`).

        Args:
            seconds: the delay in seconds.
            message: the message that `handle_info` or `receive` gets.

        Raises:
            ValueError: `seconds` is NaN.
        """
        if seconds != seconds:
            raise ValueError(f"{self._process.path}: send_after needs seconds, got {seconds}")
        timer = Timer(trio.current_time() + seconds, message)
        self._process.mailbox.add(timer)
        return timer

    def send_every(self, seconds: float, message: object) -> Timer:
        """Send a message to this actor again and again (OTP: `timer:send_interval`).

        The first message comes after `seconds`. The schedule is fixed: a late message delays no
        other. Messages missed while the actor was busy or the sandbox frozen are not made up: one
        comes, then the schedule goes on. The timer ends with `cancel`, or with the actor.

        Args:
            seconds: the interval in seconds.
            message: the message that `handle_info` or `receive` gets each time.

        Raises:
            ValueError: `seconds` is not a finite number above 0.
        """
        if not 0 < seconds < math.inf:
            raise ValueError(f"{self._process.path}: send_every needs seconds > 0, got {seconds}")
        timer = Interval(trio.current_time(), seconds, message)
        self._process.mailbox.add(timer)
        return timer

    # -- for subclasses in okibi

    @trio.lowlevel.disable_ki_protection
    async def live(self, started: Callable[[], None]) -> None:
        """Run `init`, tell the starter, run `run`. A supervisor opens its nursery around this."""
        await require_awaitable(self.init(), self, "init")
        started()
        await require_awaitable(self.run(), self, "run")

    def _redacts(self) -> bool:
        """Return whether the class overrides `format_status`."""
        return getattr(self.format_status, "__func__", None) is not Actor.format_status

    def _traceback_is_logged_elsewhere(self, crash: BaseException) -> bool:
        """Return whether the crash report of another actor has the origin of this crash."""
        return False

    def __repr__(self) -> str:
        process = getattr(self, "_process", None)
        where = f"{process.path} incarnation {process.incarnation}" if process else "not started"
        return f"<{type(self).__name__} {where}>"


def private_names(kind: type[Actor]) -> frozenset[str]:
    """Return the private names that a class of okibi's defines for itself."""
    return frozenset(name for name in vars(kind) if name[0] == "_" and name[:2] != "__")


_PRIVATE_NAMES = private_names(Actor)


def refuse_private_names(cls: type[Actor], owner: str, names: frozenset[str]) -> None:
    """Check that a subclass does not hide what okibi's own code uses.

    Args:
        cls: the subclass.
        owner: the class of okibi's that uses the names.
        names: the private names that the owner uses.

    Raises:
        TypeError: the subclass, or a class that it inherits from, defines one of the names.
    """
    for base in cls.__mro__:
        # okibi's own subclasses override some of them.
        if names.isdisjoint(vars(base)) or base.__module__.partition(".")[0] == "okibi":
            continue
        name = min(names & vars(base).keys())
        how = f"defines `{name}`" if base is cls else f"inherits `{name}` from {base.__name__}"
        raise TypeError(
            f"{cls.__name__} {how}, a name that okibi's {owner} uses itself: choose another name"
        )


def make_receiver(actor: Actor, runner: "TurnRunner | None" = None) -> Callable[[], Awaitable[Any]]:
    """Build a faster `receive` for a loop that waits for messages in one place only.

    Build it once, in the task that waits, inside the nurseries around the loop. Each wait then
    saves a frame and two calls. The receiver may return LOOK, which is no message: call it again.

    Args:
        runner: handles messages in the name of the loop while the loop waits; None for an actor
            that takes no turns.
    """
    process = actor._process
    process.waits.record_outer_nurseries()
    return process.mailbox.receiver(runner)


def make_actor(factory: Callable[[], Any], process: Process, wanted: type[Any] | None) -> Actor:
    """Make an actor and put it into its process.

    Raises:
        TypeError: the factory returned no Actor, an actor of another class than the name's, or an
            actor that was started before.
        AttributeError: `__init__` used what exists only after `__init__`.
    """
    try:
        actor = factory()
    except AttributeError as error:
        # Objects of other classes may lack a `_process` too.
        if error.name != "_process" or not isinstance(error.obj, Actor):
            raise
        raise AttributeError(
            f"{process.path}: `__init__` used the path, the mailbox or a timer, which exist only "
            f"after `__init__`: move this code to `init`"
        ) from error
    if not isinstance(actor, Actor):
        raise TypeError(f"{process.path}: the factory must return an Actor, got {shape(actor)}")
    made = type(actor)
    # For `Pool[Connection]` only Pool can be checked.
    if wanted not in (None, made) and not isinstance(actor, get_origin(wanted) or wanted):
        raise TypeError(
            f"{process.path}: the name is for {wanted.__name__}, the factory returned "
            f"{made.__name__}"
        )
    if hasattr(actor, "_process"):
        if not isinstance(cast("object", actor._process), Process):
            raise TypeError(
                f"{made.__name__} defines `_process`, a name that okibi's Actor uses itself: "
                f"choose another name"
            )
        raise TypeError(
            f"{process.path}: the factory returned an actor that was started before: return a new "
            f"one each time"
        )
    policy = cast("object", actor.mailbox)
    if not isinstance(policy, MailboxPolicy):
        raise TypeError(
            f"{process.path}: mailbox must be a MailboxPolicy, got {describe_value(policy)}"
        )
    # Not through the class's own __setattr__: a frozen class refuses.
    object.__setattr__(actor, "_process", process)
    process.mailbox.policy = policy
    if made.terminate is not Actor.terminate:
        process.scopes.add_stop()
    if not made._answers_calls:
        process.work.refuse_calls()
        # The name was registered before the actor was made, so calls may wait already.
        refuse_calls(process)
    return actor
