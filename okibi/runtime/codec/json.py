"""Decode the event into the handler's type; encode the handler's result.

There are two kinds of handler, with two sets of rules:

* A Handler class follows okibi's rules. msgspec decodes into the event type and encodes the result
  (`typed_json`).
* A plain callable follows the official client's rules, byte for byte. An unchanged function must
  see no difference.
    * Decoding: msgspec agrees with the standard library on all JSON that msgspec accepts. The
      standard library decodes small events, and what msgspec refuses.
    * Encoding: msgspec writes other spaces and other floats, and silently accepts namedtuples and
      bytes. `native.c` writes exact built-in types. What `native.c` leaves goes to the standard
      library's encoder, after `marshal` has confirmed that the value holds exact built-in types
      only. What both refuse goes to `reference_json`.

For a small result `marshal` and the standard library take 2 us, the official encoder 4.5 us. For a
result of 2.6 KB `native.c` takes a quarter of the time of the former.

NaN is not JSON. An event with NaN is refused; NaN in a result is sent as null.
"""

import marshal as builtins_only
from collections.abc import Callable
from json import JSONDecoder, JSONEncoder
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Protocol

from ...actors import logs
from ..in_flight.delivery import Delivery
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import JSON
from .import_msgspec import import_msgspec

if TYPE_CHECKING:

    class Decoder(Protocol):
        """Decodes the body of an event."""

        def decode(self, body: bytes, /) -> Any: ...


logger = logs.logger("okibi")

LARGE_EVENT = 16 * 1024
BYTE_ORDER_MARK = "\ufeff"
_CompiledEncoder = Callable[[object], bytes | None]
# marshal's version 4 shares repeated objects and copies ASCII text.
MARSHAL_VERSION = 4


class MarshalError(Exception):
    """The handler's result cannot be encoded as JSON."""


class ResultIsStream(Exception):
    """The handler's result is an async iterator or a generator, which is sent piece by piece."""


class UnmarshalError(Exception):
    """The event does not fit the handler's event type."""


class LambdaContextUnmarshalError(Exception):
    """A context header is not valid JSON."""


class UntypedDecoder:
    """Decodes events into dicts, lists and so on. msgspec decodes only large events.

    msgspec costs a start 4 ms and 1 MB, and decodes 2.6 KB in 3 us less.
    """

    __slots__ = ("_msgspec",)

    def __init__(self) -> None:
        self._msgspec: Any = None

    def decode(self, body: bytes) -> Any:
        """Decode an event.

        Raises:
            UnmarshalError: the event is not JSON.
        """
        if self._msgspec is None:
            if len(body) < LARGE_EVENT:
                return _decode_slowly(body)
            try:
                self._msgspec = import_msgspec()
            except (ImportError, OSError):  # built for another Python; no file descriptor left
                return _decode_slowly(body)
        try:
            return self._msgspec.json.decode(body)
        except (self._msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _decode_slowly(body)


UNTYPED = UntypedDecoder()


def decode_event(delivery: Delivery, decoder: "Decoder") -> Any:
    """Decode the event; an untyped handler gets an event of another content type as raw bytes.

    Drops the encoded body, so that the handler of a large event has the memory.

    Raises:
        UnmarshalError: the event does not fit the type; the message names the field.
    """
    # Compared as the official client compares: `application/json; charset=utf-8` is another type.
    if decoder is UNTYPED and delivery.headers.get(b"content-type", JSON) != JSON:
        return delivery.body
    event = decoder.decode(delivery.body)
    delivery.drop_body()
    return event


def _decode_slowly(body: bytes) -> Any:
    try:
        return _decode_by_standard_library(body)
    except (ValueError, RecursionError) as error:
        raise UnmarshalError(f"Unable to unmarshal input: {error}") from error


def find_json_error(body: bytes) -> str:
    """Return why a body is not valid as an event; empty if the body is valid.

    msgspec checks a body without building the value. Only what msgspec refuses is decoded.
    """
    msgspec = import_msgspec()
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        body.decode()  # msgspec.Raw does not check the UTF-8 of strings
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            _decode_by_standard_library(body)
        except RecursionError:
            return "nested too deeply"
        except ValueError as error:
            return str(error)
    return ""


def _decode_by_standard_library(body: bytes) -> Any:
    return _decode_text(body.decode().removeprefix(BYTE_ORDER_MARK))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode_text = JSONDecoder(parse_constant=_refuse_constant).decode


def encode_bytes(result: bytes) -> Outcome:
    try:
        return Outcome(exact_bytes(result), b"application/unknown")
    except Exception as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error


def exact_bytes(data: "bytes | bytearray | memoryview") -> bytes:
    """Copy bytes-like data into an exact `bytes`.

    A subclass may report a wrong length, and a mock only claims to be bytes. An error raised here
    can still be answered; an error raised while the response is written cannot.

    Raises:
        TypeError: the data holds no bytes.
    """
    return data if type(data) is bytes else bytes(memoryview(data))


def _official_encoder(
    *, escaped: bool, compiled: _CompiledEncoder, official_errors: bool = True
) -> Callable[[Any], Outcome]:
    """Make an encoder for the results of a plain callable, by the official client's rules.

    Args:
        escaped: whether characters beyond ASCII are written as `\\u` and four digits.
        compiled: the encoder that is tried first; returns None for what it does not support.
        official_errors: whether the text of a MarshalError must be the official client's.

    The encoder raises:
        MarshalError: JSON cannot represent the result.
        ResultIsStream: the result is an async iterator or a generator.
    """
    encode_builtins = _builtins_encoder(escaped=escaped)

    def encode(result: Any) -> Outcome:
        if isinstance(result, bytes):
            return encode_bytes(result)
        try:
            if (body := compiled(result)) is not None:
                return Outcome(body)
            return Outcome(encode_builtins(result).encode())
        except Exception:
            return encode_slowly(result, escaped=escaped, official_errors=official_errors)

    return encode


def encode_slowly(result: object, *, escaped: bool, official_errors: bool) -> Outcome:
    from .reference_json import encode

    path: list[object] = []
    try:
        return Outcome(encode(result, escaped=escaped, path=path))
    except Exception as error:
        if isinstance(result, GeneratorType) or hasattr(type(result), "__anext__"):
            raise ResultIsStream from None
        from .result_errors import describe

        message, description = f"{error}", describe(error, result, path)
        if not official_errors:
            message = description
        elif description != f"result: {message}":
            logger.error("%s", description)
        raise MarshalError(f"Unable to marshal response: {message}") from error


def _builtins_encoder(*, escaped: bool) -> Callable[[object], str]:
    """Make an encoder of exact built-in types; the encoder refuses all other types and NaN."""
    encode = JSONEncoder(ensure_ascii=escaped, allow_nan=False).encode

    def encode_builtins(value: Any) -> str:
        builtins_only.dumps(value, MARSHAL_VERSION)
        return encode(value)

    return encode_builtins


def _encode_nothing(_: object) -> None:
    """Leave every result to the other encoders: okibi was installed without `native.c`."""


try:
    # Missing if no compiler was available at installation, or built for another processor.
    from ..system.native import encode_escaped, encode_unescaped
except ImportError:
    encode_escaped = encode_unescaped = _encode_nothing
COMPILED = encode_unescaped is not _encode_nothing

encode_official_escaped = _official_encoder(escaped=True, compiled=encode_escaped)
encode_official_unescaped = _official_encoder(escaped=False, compiled=encode_unescaped)
# The official client runs no `async def`, so the errors of one may say more.
encode_async_def_result = _official_encoder(
    escaped=False, compiled=encode_unescaped, official_errors=False
)
