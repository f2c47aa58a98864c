"""Entity: what a user writes; and its state as JSON."""

import contextvars
import math
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar, get_origin, get_type_hints

import attrs
import msgspec

from ..actors.safe_repr import class_name
from ..actors.signatures import bind
from .rows import Outgoing

E = TypeVar("E", bound="Entity")

# Bytes of a state, which is one attribute of an item.
MOST_STATE = 256 * 1024


class StateError(Exception):
    """A state cannot be saved, or cannot be read."""


class Saved(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state as the store has it.

    Attributes:
        version: of the class that has saved it.
        fields: the fields by name, as JSON.
        alarms: by method, milliseconds since 1970.
        ring: the time of the first ring that is scheduled; 0 for none.
    """

    version: int
    fields: msgspec.Raw
    alarms: dict[str, int] = {}
    ring: int = 0


_saved: msgspec.json.Decoder[Saved] = msgspec.json.Decoder(Saved)
_NO_FIELDS = msgspec.Raw(b"{}")


@attrs.define(eq=False)
class Running:
    """What a message does beside its reply.

    Attributes:
        chain: the entities whose messages wait for this one, and at the end this one.
        now: the store's time, in milliseconds.
        alarms: by method, milliseconds.
        outgoing: messages to other entities.
    """

    chain: tuple[str, ...]
    now: int
    alarms: dict[str, int]
    outgoing: list[Outgoing] = attrs.Factory(list[Outgoing])


# What the message of this task does; None outside of a message.
RUNNING: contextvars.ContextVar[Running | None] = contextvars.ContextVar("entity", default=None)


class Entity:
    """An actor whose state outlives every sandbox. Its public async methods are its messages.

    The fields of an entity are its state. They are saved as JSON after each message, so their types
    are those of JSON, attrs classes, dataclasses, and what msgspec converts.

    >>> import attrs
    >>> from okibi.entities import Entity
    >>> @attrs.define(eq=False)
    ... class Cart(Entity):
    ...     items: dict[str, int] = attrs.Factory(dict[str, int])
    ...     async def add(self, item: str) -> int:
    ...         self.items[item] = self.items.get(item, 0) + 1
    ...         return self.items[item]

    A method that raises leaves the state as it was before the message.

    Attributes:
        version: of the fields. A class whose fields have changed counts it up, and reads older
            states by `upgrade`.
    """

    __slots__ = ()

    version: ClassVar[int] = 1

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        try:
            fields_of(cls)
        except NameError:
            # A type that is defined further below: `Entities` looks again.
            return

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Return the fields of an older state as those of this class.

        Args:
            fields: by name, as JSON has them.
            version: the version of the class that has saved them.
        """
        return fields

    @property
    def key(self) -> str:
        """The key of this entity, "bob" for `CARTS["bob"]`.

        Raises:
            RuntimeError: no message of this entity runs.
        """
        return _current().chain[-1].partition("/")[2]

    def now(self) -> float:
        """Return the time at which the message began, in seconds since 1970.

        Clocks of sandboxes differ by seconds, so the time may step back between two messages. With
        a MemoryStore it is trio's clock, which a test in virtual time moves.

        Raises:
            RuntimeError: no message of this entity runs.
        """
        return _current().now / 1000

    def send_after(self: E, seconds: float, method: Callable[[E], Awaitable[object]], /) -> None:
        """Have this entity run one of its methods later, in whatever sandbox.

        A method has one alarm: a later call of `send_after` for it moves the alarm. On Lambda an
        alarm is due to the minute, so it comes up to two minutes late.

            async def reserve(self, user: str) -> None:
                self.user = user
                self.send_after(600, Seat.release)

        Args:
            seconds: from now on.
            method: a method of this entity that takes no arguments.

        Raises:
            RuntimeError: no message of this entity runs.
            TypeError: `method` is no method of this class, or takes arguments.
            ValueError: `seconds` is negative, or is no number.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"send_after: seconds is a number from 0 on, got {seconds!r}")
        running = self._running(method)
        running.alarms[method.__name__] = running.now + int(1000 * seconds)

    def cancel_alarm(self: E, method: Callable[[E], Awaitable[object]], /) -> None:
        """Cancel the alarm of a method, if it has one. The errors are those of `send_after`."""
        self._running(method).alarms.pop(method.__name__, None)

    def _running(self, method: Callable[..., Any]) -> Running:
        name: str = getattr(method, "__name__", "")
        if getattr(type(self), name, None) is not method:
            raise TypeError(
                f"an alarm takes a method of {type(self).__qualname__}, as "
                f"{type(self).__qualname__}.{name or 'method'}, got {method!r}"
            )
        bind(method, self)
        return _current()


def _current() -> Running:
    running = RUNNING.get()
    if running is None:
        raise RuntimeError(
            "an entity has its key, its time and its alarms while a message runs: send one, as in "
            '`await CARTS["bob"].call(Cart.add, "tea")`'
        )
    return running


@attrs.frozen
class Fields:
    """The fields of an entity's state.

    Args:
        arguments: their names, and those of the arguments of `__init__`.
        decode: returns an object with them from JSON; UNSET for one that was not saved.
    """

    arguments: tuple[tuple[str, str], ...]
    decode: Callable[[msgspec.Raw], msgspec.Struct]


_FIELDS = dict[type, Fields]()


def fields_of(cls: type) -> Fields:
    """Return the fields of a class.

    Raises:
        TypeError: the class has no fields of attrs, or a field cannot be saved or has no default.
        NameError: a type is not defined yet.
    """
    if cls in _FIELDS:
        return _FIELDS[cls]
    if "__attrs_attrs__" not in cls.__dict__:
        raise TypeError(f"{cls.__qualname__} is no attrs class: write @attrs.define(eq=False)")
    hints = get_type_hints(cls)
    arguments, types = list[tuple[str, str]](), list[tuple[str, Any, Any]]()
    for each in attrs.fields(cls):
        if each.name == "version":
            raise TypeError(
                f"{cls.__qualname__}.version is the version of the fields: write "
                "`version: ClassVar[int] = 2`, or give the field another name"
            )
        if each.default is attrs.NOTHING:
            raise TypeError(
                f"{cls.__qualname__}.{each.name} needs a default: a new entity starts with the "
                "defaults of its fields"
            )
        if not each.init or each.name not in hints:
            raise TypeError(
                f"{cls.__qualname__}.{each.name} cannot be saved: it needs a type, and init=True"
            )
        _check_type(f"{cls.__qualname__}.{each.name}", hints[each.name])
        arguments.append((each.name, each.alias or each.name))
        types.append((each.name, hints[each.name] | msgspec.UnsetType, msgspec.UNSET))
    struct = msgspec.defstruct(cls.__name__, types)
    _FIELDS[cls] = Fields(tuple(arguments), msgspec.json.Decoder(struct).decode)
    return _FIELDS[cls]


def _check_type(place: str, hint: Any) -> None:
    try:
        problem = _find_problem(msgspec.inspect.type_info(hint), set())
    except TypeError as error:
        raise TypeError(f"{place} cannot be saved: {error}") from None
    if problem is not None:
        raise TypeError(f"{place} cannot be saved: {problem}")


def _find_problem(info: Any, seen: set[int]) -> str | None:
    """Return what msgspec cannot save of a type; `seen` has the ids of types that contain it."""
    if id(info) in seen:
        return None
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.CustomType):
        name = class_name(get_origin(info.cls) or info.cls)
        return f"{name} has no JSON; use types of JSON, attrs classes or dataclasses"
    if isinstance(info, msgspec.inspect.DataclassType) and attrs.has(info.cls):
        for field in info.fields:
            if field.name.startswith("_"):
                name = f"{class_name(info.cls)}.{field.name}"
                return f"the JSON of attrs classes has no private fields, as {name}; rename it"
    nested = list[Any]()
    for name in ("item_type", "key_type", "value_type", "item_types", "types", "fields", "type"):
        value = getattr(info, name, None)
        nested += value if isinstance(value, tuple) else [value]
    for each in nested:
        if isinstance(each, msgspec.inspect.Type | msgspec.inspect.Field):
            found = _find_problem(each, seen)
            if found is not None:
                return found
    return None


def save_state(entity: Entity, alarms: dict[str, int], ring: int = 0) -> str:
    """Return an entity's state as JSON.

    Args:
        entity: the entity.
        alarms, ring: see Saved.

    Raises:
        StateError: a field cannot be saved, or the state is too large.
    """
    cls = type(entity)
    values = {name: getattr(entity, name) for name, _ in fields_of(cls).arguments}
    try:
        fields = msgspec.Raw(msgspec.json.encode(values))
        saved = Saved(cls.version, fields, alarms, ring)
        state = msgspec.json.encode(saved)
    except (TypeError, ValueError, OverflowError) as error:
        raise StateError(f"{cls.__qualname__} cannot be saved: {error}") from error
    if len(state) > MOST_STATE:
        raise StateError(
            f"{cls.__qualname__} has {len(state)} bytes of state, and {MOST_STATE} can be saved: "
            "keep long lists in entities of their own, or in a table"
        )
    # A value of a wrong type must fail this message, and not each later one.
    load_entity(cls, saved)
    return state.decode()


def load_state(cls: type[Entity], state: str) -> Saved:
    """Return a state; that of a new entity for an empty one."""
    return _saved.decode(state) if state else Saved(cls.version, _NO_FIELDS)


def without_alarm(state: str, method: str) -> str:
    """Return a state without the alarm of a method."""
    saved = _saved.decode(state)
    alarms = {name: due for name, due in saved.alarms.items() if name != method}
    return msgspec.json.encode(msgspec.structs.replace(saved, alarms=alarms)).decode()


def load_entity(cls: type[Entity], saved: Saved) -> Entity:
    """Make an entity with a saved state.

    Raises:
        StateError: the state is not that of the class.
    """
    fields, given, version = fields_of(cls), saved.fields, saved.version
    if version > cls.version:
        raise StateError(
            f"{cls.__qualname__} has version {cls.version}, and version {version} has saved this "
            "state: newer code runs beside this code"
        )
    if version < cls.version:
        upgraded = cls.upgrade(msgspec.json.decode(given), version)
        given = msgspec.Raw(msgspec.json.encode(upgraded))
    try:
        values = fields.decode(given)
        return cls(
            **{
                argument: value
                for name, argument in fields.arguments
                if (value := getattr(values, name)) is not msgspec.UNSET
            }
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise StateError(
            f"{cls.__qualname__} cannot read its saved state: {error}; if its fields have changed, "
            "count up `version` and write `upgrade`"
        ) from error
