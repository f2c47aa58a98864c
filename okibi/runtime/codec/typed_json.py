"""Decode events into a handler's type, and encode the results of Handler classes, by msgspec.

Imported when a function has a Handler class: other functions start without msgspec.
"""

import re
from contextlib import suppress
from typing import Any, get_origin

from ..protocol.outcome import Outcome
from .import_msgspec import import_msgspec
from .json import UNTYPED, Decoder, UnmarshalError, encode_bytes, encode_slowly

import_msgspec()
import msgspec  # noqa: E402

_encoder = msgspec.json.Encoder()


def decoder_for(event: Any) -> Decoder:
    """Make a decoder into a handler's event type.

    Raises:
        TypeError: msgspec does not support the type.
    """
    return UNTYPED if event is Any else TypedDecoder(event)


class TypedDecoder:
    """Decodes events into a handler's event type.

    Args:
        kind: the type.

    Raises:
        TypeError: msgspec does not support the type.
    """

    __slots__ = ("_decode",)

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.json.Decoder(kind, dec_hook=_decode_unknown).decode

    def decode(self, body: bytes) -> Any:
        """Decode an event.

        Raises:
            UnmarshalError: the event does not fit the type; the message names the field.
        """
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            message = _without_value(str(error))
            raise UnmarshalError(f"Unable to unmarshal input: {message}") from error


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


def _without_value(message: str) -> str:
    """Remove the event's value, which msgspec quotes for an Enum or a Literal."""
    found = re.match("Invalid (?:enum )?value ", message)
    if found is None:
        return message
    # The quoted value may contain any text, so the field is matched at the end.
    field = re.search(r" - at (?:`key` in )?`[^`]*`\Z", message)
    return found[0].rstrip() + (field[0] if field else "")


def encode_handler_result(result: object) -> Outcome:
    """Encode the result of a Handler class, by msgspec's rules.

    A result that only the official client accepts (a subclass of str, None as a key) is encoded by
    the official client's rules.

    Raises:
        MarshalError: JSON cannot represent the result.
        ResultIsStream: the result is an async iterator or a generator.
    """
    if isinstance(result, bytes):
        return encode_bytes(result)
    try:
        return Outcome(_encoder.encode(result))
    except Exception:
        return encode_slowly(result, escaped=False, official_errors=False)
