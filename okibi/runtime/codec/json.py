"""Decode the event into the handler's type; encode the handler's result.

There are two kinds of handler, with two sets of rules:

* A Handler class follows okibi's rules. msgspec decodes into the event type and encodes the result.
* A plain callable follows the official client's rules, byte for byte. An unchanged function must
  see no difference.
    * Decoding: msgspec agrees with the standard library on all JSON that msgspec accepts. The
      standard library decodes what msgspec refuses.
    * Encoding: msgspec writes other spaces and other floats, and silently accepts namedtuples and
      bytes. `encoder.c` writes exact built-in types. What `encoder.c` leaves goes to the standard
      library's encoder, after `marshal` has confirmed that the value holds exact built-in types
      only. What both refuse goes to `reference_json`.

For a small result `marshal` and the standard library take 2 us, the official encoder 4.5 us. For a
result of 2.6 KB `encoder.c` takes a quarter of the time of the former.

NaN is not JSON. An event with NaN is refused; NaN in a result is sent as null.
"""

import marshal as builtins_only
import re
from collections.abc import Callable
from contextlib import suppress
from inspect import isgenerator
from json import JSONEncoder, loads
from typing import Any, get_origin

import msgspec

from ...actors import logs
from ..in_flight.delivery import Delivery
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import JSON

logger = logs.logger("okibi")

_encoder = msgspec.json.Encoder()
_untyped = msgspec.json.Decoder()
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


def decoder_for(event: Any) -> msgspec.json.Decoder[Any]:
    """Make a decoder into a handler's event type.

    Raises:
        TypeError: msgspec does not support the type.
    """
    return _untyped if event is Any else msgspec.json.Decoder(event, dec_hook=_decode_unknown)


def _decode_unknown(kind: Any, value: object) -> object:
    """Decode a value whose class msgspec does not know, anywhere in the event.

    Raises:
        TypeError: the value is not an instance of the class. msgspec adds the field's path.
    """
    plain = get_origin(kind) or kind
    with suppress(TypeError):  # a Protocol without runtime_checkable
        if isinstance(plain, type) and isinstance(value, plain):
            return value  # the class is `object`, or a base class of dict
    name = getattr(plain, "__name__", plain)
    raise TypeError(
        f"{name} is not supported as an event type: use an attrs class, a dataclass, a "
        "msgspec.Struct or a TypedDict"
    )


def decode_event(delivery: Delivery, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode the event; an untyped handler gets an event that is not JSON as raw bytes.

    Drops the encoded body, so that the handler of a large event has the memory.

    Raises:
        UnmarshalError: the event does not fit the type; the message names the field.
    """
    if decoder is _untyped and not _is_json(delivery.headers.get(b"content-type", JSON)):
        return delivery.body
    try:
        event = decoder.decode(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if decoder is not _untyped:
            message = _without_value(str(error))
            raise UnmarshalError(f"Unable to unmarshal input: {message}") from error
        event = _decode_slowly(delivery.body)
    delivery.body = b""
    return event


def _without_value(message: str) -> str:
    """Remove the event's value, which msgspec quotes for an Enum or a Literal."""
    found = re.match("Invalid (?:enum )?value ", message)
    if found is None:
        return message
    # The quoted value may contain any text, so the field is matched at the end.
    field = re.search(r" - at (?:`key` in )?`[^`]*`\Z", message)
    return found[0].rstrip() + (field[0] if field else "")


def _decode_slowly(body: bytes) -> Any:
    try:
        return _decode_by_standard_library(body)
    except (ValueError, RecursionError) as error:
        raise UnmarshalError(f"Unable to unmarshal input: {error}") from error


def find_json_error(body: bytes) -> str:
    """Return why a body is not valid as an event; empty if the body is valid.

    msgspec checks a body without building the value. Only what msgspec refuses is decoded.
    """
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
    return loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)


def _is_json(content_type: bytes) -> bool:
    """Whether a content type is JSON's, with or without parameters."""
    return content_type == JSON or content_type.partition(b";")[0].strip().lower() == JSON


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode_handler_result(result: object) -> Outcome:
    """Encode the result of a Handler class, by msgspec's rules.

    A result that only the official client accepts (a subclass of str, None as a key) is encoded by
    the official client's rules.

    Raises:
        MarshalError: JSON cannot represent the result.
        ResultIsStream: the result is an async iterator or a generator.
    """
    if isinstance(result, bytes):
        return _encode_bytes(result)
    try:
        return Outcome(_encoder.encode(result))
    except Exception:
        return _encode_slowly(result, escaped=False, official_errors=False)


def _encode_bytes(result: bytes) -> Outcome:
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
            return _encode_bytes(result)
        try:
            if (body := compiled(result)) is not None:
                return Outcome(body)
            return Outcome(encode_builtins(result).encode())
        except Exception:
            return _encode_slowly(result, escaped=escaped, official_errors=official_errors)

    return encode


def _encode_slowly(result: object, *, escaped: bool, official_errors: bool) -> Outcome:
    from .reference_json import encode

    path: list[object] = []
    try:
        return Outcome(encode(result, escaped=escaped, path=path))
    except Exception as error:
        if isgenerator(result) or hasattr(type(result), "__anext__"):
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
    """Leave every result to the other encoders: okibi was installed without `encoder.c`."""


try:
    # Missing if no compiler was available at installation, or built for another processor.
    from .encoder import encode_escaped, encode_unescaped
except ImportError:
    encode_escaped = encode_unescaped = _encode_nothing
COMPILED = encode_unescaped is not _encode_nothing

encode_official_escaped = _official_encoder(escaped=True, compiled=encode_escaped)
encode_official_unescaped = _official_encoder(escaped=False, compiled=encode_unescaped)
# The official client runs no `async def`, so the errors of one may say more.
encode_async_def_result = _official_encoder(
    escaped=False, compiled=encode_unescaped, official_errors=False
)
