"""Entities: the addresses of entities, and the path of a call."""

import contextvars
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import attrs
import trio

from ..actors import Refusal, logs
from ..actors.exits import CallCycle
from .calls import MOST_DEATHS, Caller, Handled, Message
from .entity import Entity, fields_of, load_entity, save_state
from .messages import (
    Chain,
    convert_arguments,
    decode_message,
    encode_error,
    encode_message,
    encode_value,
    take_reply,
)
from .rows import REPLY_MARGIN, Mail
from .stores import Store

logger = logs.logger("okibi")

E = TypeVar("E", bound=Entity)
P = ParamSpec("P")
R = TypeVar("R")

# Seconds of a call that has no deadline.
LONGEST_CALL = 60.0
# Seconds for which the reply to a call that runs once is kept: Lambda repeats a failed event twice
# within minutes.
ONCE_KEPT = 3600.0
# Entities that a sender remembers; then another one sends.
MOST_NUMBERS = 1000

# The entities whose messages run here, or wait for this message.
_CHAIN: contextvars.ContextVar[Chain] = contextvars.ContextVar("entities that wait", default=())


class NoEntityStore(RuntimeError):
    """No EntityStore runs here."""


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
        senders: senders that no call uses now.
    """

    store: Store
    senders: list[Sender] = attrs.Factory(list[Sender])

    def new_run(self) -> str:
        """Return a name that no run and no sender has, also after the restore of a snapshot."""
        return os.urandom(9).hex()

    def message_deadline(self) -> int:
        """Return the deadline of a message of the current task, by the store's clock."""
        left = trio.current_effective_deadline() - trio.current_time()
        return self.store.now() + int(1000 * max(0.0, min(left, LONGEST_CALL)))


CURRENT: "trio.lowlevel.RunVar[Sandbox]" = trio.lowlevel.RunVar("okibi's entities")


def current_sandbox() -> Sandbox:
    """Return what the calls of this run share.

    Raises:
        NoEntityStore: no EntityStore runs.
    """
    try:
        return CURRENT.get()
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

    Raises:
        TypeError: a field of the class cannot be saved.
        ValueError: `kind` is empty or has a slash.
    """

    def __init__(self, kind: str, entity: type[E]) -> None:
        if not kind or "/" in kind:
            raise ValueError(f"Entities: kind is a name without a slash, got {kind!r}")
        fields_of(entity)
        self.kind = kind
        self.entity = entity

    def __getitem__(self, key: str) -> "EntityRef[E]":
        return EntityRef(self, f"{self.kind}/{key}")

    def __repr__(self) -> str:
        return f"<Entities {self.kind} of {self.entity.__qualname__}>"

    async def handle(self, key: str, state: str, mail: Mail) -> Handled:
        """Run one message on a state."""
        token: contextvars.Token[Chain] | None = None
        try:
            body = decode_message(mail.body)
            token = _CHAIN.set((*body.chain, key))
            method = getattr(self.entity, body.method)
            entity = load_entity(self.entity, state)
            arguments, options = convert_arguments(method, body)
            value = await method(entity, *arguments, **options)
            return Handled(save_state(entity), encode_value(value))
        except Refusal as refusal:
            return Handled(state, encode_error(refusal))
        except (Exception, SystemExit) as error:
            logger.error("%s: a message failed", key, exc_info=error)
            return Handled(state, encode_error(error))
        finally:
            if token is not None:
                _CHAIN.reset(token)


@attrs.frozen
class EntityRef(Generic[E]):
    """The address of one entity.

    Args:
        entities: the addresses that this one belongs to.
        key: the kind and the key.
        once_key, kept: see `once`.
    """

    entities: Entities[E] = attrs.field(repr=False)
    key: str
    once_key: str | None = None
    kept: float = ONCE_KEPT

    def once(self, key: str, kept: float = ONCE_KEPT) -> "EntityRef[E]":
        """Return an address under which calls with the same key run once.

        A later call with the key gets the reply of the first.

        Args:
            key: identifies the message, such as the id of the event.
            kept: seconds after the first call for which its reply is kept. Each change of the
                entity writes it again.
        """
        return attrs.evolve(self, once_key=key, kept=kept)

    async def call(
        self,
        method: Callable[Concatenate[E, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Have the entity run one of its methods, and wait for the reply.

        The caller runs the method itself, on the saved state, if no other caller runs the entity
        at this moment. The method may run more than once; the state changes once.

        Args:
            method: a public async method of the entity's class.
            *args, **kwargs: the method's arguments.

        Raises:
            Refusal: the method has refused.
            EntityCrashed: the method raised another exception.
            CallLate: there was no reply before the caller's deadline, or within a minute.
            MailFull: too many messages wait.
            CallCycle: this message waits for the same entity already.
            NoEntityStore: no EntityStore runs here.
            TypeError: the method does not accept the arguments.
        """
        chain = _CHAIN.get()
        if self.key in chain:
            cycle = (*chain[chain.index(self.key) :], self.key)
            raise CallCycle("entities would wait for each other: " + " -> ".join(cycle), cycle)
        with self._message(method, args, kwargs, chain) as (caller, message):
            reply = await caller.call(self.key, message)
        return take_reply(method, self.key, reply.body)  # type: ignore[no-any-return]

    async def cast(
        self,
        method: Callable[Concatenate[E, P], Awaitable[Any]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Leave a message; the next caller of the entity runs it first.

        Args:
            method: a public async method of the entity's class.
            *args, **kwargs: the method's arguments.

        Raises:
            CallLate: the store did not answer before the caller's deadline, or within a minute.
            MailFull: too many messages wait.
            NoEntityStore: no EntityStore runs here.
            TypeError: the method does not accept the arguments.
        """
        with self._message(method, args, kwargs, ()) as (caller, message):
            await caller.leave(self.key, message)

    @contextmanager
    def _message(
        self,
        method: Callable[..., Awaitable[Any]],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        chain: Chain,
    ) -> Generator[tuple[Caller, Message]]:
        """Make the message, and who sends it, for the length of a `with` block."""
        sandbox = current_sandbox()
        body = encode_message(method, arguments, options, chain)
        handle = partial(self.entities.handle, self.key)
        caller = Caller(
            sandbox.store, handle, partial(_set_aside_message, self.key), sandbox.new_run
        )
        deadline = sandbox.message_deadline()
        if self.once_key is not None:
            yield caller, Message(f"once:{self.once_key}", 1, body, deadline, as_kept(self.kept))
            return
        # A sender sends one message at a time.
        sender = sandbox.senders.pop() if sandbox.senders else Sender(sandbox.new_run())
        try:
            yield caller, Message(sender.name, sender.next_number(self.key), body, deadline)
        finally:
            if len(sender.numbers) <= MOST_NUMBERS:
                sandbox.senders.append(sender)


def as_kept(seconds: float) -> int:
    """Return how long a reply is kept after the deadline, in milliseconds."""
    return max(int(1000 * seconds), REPLY_MARGIN)


def _set_aside_message(key: str, mail: Mail) -> str:
    return set_aside(key, decode_message(mail.body).method)


def set_aside(key: str, name: str) -> str:
    """Return the reply to a message that has ended the sandboxes that ran it."""
    logger.error("%s: %s has ended %d runs and is set aside", key, name, MOST_DEATHS)
    return encode_error(SetAside(f"the message has ended {MOST_DEATHS} runs, and is set aside"))


class SetAside(Exception):
    """A message has ended the sandboxes that ran it."""
