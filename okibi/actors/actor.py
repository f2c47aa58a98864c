"""An actor: one task, one mailbox, one life. `Server` is what most are; this is for the rest."""

import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast, get_origin, overload

import trio

from .exits import ExitReason
from .hook_errors import awaited
from .mailbox import DEFAULT_POLICY, MailboxPolicy
from .monitors import Monitor, Watched, watch
from .process import Process
from .ref import Address, Ref, refuse_calls
from .safe_repr import misplaced, shape
from .timers import Interval, Timer
from .trio_internals import Turn

if TYPE_CHECKING:
    from .status import Status

A = TypeVar("A", bound="Actor")
M = TypeVar("M")


class Actor:
    """Something that lives: override `run`, and `init` and `terminate` where they are needed.

    >>> import trio
    >>> from okibi.actors import Actor, start
    >>> class Counter(Actor):
    ...     async def run(self):
    ...         total = 0
    ...         while (number := await self.receive()) is not None:
    ...             total += number
    ...         print("in all", total)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         counter = await start(nursery, Counter)
    ...         for message in (1, 2, None):
    ...             await counter.send(message)
    >>> trio.run(main)
    in all 3

    Subclasses may be attrs classes (`@attrs.define(eq=False)`: an actor is itself, not its
    fields) or plain ones. An instance is made anew for every start, by the factory of its child
    spec, in the task it then lives in.

    Attributes:
        mailbox: how much may wait for an actor of this class, and what becomes of more.
    """

    __slots__ = ("__weakref__", "_process")

    mailbox: ClassVar[MailboxPolicy] = DEFAULT_POLICY
    # Whether its methods are messages: a call of one that receives them itself would wait for ever.
    _answers: ClassVar[bool] = False
    _process: Process

    # -- to override

    async def init(self) -> None:
        """Get ready. Whoever starts the actor waits for this; what it raises fails the start."""

    async def run(self) -> None:
        """Live. The actor ends when this returns (`normal`) or raises (`crashed`)."""
        raise NotImplementedError(f"{type(self).__name__} needs a `run`")

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up. Awaiting is allowed, within the grace; not run when the actor is killed.

        Args:
            reason: why it ends.
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
            status: `state`, `message`, `reply`, `reason` and `log`. A field that an attrs class
                has declared with `repr=False` is not in the state.

        Returns:
            What may be shown. Of a value the type and the length are shown, unless the process is
            asked for values (`OKIBI_CRASH_REPORTS=full`). A text in the place of something else is
            shown as it is.
        """
        return status

    # -- to use inside

    @property
    def ref(self) -> Ref[Self]:
        """This incarnation's own address."""
        return Ref(self._process)

    @property
    def path(self) -> str:
        """Where it stands in its tree."""
        return self._process.path

    def receive(self) -> Coroutine[Any, Any, Any]:
        """Wait for the next message: what monitors and timers brought first, then what was sent.

        To be awaited; no `async def`, which would put one more frame on every message's way.

        Raises:
            trio.BusyResourceError: another task waits for this actor's messages already.
            RuntimeError: it has ended, or ends meanwhile, so none comes.
        """
        process = self._process
        process.turn_to_mailbox()
        return process.mailbox.receive()

    @overload
    def monitor(self, watched: Address[Any], /) -> Monitor: ...

    @overload
    def monitor(self, watched: Watched[M], /) -> M: ...

    def monitor(self, watched: Address[Any] | Watched[M], /) -> Monitor | M:
        """Be told of what happens to somebody else (OTP: `monitor/2`, `pg:monitor/2`).

        Args:
            watched: an address, or a CallingTask, for one `Down` when whoever is there now ends; a
                Group, for a `Joined` or `Left` at each change, and a monitor that has the `members`
                of now; a Pending or a Task, for one `Result` when there is one.

        Raises:
            RuntimeError: it lives in another run of trio's, this is no thread that runs trio, or a
                Pending was abandoned.
            TypeError: it is something else.
        """
        if isinstance(watched, Address):
            return watch(self._process, watched)
        if not hasattr(watched, "watched_by"):
            raise TypeError(
                f"{self._process.path}: monitor takes an address, a Group, a Pending or a Task, "
                f"not {shape(watched)}"
            )
        return watched.watched_by(self._process)

    def send_after(self, seconds: float, message: object) -> Timer:
        """Send a message to oneself after a while (OTP: `erlang:send_after`).

        Raises:
            ValueError: `seconds` is not a number.
        """
        if seconds != seconds:
            raise ValueError(f"{self._process.path}: a timer cannot ring after {seconds} s")
        timer = Timer(trio.current_time() + seconds, message)
        self._process.mailbox.add(timer)
        return timer

    def send_every(self, seconds: float, message: object) -> Timer:
        """Send a message to oneself again and again (OTP: `timer:send_interval`).

        The first comes after `seconds`, the others on a fixed schedule from now on: a late one
        delays no other. Those missed while the actor was busy, or its sandbox frozen, are not
        made up: one comes, then the schedule goes on. It stops when the timer is cancelled, or
        with the actor.

        Args:
            seconds: from one to the next.
            message: what `handle_info` or `receive` is given each time.

        Raises:
            ValueError: `seconds` is not more than 0, or not finite.
        """
        if not 0 < seconds < math.inf:
            raise ValueError(f"{self._process.path}: a timer cannot ring every {seconds} s")
        timer = Interval(trio.current_time(), seconds, message)
        self._process.mailbox.add(timer)
        return timer

    # -- the course of a life, for those who must stand around it (a supervisor's nursery)

    async def live(self, started: Callable[[], None]) -> None:
        """Run `init`, tell the starter, run `run`."""
        await awaited(self.init(), self, "init")
        started()
        await awaited(self.run(), self, "run")

    def _redacts(self) -> bool:
        """Whether it has a `format_status` of its own."""
        return getattr(self.format_status, "__func__", None) is not Actor.format_status

    def _was_told(self, crash: BaseException) -> bool:
        """Whether the report of another actor's end has said where this crash comes from."""
        return False

    def __repr__(self) -> str:
        process = getattr(self, "_process", None)
        where = f"{process.path} incarnation {process.incarnation}" if process else "not started"
        return f"<{type(self).__name__} {where}>"


def receiver_of(actor: Actor, turn: Turn | None = None) -> Callable[[], Awaitable[Any]]:
    """What does as the actor's `receive`, for a loop of its own that waits at one place only.

    Made once, by the task that waits and inside the nurseries that stand around its loop, it spares
    each wait a frame and two calls. It may give LOOK, which is no message: it is to be asked again.

    Args:
        turn: what the loop does with a message, LOOK among them, if it never waits over one: then
            whoever gives it a turn while the loop waits has it done at once (`trio_internals`).
    """
    process = actor._process
    process.turn_to_mailbox()
    return process.mailbox.receiver(turn)


def place(actor: object, process: Process, wanted: type[Any] | None) -> Actor:
    """Put a newly made actor into its process.

    Raises:
        TypeError: the factory made something else than an actor, or than its name promises.
    """
    if not isinstance(actor, Actor):
        raise TypeError(f"{process.path}: the factory made {shape(actor)}, which is no Actor")
    made = type(actor)
    # `Pool[Connection]` promises a Pool; isinstance knows no more.
    if wanted not in (None, made) and not isinstance(actor, get_origin(wanted) or wanted):
        raise TypeError(f"{process.path}: its name promises {wanted.__name__}, not {made.__name__}")
    if hasattr(actor, "_process"):
        raise TypeError(f"{process.path}: the factory gave an actor that has lived before")
    if not isinstance(cast("object", actor.mailbox), MailboxPolicy):
        raise TypeError(
            f"{process.path}: mailbox is a MailboxPolicy, not {misplaced(actor.mailbox)}"
        )
    # Past the class's own __setattr__: it may be a frozen one.
    object.__setattr__(actor, "_process", process)
    process.cleans_up = made.terminate is not Actor.terminate
    process.answers = made._answers
    if not process.answers:
        # Its name was taken before it was made.
        refuse_calls(process)
    return actor
