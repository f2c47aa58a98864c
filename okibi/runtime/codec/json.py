"""The event into the handler's type, the result into bytes.

Two kinds of handler, two sets of rules:

* A Handler class is okibi's own: msgspec decodes straight into its event type, and encodes.
* A plain callable was maybe written for AWS's own client, and is served byte for byte as there.
  msgspec decodes, for it agrees wherever it agrees to decode at all; what it refuses the standard
  library is asked about. For results it is no help: it writes other spaces and other floats, and
  takes namedtuples and bytes for something else without a word. So here `encoder.c` writes what it
  knows by heart, of 2.6 KB in a quarter of the time of what follows. What it leaves, and all where
  it was not compiled, the standard library's encoder writes, after `marshal` (the interpreter's own
  serializer, which knows the exact built-in types and refuses everything else) has looked through
  the value: 2 us in all, against 4.5 of the official encoder. What either refuses goes the slow
  way, through room `official`.

NaN has one rule: it is no JSON. An event with it is refused, a result's is sent as null.
"""

import marshal as builtins_only
import re
from collections.abc import Callable
from contextlib import suppress
from inspect import isgenerator
from json import JSONEncoder, loads
from typing import Any, get_origin

import msgspec

from ..in_flight.delivery import Delivery
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import JSON

_encoder = msgspec.json.Encoder()
_untyped = msgspec.json.Decoder()
_Write = Callable[[object], str]
_Compiled = Callable[[object], bytes | None]
# Of `marshal`'s: it knows what it has written before, and copies text that is ASCII.
VERSION = 4


class MarshalError(Exception):
    """The handler's result cannot be said in JSON."""


class ResultIsStream(Exception):
    """The handler's result is no value but what makes a stream of them."""


class UnmarshalError(Exception):
    """The event is not what the handler takes."""


class LambdaContextUnmarshalError(Exception):
    """A header of the context object is not the JSON that it should be."""


def decoder_for(event: Any) -> msgspec.json.Decoder[Any]:
    """A decoder into a handler's event type.

    Raises:
        TypeError: msgspec cannot decode into it.
    """
    return _untyped if event is Any else msgspec.json.Decoder(event, dec_hook=_unknown)


def _unknown(kind: Any, value: object) -> object:
    """What is given where msgspec does not know the class, wherever in the event it stands.

    Raises:
        TypeError: it is not of that class, and nothing can be made into it. msgspec adds where.
    """
    plain = get_origin(kind) or kind
    with suppress(TypeError):  # a Protocol that nothing can be compared with
        if isinstance(plain, type) and isinstance(value, plain):
            return value  # `object`, or a class that a dict is one of
    what = getattr(plain, "__name__", plain)
    raise TypeError(f"{what} is no attrs class, dataclass, msgspec.Struct or TypedDict")


def decode_event(delivery: Delivery, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The event as its handler is given it; raw bytes when it is not JSON.

    What it is decoded from goes: a handler of a large event is to have the memory.

    Raises:
        UnmarshalError: it is not what the handler takes; the message names the field.
    """
    if decoder is _untyped and not _is_json(delivery.headers.get(b"content-type", JSON)):
        return delivery.body
    try:
        event = decoder.decode(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if decoder is not _untyped:
            words = _without_value(str(error))
            raise UnmarshalError(f"Unable to unmarshal input: {words}") from error
        event = _read_slowly(delivery.body)
    delivery.body = b""
    return event


def _without_value(words: str) -> str:
    """What msgspec says of an event, without the value that it quotes of an Enum or a Literal."""
    found = re.match("Invalid (?:enum )?value ", words)
    if found is None:
        return words
    # The value may say anything, and ends with a quote. The field comes last.
    field = re.search(r" - at (?:`key` in )?`[^`]*`\Z", words)
    return found[0].rstrip() + (field[0] if field else "")


def _read_slowly(body: bytes) -> Any:
    try:
        return _by_standard_library(body)
    except (ValueError, RecursionError) as error:
        raise UnmarshalError(f"Unable to unmarshal input: {error}") from error


def find_json_error(body: bytes) -> str:
    """Why it is no event that a handler could be given; empty if it is one.

    Of a large one no value is made for that, unless msgspec refuses it.
    """
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        body.decode()  # into texts it does not look
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            _by_standard_library(body)
        except RecursionError:
            return "nested too deep to be read"
        except ValueError as error:
            return str(error)
    return ""


def _by_standard_library(body: bytes) -> Any:
    return loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)


def _is_json(content_type: bytes) -> bool:
    """Whether it is JSON's, with parameters or without."""
    return content_type == JSON or content_type.partition(b";")[0].strip().lower() == JSON


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode_handler_result(result: object) -> Outcome:
    """A Handler class's result, ready for the wire: by msgspec's rules.

    What msgspec refuses and the official client takes (a subclass of str, a None among the keys)
    goes by its rules.

    Raises:
        MarshalError: it cannot be said in JSON.
        ResultIsStream: it is an async iterator or a generator.
    """
    if isinstance(result, bytes):
        return _raw(result)
    try:
        return Outcome(_encoder.encode(result))
    except Exception:
        return _slowly(result, escaped=False)


def _raw(result: bytes) -> Outcome:
    try:
        return Outcome(exactly(result), b"application/unknown")
    except Exception as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error


def exactly(data: "bytes | bytearray | memoryview") -> bytes:
    """The bytes themselves. One of a subclass may tell another length than it has, and a proxy or a
    mock only says that it is bytes: found out where it is written, it would be too late to tell.

    Raises:
        TypeError: it has none.
    """
    return data if type(data) is bytes else bytes(memoryview(data))


def _plainly(*, escaped: bool, compiled: _Compiled) -> Callable[[Any], Outcome]:
    """What makes a plain callable's result ready for the wire: by the official client's rules.

    Args:
        escaped: whether what is beyond ASCII is written as `\\u` and four digits.
        compiled: the encoder that is asked first; None of it is what it leaves to the others.

    It raises:
        MarshalError: it cannot be said in JSON.
        ResultIsStream: it is an async iterator or a generator.
    """
    write = _of_builtins(escaped=escaped)

    def outcome(result: Any) -> Outcome:
        if isinstance(result, bytes):
            return _raw(result)
        try:
            if (body := compiled(result)) is not None:
                return Outcome(body)
            return Outcome(write(result).encode())
        except Exception:
            return _slowly(result, escaped=escaped)

    return outcome


def _slowly(result: object, *, escaped: bool) -> Outcome:
    from .reference_json import encode

    try:
        return Outcome(encode(result, escaped=escaped))
    except Exception as error:
        if isgenerator(result) or hasattr(type(result), "__anext__"):
            raise ResultIsStream from None
        raise MarshalError(f"Unable to marshal response: {error}") from error


def _of_builtins(*, escaped: bool) -> _Write:
    """The standard library's encoder, of what `marshal` knows; it refuses all else, and NaN."""
    encode = JSONEncoder(ensure_ascii=escaped, allow_nan=False).encode

    def text(value: Any) -> str:
        builtins_only.dumps(value, VERSION)
        return encode(value)

    return text


def _left(_: object) -> None:
    """All is left to the others: okibi came without its compiled encoder."""


try:
    # None where no compiler was when okibi was installed; or it was made for another processor.
    from .encoder import encode_escaped, encode_unescaped
except ImportError:
    encode_escaped = encode_unescaped = _left
COMPILED = encode_unescaped is not _left

encode_official_escaped = _plainly(escaped=True, compiled=encode_escaped)
encode_official_unescaped = _plainly(escaped=False, compiled=encode_unescaped)
