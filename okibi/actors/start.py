"""Start and stop an actor outside a supervisor."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import trio
from trio.lowlevel import checkpoint_if_cancelled, current_root_task

from .actor import Actor, make_actor
from .exits import SHUTDOWN, ExitReason, StartError, check_grace
from .mailbox import DEFAULT_POLICY, Mailbox, MailboxPolicy
from .names import Name, name_table, register
from .process import CURRENT, Process
from .ref import Ref
from .safe_repr import shape

A = TypeVar("A", bound=Actor)

START_TIMEOUT = 60.0
GRACE = 5.0


def spawn(
    nursery: trio.Nursery,
    factory: Callable[[], A],
    *,
    path: str,
    name: Name[A] | None = None,
    incarnation: int = 1,
    grace: float = GRACE,
    supervised: bool = False,
) -> Process:
    """Start an actor's task without waiting for `init`. `start` and supervisors use this.

    Args:
        nursery: runs the task.
        factory: makes the actor, in that task: the class, or any callable.
        path: the place in the supervision tree.
        name: registered before `init` runs; released before monitors are notified.
        incarnation: number of this start of the place, from 1.
        grace: seconds that the actor has to end after a stop; `math.inf` for no limit.
        supervised: whether a supervisor owns the actor. If True, a crash is not raised into the
            nursery, and the actor is shielded from outer cancellation.

    Raises:
        AlreadyRegistered: the name is taken.
    """
    policy = getattr(factory, "mailbox", None)
    if not isinstance(policy, MailboxPolicy):
        policy = DEFAULT_POLICY
    process = Process(
        path, incarnation, grace, Mailbox(policy), CURRENT.get(), not supervised,
        trio.current_time(), current_root_task(),
    )  # fmt: skip
    if name is not None:
        register(name, process)
    make = partial(make_actor, factory, process, None if name is None else name.actor)
    try:
        nursery.start_soon(process.live, make, name=path)
    except BaseException:
        # The nursery is closed.
        if name is not None:
            name_table().release(name.key)
        raise
    return process


async def wait_started(process: Process, timeout: float) -> None:
    """Wait until the `init` of a spawned process has returned. Cancellation leaves it running.

    Raises:
        StartError: `init` failed, or took longer than `timeout` seconds and was killed.
    """
    if await process.wait_started_within(timeout):
        return
    process.kill()
    # The name must be free when the starter gets the error (OTP: `init` that times out).
    await process.wait_dead()
    late = TimeoutError(f"its init took longer than {timeout:g} s")
    raise StartError(process.path, ExitReason("crashed", late))


async def start(
    nursery: trio.Nursery,
    factory: Callable[[], A],
    *,
    name: Name[A] | None = None,
    path: str | None = None,
    grace: float = GRACE,
    timeout: float = START_TIMEOUT,
) -> Ref[A]:
    """Start an actor outside a supervisor, and wait until its `init` has returned.

        async with trio.open_nursery() as nursery:
            visits = await start(nursery, Visits, name=VISITS)

    The nursery is the actor's link (OTP: `start_link`). A crash is raised into the nursery.
    Cancellation of the nursery stops the actor, which then has `grace` seconds for `terminate`. A
    stopped or killed actor does not affect the nursery (OTP: the link ends the parent too).

    Args:
        nursery: runs the actor's task.
        factory: makes the actor: its class, or a callable without arguments that returns an
            instance.
        name: registers the actor, so that others find it, also after a restart.
        path: the actor's name in logs. Default: the name's key, or the name of the factory.
        grace: seconds from a stop until the actor is killed. Default: 5.
        timeout: seconds that `init` may take. Default: 60.

    Returns:
        The address of the actor.

    Raises:
        StartError: `init` failed or took too long.
        AlreadyRegistered: the name is taken.
        TypeError: `nursery` is no nursery, `factory` is not callable, or `name` is no Name.
        ValueError: `grace` or `timeout` is negative or NaN.
    """
    _check_arguments(nursery, factory, name)
    where = path or (str(name.key) if name is not None else factory_name(factory))
    if not timeout >= 0:
        # Checked before the actor starts: a later error would leave an actor without a Ref to it.
        raise ValueError(f"{where}: timeout must be >= 0 seconds, got {timeout!r}")
    await checkpoint_if_cancelled()
    check_grace(where, grace)
    process = spawn(nursery, factory, path=where, name=name, grace=grace)
    try:
        await wait_started(process, timeout)
    except trio.Cancelled:
        # The caller gets no Ref to stop the actor with.
        process.stop()
        raise
    return Ref(process)


def _check_arguments(nursery: object, factory: object, name: object) -> None:
    """Check the types of the arguments of `start`.

    Raises:
        TypeError: one of them is wrong.
    """
    if not isinstance(nursery, trio.Nursery):
        raise TypeError(f"start(nursery, factory): expected a trio.Nursery, got {shape(nursery)}")
    if not callable(factory):
        got = shape(factory)
        if isinstance(factory, Actor):
            got = f"an instance of {got}: pass the class itself"
        raise TypeError(
            f"start(nursery, factory): expected a class or function that makes the actor, got {got}"
        )
    if name is not None and not isinstance(name, Name):
        raise TypeError(f"start(name=...): expected a Name, got {shape(name)}")


async def stop(
    ref: Ref[Any], reason: ExitReason = SHUTDOWN, *, grace: float | None = None
) -> ExitReason:
    """Stop an actor and wait until it has ended (OTP: `gen_server:stop`).

    Args:
        ref: the address of the actor.
        reason: the exit reason for `terminate`, the monitors and the supervisor. Default: SHUTDOWN.
        grace: seconds until the actor is killed. Default: the actor's own grace. To stop waiting
            without killing the actor, use `trio.move_on_after`.

    Returns:
        The reason for the end of the actor.

    Raises:
        CallingSelf: an actor would wait for its own end; use `raise Exit(reason)`.
        TypeError: `reason` is no ExitReason.
        ValueError: `grace` is negative or NaN.
    """
    ref.stop(reason, grace=grace)
    return await ref.wait()


def factory_name(factory: Callable[..., object]) -> str:
    """Return the name of a factory; of a partial, the name of the wrapped callable."""
    inner = getattr(factory, "func", factory)
    return getattr(inner, "__name__", type(inner).__name__)
