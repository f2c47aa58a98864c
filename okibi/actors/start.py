"""Starting an actor: in a nursery, with a name or without, acknowledged."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import trio
from trio.lowlevel import checkpoint_if_cancelled, current_root_task

from .actor import Actor, place
from .exits import SHUTDOWN, ExitReason, StartError, check_grace
from .mailbox import DEFAULT_POLICY, Mailbox, MailboxPolicy
from .names import Name, register
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
    """Begin a life in `nursery` without waiting for its `init`: what `start` and supervisors use.

    Args:
        factory: makes the actor, in its own task; a class, or any callable.
        path: where it stands in its tree.
        name: taken before `init`, free before anybody is told of the end.
        incarnation: which start of that place this is.
        grace: seconds it has to end once asked; infinity for no limit.
        supervised: its end goes to whoever watches it, never into the nursery, and outer
            cancellation does not reach it.

    Raises:
        AlreadyRegistered: the name is taken.
        ValueError: `grace` is less than 0, or not a number.
    """
    check_grace(path, grace)
    policy = getattr(factory, "mailbox", None)
    if not isinstance(policy, MailboxPolicy):
        policy = DEFAULT_POLICY
    process = Process(path, incarnation, grace, Mailbox(policy), CURRENT.get(), not supervised)
    process.began, process.root = trio.current_time(), current_root_task()
    if name is not None:
        register(name, process)
    process.factory = partial(_make, factory, process, None if name is None else name.actor)
    try:
        nursery.start_soon(process.live, name=path)
    except BaseException:
        # A nursery that is closed already: nobody would ever give the name back.
        if process.release_name is not None:
            process.release_name()
        raise
    return process


def _make(factory: Callable[[], Any], process: Process, wanted: type[Any] | None) -> Actor:
    try:
        made = factory()
    except AttributeError as error:
        # Others may have an attribute of that name, too.
        if error.name != "_process" or not isinstance(error.obj, Actor):
            raise
        raise AttributeError(
            f"{process.path}: while it is made it has no path, no mailbox and no timers yet: "
            f"what its __init__ does with them belongs in `init`"
        ) from error
    actor = place(made, process, wanted)
    process.mailbox.policy = actor.mailbox
    return actor


async def wait_started(process: Process, timeout: float) -> None:
    """Wait for the `init` of a process that was spawned. Cancelled, it leaves the process alone.

    Raises:
        StartError: it failed, or took longer than `timeout` seconds and was killed.
    """
    if await process.starts_within(timeout):
        return
    process.kill()
    # Its name is free before the starter is told (OTP: `init` that times out).
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
    """Start an actor outside any supervisor and wait until its `init` has returned.

    The nursery is its link (OTP: `start_link`): a crash is raised into it, and its cancellation
    ends the actor, which then still has `grace` seconds for its `terminate`. An actor that is
    stopped or killed ends alone (OTP: the link takes its parent along).

    Args:
        nursery: it lives in this one.
        factory: makes the actor; its class, or any callable that gives an instance.
        name: an address for others that survives restarts.
        path: what it is called in logs; the name, or the factory's name, if left out.
        grace: seconds from being asked to stop until it is killed.
        timeout: seconds that `init` may take.

    Raises:
        StartError: `init` failed or took too long.
        AlreadyRegistered: the name is taken.
        TypeError: `nursery` is none, `factory` cannot be called, or `name` is no Name.
        ValueError: `grace` or `timeout` is less than 0, or not a number.
    """
    _check_order(nursery, factory, name)
    where = path or (str(name.key) if name is not None else factory_name(factory))
    if not timeout >= 0:
        # Found later, it would leave an actor behind that nobody has a Ref of.
        raise ValueError(f"{where}: its init may take 0 seconds or more, not {timeout!r}")
    await checkpoint_if_cancelled()
    process = spawn(nursery, factory, path=where, name=name, grace=grace)
    try:
        await wait_started(process, timeout)
    except trio.Cancelled:
        # Nobody was given its Ref, so nobody else could end it.
        process.stop()
        raise
    return Ref(process)


def _check_order(nursery: object, factory: object, name: object) -> None:
    """Refuse what stands in another's place.

    Raises:
        TypeError: it does.
    """
    if not isinstance(nursery, trio.Nursery):
        raise TypeError(
            f"a start takes a nursery, then what makes the actor: first is {shape(nursery)}"
        )
    if not callable(factory):
        raise TypeError(
            f"a start is given what makes the actor, as its class does: no {shape(factory)}"
        )
    if name is not None and not isinstance(name, Name):
        raise TypeError(f"what an actor is to bear is a Name or None, not {shape(name)}")


async def stop(
    ref: Ref[Any], reason: ExitReason = SHUTDOWN, *, grace: float | None = None
) -> ExitReason:
    """Ask an actor to end, wait until it has, and say why it did (OTP: `gen_server:stop`).

    Args:
        ref: whom.
        reason: what its `terminate`, its monitors and its supervisor are told.
        grace: seconds after which it is killed; its own, if left out. To wait no longer than that
            but let it live, use `trio.move_on_after`.

    Raises:
        CallingSelf: an actor would wait for its own end; `raise Exit(reason)` ends it.
        TypeError: `reason` is no ExitReason.
        ValueError: `grace` is less than 0, or not a number.
    """
    ref.stop(reason, grace=grace)
    return await ref.wait()


def factory_name(factory: Callable[..., object]) -> str:
    """What to call a factory: its name, or that of what a partial wraps."""
    inner = getattr(factory, "func", factory)
    return getattr(inner, "__name__", type(inner).__name__)
