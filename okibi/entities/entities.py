"""Entities: the addresses of entities, and the path of a call."""

import contextvars
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import attrs
import msgspec
import trio
from msgspec.structs import replace

from ..actors import Refusal, logs
from ..actors.deadline_margin import time_left
from ..actors.exits import CallCycle
from ..actors.loops import LOOPS
from ..actors.trio_internals import sniffio
from .alarms import Alarm, LocalRings, Rings
from .calls import (
    MOST_DEATHS,
    Caller,
    Handle,
    Handled,
    MailFull,
    Message,
    MessageForgotten,
    SetAside,
    Turn,
)
from .entity import (
    RUNNING,
    Entity,
    Running,
    Saved,
    fields_of,
    load_entity,
    load_state,
    save_state,
    without_alarm,
)
from .messages import (
    Body,
    convert_arguments,
    decode_message,
    encode_alarm,
    encode_error,
    encode_message,
    encode_value,
    may_wait,
    read_value,
    take_reply,
)
from .rows import REPLY_MARGIN, Mail, Outgoing
from .stores import MemoryStore, Store

logger = logs.logger("okibi")

E = TypeVar("E", bound=Entity)
P = ParamSpec("P")
R = TypeVar("R")

# Seconds of a call that has no deadline.
LONGEST_CALL = 60.0
# Seconds for which the reply to a call that runs once is kept: Lambda repeats a failed event twice
# within minutes.
ONCE_KEPT = 3600.0
# How the senders of such calls begin.
ONCE = "once:"
# Entities that a sender remembers; then another one sends.
MOST_NUMBERS = 1000
# Messages that one message may send to other entities.
MOST_OUTGOING = 64
# Attempts at a cast or an alarm whose method raises, and the seconds between the first two.
ATTEMPTS = 3
FIRST_RETRY = 0.1
# Milliseconds after which a ring that has not come will not come.
OVERDUE = 180_000


class NoEntityStore(RuntimeError):
    """No EntityStore runs here."""


class AlarmNotScheduled(Exception):
    """The ring for an alarm could not be scheduled. The state is as it was before the message."""


@attrs.define(eq=False)
class Sender:
    """Sends one message at a time.

    Attributes:
        name: see Mail.
        numbers: by entity, the number of the last message.
    """

    name: str
    numbers: dict[str, int] = attrs.Factory(dict[str, int])

    def next_number(self, key: str) -> int:
        """Count a message to an entity."""
        number = self.numbers[key] = self.numbers.get(key, 0) + 1
        return number


@attrs.define(eq=False)
class Sandbox:
    """What the calls of one EntityStore share.

    Attributes:
        store: keeps the rows.
        rings: has entities rung.
        senders: senders that no call uses now.
        held: the runs that own an entity now.
        kinds: by kind, the addresses that were called.
        callers: what calls them on the quiet path.
        may_wait: whether the store or the rings may wait for anything.
    """

    store: Store
    rings: Rings
    senders: list[Sender] = attrs.Factory(list[Sender])
    held: dict[str, Turn] = attrs.Factory(dict[str, Turn])
    kinds: "dict[str, Entities[Any]]" = attrs.Factory(dict[str, "Entities[Any]"])
    callers: "dict[Entities[Any], Caller]" = attrs.Factory(dict["Entities[Any]", Caller])
    may_wait: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.may_wait = type(self.store) is not MemoryStore or type(self.rings) is not LocalRings

    def caller(self, handle: Handle, set_aside: SetAside, *, is_quiet: bool = True) -> Caller:
        """Return what calls entities from this sandbox; see Caller."""
        return Caller(
            self.store, handle, set_aside, self.new_run, is_quiet,
            ring_doorbell=ring_doorbell, held=self.held,
        )  # fmt: skip

    def quiet_caller(self, entities: "Entities[Any]") -> Caller:
        """Return what calls entities on the quiet path. The errors are those of `caller`."""
        caller = self.callers.get(entities)
        if caller is None:
            caller = self.callers[entities] = entities.caller(self)
        return caller

    def take_back(self, sender: Sender | None) -> None:
        """Keep a sender for the next call."""
        if sender is not None and len(sender.numbers) <= MOST_NUMBERS:
            self.senders.append(sender)

    def find_entities(self, key: str) -> "Entities[Any] | None":
        """Return the addresses that an entity belongs to, or None.

        Several functions may stand in one process of tests, with a class of one kind each.
        """
        kind = key.partition("/")[0]
        return self.kinds.get(kind) or _KINDS.get(kind)

    def new_run(self) -> str:
        """Return a name that no run and no sender has, also after the restore of a snapshot."""
        return os.urandom(9).hex()

    def message_deadline(self) -> int:
        """Return the deadline of a message of the current task, by the store's clock.

        It comes shortly before the task's own, so the error of a late call reaches the task.
        """
        return self.store.now() + int(1000 * min(time_left(), LONGEST_CALL))


CURRENT: "trio.lowlevel.RunVar[Sandbox]" = trio.lowlevel.RunVar("okibi's entities")
# In a test with several sandboxes, the sandbox of a task.
OF_TASK: contextvars.ContextVar[Sandbox] = contextvars.ContextVar("sandbox of a test")


def current_sandbox() -> Sandbox:
    """Return what the calls of this run share.

    Raises:
        NoEntityStore: no EntityStore runs.
        RuntimeError: this code runs in a thread.
    """
    if not trio.lowlevel.in_trio_task():
        raise RuntimeError(
            "entities are called by async code: in a thread use `trio.from_thread.run("
            "CARTS[key].call, Cart.add, ...)`"
        )
    try:
        return OF_TASK.get(None) or CURRENT.get()
    except LookupError:
        raise NoEntityStore(
            "no EntityStore runs here: add Child(EntityStore) to the children of the Function, or "
            "to another supervisor"
        ) from None


class Entities(Generic[E]):
    """The addresses of all entities of a class; `CARTS["bob"]` is one of them.

    An entity needs no start: the first message finds it with the defaults of its fields.

        CARTS = Entities("cart", Cart)
        total = await CARTS["bob"].call(Cart.add, "tea")

    Args:
        kind: the name of the class in the store. The class may change its name; the kind may not.
        entity: the class.
        doorbell: whether a cast to an entity that nobody runs has its mail run soon: on Lambda by
            an invocation of this function. Else the mail waits for the next call.

    Raises:
        TypeError: a field of the class cannot be saved.
        ValueError: `kind` is empty or has a slash.
    """

    def __init__(self, kind: str, entity: type[E], *, doorbell: bool = False) -> None:
        if not kind or "/" in kind:
            raise ValueError(f"Entities: kind is a name without a slash, got {kind!r}")
        fields_of(entity)
        self.kind = kind
        self.entity = entity
        self.doorbell = doorbell
        _KINDS[kind] = self

    def __getitem__(self, key: str) -> "EntityRef[E]":
        return EntityRef(self, f"{self.kind}/{key}")

    def __repr__(self) -> str:
        return f"<Entities {self.kind} of {self.entity.__qualname__}>"

    async def handle(self, sandbox: Sandbox, key: str, state: str, mail: Mail) -> Handled:
        """Run one message on a state. A cast and an alarm are tried again, then set aside."""
        kind, alarm, attempt = "call", "", 0
        while True:
            attempt += 1
            try:
                body = decode_message(mail.body)
                kind, saved = body.kind, load_state(self.entity, state)
                if kind != "alarm":
                    return await self._run(sandbox, key, saved, body)
                due: int = body.arguments[0]
                alarm = first_due(saved.alarms, due)
                return await self._run_alarm(sandbox, key, saved, alarm, due)
            except Refusal as refusal:
                if kind == "call":
                    return Handled(state, encode_error(refusal))
                failure: BaseException = refusal
            except (Exception, SystemExit) as error:
                failure = error
            logger.error("%s: a %s failed", key, alarm or kind, exc_info=failure)
            if kind == "call" and mail.sender.startswith(ONCE):
                # It has not run once: the next call with the key runs it again.
                return Handled(state, None, failure=encode_error(failure))
            if kind == "call" or attempt == ATTEMPTS:
                if alarm and not isinstance(failure, AlarmNotScheduled):
                    state = without_alarm(state, alarm)
                return Handled(state, encode_error(failure), is_dead=kind == "cast")
            del failure
            await trio.sleep(FIRST_RETRY * 4 ** (attempt - 1))

    async def _run_alarm(
        self, sandbox: Sandbox, key: str, saved: Saved, alarm: str, due: int
    ) -> Handled:
        """Run an alarm, or none for ""; the reply is the number of those that are still due."""
        alarms = {name: at for name, at in saved.alarms.items() if name != alarm}
        left = sum(at <= due for at in alarms.values())
        saved = replace(saved, alarms=alarms, ring=saved.ring if saved.ring > due else 0)
        return await self._run(sandbox, key, saved, Body(alarm, (), {}), left)

    async def _run(
        self, sandbox: Sandbox, key: str, saved: Saved, body: Body, reply: Any = None
    ) -> Handled:
        """Run the method that a message names, or none for "". An alarm has its reply already."""
        running = Running((*body.chain, key), sandbox.store.now(), dict(saved.alarms))
        entity = load_entity(self.entity, saved)
        if body.method:
            token = RUNNING.set(running)
            try:
                method = getattr(self.entity, body.method)
                arguments, options = convert_arguments(method, body)
                value = await method(entity, *arguments, **options)
                reply = value if reply is None else reply
            finally:
                RUNNING.reset(token)
        ring = saved.ring
        if running.alarms:
            ring = await _schedule(sandbox, key, running, ring)
        state = save_state(entity, running.alarms, ring)
        return Handled(state, encode_value(reply), tuple(running.outgoing))

    def caller(self, sandbox: Sandbox, *, is_quiet: bool = True) -> Caller:
        """Return what calls these entities from a sandbox; see Caller.

        Raises:
            TypeError: another class has the kind.
        """
        first = sandbox.kinds.setdefault(self.kind, self)
        if first.entity is not self.entity:
            raise TypeError(
                f"{first!r} and {self!r} have one kind, so they would share entities: give one of "
                "them another kind"
            )
        handle = partial(self.handle, sandbox)
        return sandbox.caller(handle, _set_aside_message, is_quiet=is_quiet)


# The addresses by kind, for rings.
_KINDS: WeakValueDictionary[str, Entities[Any]] = WeakValueDictionary()


def first_due(alarms: Mapping[str, int], due: int) -> str:
    """Return the method of the first alarm that is due at a time; "" for none."""
    first = min(alarms, key=alarms.__getitem__, default="")
    return first if first and alarms[first] <= due else ""


async def _schedule(sandbox: Sandbox, key: str, running: Running, ring: int) -> int:
    """Have an entity rung for its first alarm; return the time of the ring that is scheduled.

    Args:
        sandbox: has the rings.
        key: the entity.
        running: has the alarms.
        ring: the time of the ring that is scheduled already; 0 for none.

    Raises:
        AlarmNotScheduled: it could not be scheduled.
    """
    if not running.alarms:
        return ring
    rings = sandbox.rings
    at = rings.time_of(min(running.alarms.values()), running.now)
    if ring and ring <= at and ring + OVERDUE > running.now:
        # An entity that is rung too early has itself rung again.
        return ring
    try:
        await rings.ring_at(Alarm(at, key))
    except Exception as error:
        raise AlarmNotScheduled(f"no ring for the alarms of {key}: {error}") from error
    return at


async def ring(key: str, due: int | None) -> None:
    """Run the alarms of an entity that are due at a time; its mail for None.

    Raises:
        LookupError: no Entities of this program have its kind.
        EntityCrashed: an alarm has raised three times, and is set aside.
    """
    sandbox = current_sandbox()
    entities = sandbox.find_entities(key)
    if entities is None:
        raise LookupError(
            f"{key} was rung, and no Entities of this program have its kind: import their module "
            "in the handler's module"
        )
    # With the lease: an alarm has effects elsewhere.
    caller = entities.caller(sandbox, is_quiet=False)
    if due is None:
        await caller.drain(key, waits=True)
        return
    number, left = 0, 1
    # A ring that comes twice finds nothing due.
    sender = sandbox.new_run()
    while left:
        number += 1
        message = Message(sender, number, encode_alarm(due), sandbox.message_deadline())
        left = read_value("an alarm", key, (await caller.call(key, message)).body)


async def ring_doorbell(key: str) -> None:
    """Have the mail of an entity run soon, if its class has a doorbell."""
    sandbox = current_sandbox()
    entities = sandbox.find_entities(key)
    if entities is None or not entities.doorbell:
        return
    try:
        await sandbox.rings.ring_now(key)
    except Exception as error:
        logger.warning("%s: its doorbell failed; its mail waits for a call: %s", key, error)


class EntityRef(msgspec.Struct, Generic[E], frozen=True):
    """The address of one entity.

    Args:
        entities: the addresses that this one belongs to.
        key: the kind and the key.
        once_key, kept: see `once`.
    """

    entities: Entities[E]
    key: str
    once_key: str | None = None
    kept: float = ONCE_KEPT

    def once(self, key: str, kept: float = ONCE_KEPT) -> "EntityRef[E]":
        """Return an address under which a method runs once for a key.

        A later call of the same method with the key gets the reply of the first, a Refusal too. A
        call that raised another exception has not run, and is run again.

        Args:
            key: identifies the message, such as the id of the event.
            kept: seconds after the first call for which its reply is kept. Each change of the
                entity writes it again.
        """
        return replace(self, once_key=key, kept=kept)

    async def call(
        self,
        method: Callable[Concatenate[E, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Have the entity run one of its methods, and wait for the reply; also on asyncio.

        The caller runs the method itself, on the saved state, if no other caller runs the entity
        at this moment. The method may run more than once; the state changes once.

        Args:
            method: a public async method of the entity's class.
            *args, **kwargs: the method's arguments.

        Raises:
            Refusal: the method has refused.
            EntityCrashed: the method raised another exception.
            CallLate: there was no reply 0.1 s before the caller's deadline, or within a minute.
            MailFull: too many messages wait.
            EntityFull: mail and replies of the entity have too many bytes.
            CallCycle: this message waits for the same entity already.
            NoEntityStore: no EntityStore runs here.
            TypeError: the method does not accept the arguments.
            ValueError: the arguments have more than 32 KB of JSON.
        """
        if sniffio.name == "asyncio":
            act = partial(self.call, method, *args, **kwargs)
            result: R = await LOOPS["asyncio"].run_on_trio(act)
            return result
        running = RUNNING.get()
        chain = () if running is None else running.chain
        if self.key in chain:
            cycle = (*chain[chain.index(self.key) :], self.key)
            raise CallCycle("entities would wait for each other: " + " -> ".join(cycle), cycle)
        body = encode_message(method, args, kwargs, chain)
        sandbox = current_sandbox()
        caller = sandbox.quiet_caller(self.entities)
        sender, message = self._message(sandbox, method.__name__, body)
        try:
            # The method that will run: a subclass may have its own.
            named: Any = getattr(self.entities.entity, method.__name__, method)
            waits = sandbox.may_wait or may_wait(named)
            reply = (await caller.call(self.key, message, may_wait=waits)).body
        except MessageForgotten as forgotten:
            reply = forgotten.failure
        finally:
            sandbox.take_back(sender)
        return take_reply(method, self.key, reply)  # type: ignore[no-any-return]

    async def cast(
        self,
        method: Callable[Concatenate[E, P], Awaitable[Any]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Leave a message; the next caller of the entity runs it first. Also on asyncio.

        A method of an entity saves the message with the state: either both happen, or none does.
        A method that raises is tried three times; then the message is set aside, and logged.

        Args:
            method: a public async method of the entity's class.
            *args, **kwargs: the method's arguments.

        Raises:
            CallLate: the store did not answer before the caller's deadline, or within a minute.
            MailFull: too many messages wait.
            EntityFull: mail and replies of the entity have too many bytes.
            NoEntityStore: no EntityStore runs here.
            TypeError: the method does not accept the arguments.
            ValueError: the arguments have more than 32 KB of JSON, or a method of an entity casts
                to an address of `once`.
        """
        if sniffio.name == "asyncio":
            await LOOPS["asyncio"].run_on_trio(partial(self.cast, method, *args, **kwargs))
            return
        body = encode_message(method, args, kwargs, kind="cast")
        running = RUNNING.get()
        if running is not None:
            await trio.lowlevel.checkpoint()
            self._send_with_state(running, body)
            return
        sandbox = current_sandbox()
        caller = sandbox.quiet_caller(self.entities)
        sender, message = self._message(sandbox, method.__name__, body)
        try:
            row = await caller.leave(self.key, message)
        finally:
            sandbox.take_back(sender)
        if row.owner is None and len(row.mail) == 1:
            await ring_doorbell(self.key)

    def _send_with_state(self, running: Running, body: str) -> None:
        """Save a cast with the state of the entity that sends it."""
        if self.once_key is not None:
            raise ValueError(
                f"{self.key}: a cast by an entity is sent once anyway, so it takes no `once`"
            )
        if len(running.outgoing) == MOST_OUTGOING:
            raise MailFull(f"{running.chain[-1]}: a message casts {MOST_OUTGOING} times at most")
        running.outgoing.append(Outgoing(self.key, body))

    def _message(self, sandbox: Sandbox, method: str, body: str) -> tuple[Sender | None, Message]:
        """Make the message; the sandbox must get its sender back."""
        deadline = sandbox.message_deadline()
        if self.once_key is not None:
            name = f"{ONCE}{method}:{self.once_key}"
            return None, Message(name, 1, body, deadline, as_kept(self.kept))
        # A sender sends one message at a time.
        sender = sandbox.senders.pop() if sandbox.senders else Sender(sandbox.new_run())
        return sender, Message(sender.name, sender.next_number(self.key), body, deadline)


def as_kept(seconds: float) -> int:
    """Return how long a reply is kept after the deadline, in milliseconds."""
    return max(int(1000 * seconds), REPLY_MARGIN)


def _set_aside_message(key: str, state: str, mail: Mail) -> Handled:
    body = decode_message(mail.body)
    name = body.method
    if body.kind == "alarm":
        name = first_due(load_state(Entity, state).alarms, body.arguments[0])
        if name:
            # Else the next ring would run it again.
            state = without_alarm(state, name)
    return set_aside(key, name, state)


def set_aside(key: str, name: str, state: str) -> Handled:
    """Handle a message that has ended the sandboxes that ran it."""
    logger.error("%s: %s has ended %d runs and is set aside", key, name, MOST_DEATHS)
    error = EndsSandboxes(f"the message has ended {MOST_DEATHS} runs, and is set aside")
    return Handled(state, encode_error(error), is_dead=True)


class EndsSandboxes(Exception):
    """A message has ended the sandboxes that ran it."""
