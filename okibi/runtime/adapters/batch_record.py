"""A record of a batch, and its body as a value of the type that the handler names."""

import inspect
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from ...supervisors import SpecError
from ..codec.json import UnmarshalError
from ..handlers.context import Context
from .batch_event import Raw, Source

T = TypeVar("T")
# The body of a record that has no type, until the handler reads it.
_UNREAD = object()


class Origin(NamedTuple):
    """What the records of a batch have in common. A tuple, because one is made for each event.

    Args:
        source: the service.
        decode: converts a body into the handler's type; None for any type.
        context: the context of the event.
        until: the time of the wall clock until which records are handled.
        now: returns the time of the wall clock, which is virtual in virtual time.
    """

    source: Source
    decode: Callable[[Any], Any] | None
    context: Context
    until: float
    now: Callable[[], float]

    def reader(self) -> "Callable[..., Record[Any]]":
        """Return a function that makes a record of what AWS sends.

        The function raises UnmarshalError if the body does not fit the type.
        """
        if self.decode is None:
            kind: type[Record[Any]] = Record
            return partial(kind, self, _UNREAD)
        decode, body = self.decode, self.source.body

        def read(raw: Raw) -> Record[Any]:
            return Record(self, decode(body(raw)), raw)

        return read

    def limit(self, record: "Record[Any]", timeout: float) -> None:
        """Give a record that starts now a limit of its own.

        Args:
            record: the record.
            timeout: seconds that the record may take.
        """
        record._origin = self._replace(until=min(self.until, self.now() + timeout))


class Record(Generic[T]):
    """One record of a batch.

        async def handle(record: Record[Order]) -> None:
            await save(record.key, record.body.quantity)

    The type in the brackets is the type of `body`, which is decoded from JSON: an attrs class, a
    dataclass, a msgspec.Struct, a TypedDict, a built-in container or a pydantic model.
    `Record[str]` and `Record[bytes]` convert the body and decode no JSON; `Record` alone leaves the
    body as the service has it: text (SQS), bytes (Kinesis, Kafka, MQ), or the item (DynamoDB).

    Attributes:
        raw: the record as AWS sends it.
    """

    __slots__ = ("_body", "_origin", "raw")

    raw: dict[str, Any]

    def __init__(self, origin: Origin, body: Any, raw: dict[str, Any]) -> None:
        self._body: Any = body
        self.raw = raw
        self._origin = origin

    @property
    def body(self) -> T:
        """The body; of DynamoDB the item after the change.

        None if there is none: an item was removed, or Kafka's value is null.
        """
        if self._body is _UNREAD:
            self._body = self._origin.source.body(self.raw)
        return self._body  # type: ignore[no-any-return]

    @property
    def id(self) -> str:
        """The identifier that AWS gives the record.

        SQS and MQ: the message's id. Kinesis and DynamoDB: the number in the shard. Kafka: the
        partition and the offset, `orders-0:15`.
        """
        identifier: Any = self._origin.source.identifier(self.raw)
        if isinstance(identifier, dict):
            return "{partition}:{offset}".format_map(cast("Raw", identifier))
        return str(identifier)

    @property
    def key(self) -> Any:
        """The key, by which records are ordered.

        SQS: the message group, a text or None. Kinesis: the partition key, a text. DynamoDB: the
        keys of the item, a dict. Kafka: bytes or None. MQ: the name of the queue.
        """
        return self._origin.source.key(self.raw)

    @property
    def number(self) -> int | None:
        """The number in the shard, the offset in the partition, or the number in a FIFO queue."""
        return self._origin.source.number(self.raw)

    @property
    def old_body(self) -> T | None:
        """The item of DynamoDB before the change; None if there was none."""
        old = self._origin.source.old_body(self.raw)
        decode = self._origin.decode
        return old if old is None or decode is None else decode(old)  # type: ignore[return-value]

    @property
    def context(self) -> Context:
        """The context of the event, with the time that this record has.

        `get_remaining_time_in_millis` ends when okibi answers the batch, or with the record's
        `timeout`.
        """
        origin = self._origin
        context = Context(origin.context._delivery, origin.context._settings)
        # A LazyAttribute is an ordinary attribute once it is set.
        setattr(context, "_epoch_deadline_time_in_ms", int(origin.until * 1000))  # noqa: B010
        return context

    def __repr__(self) -> str:
        # Without the body, which may be a secret.
        return f"<Record {self.id} of {self._origin.source.name}>"


def body_type(handler: Any, *, method: bool) -> Any:
    """Return the type in the brackets of a handler's record; Any without one.

    Args:
        handler: the handler.
        method: whether it is the method of a class, with a `self`.

    Raises:
        SpecError: the annotation is not a Record, or cannot be read.
    """
    function = handler
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(function, "__call__", function)  # noqa: B004, the attribute itself
    try:
        parameters = [*inspect.signature(handler).parameters][method and 1 :]
        hints = get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise SpecError(
            f"the annotations of the batch's handler cannot be read ({error}): define its types "
            "in the module, outside of `if TYPE_CHECKING`",
            field="handler",
            value=handler,
        ) from error
    hint = hints.get(parameters[0]) if parameters else None
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if hint is None or hint is Any or hint is Record or hint is object:
        return Any
    if get_origin(hint) is not Record:
        name = getattr(hint, "__name__", hint)
        raise SpecError(
            f"the batch's handler takes a Record, and its annotation says {name}: write "
            f"{parameters[0]}: Record[{name}]",
            field="handler",
            value=handler,
        )
    (kind,) = get_args(hint)
    return Any if isinstance(kind, TypeVar) else kind


def decoder_into(kind: Any) -> Callable[[Any], Any] | None:
    """Return a function that converts a body into a type; None for Any.

    Raises:
        TypeError: msgspec does not support the type.
    """
    if kind is Any:
        return None
    # `str | None`: a body may be missing.
    optional = NoneType in get_args(kind)
    plain = {*get_args(kind)} - {NoneType} if optional else {kind}
    if plain in ({str}, {bytes}):
        return partial(_convert_text, plain == {str}, optional)
    import msgspec

    from ..codec.typed_json import decoder_for

    decode = decoder_for(kind).decode
    encode = msgspec.json.Encoder(decimal_format="number").encode

    def convert(body: object) -> Any:
        if isinstance(body, str):
            return decode(body.encode())
        return decode(body if isinstance(body, bytes) else encode(body))

    return convert


def _convert_text(as_text: bool, optional: bool, body: object) -> object:
    if body is None and not optional:
        kind = "str" if as_text else "bytes"
        raise UnmarshalError(f"the record has no body: write Record[{kind} | None]")
    if as_text:
        return body.decode() if isinstance(body, bytes) else body
    return body.encode() if isinstance(body, str) else body
