"""The event into the handler's type, the result into bytes.

msgspec decodes straight into the event type; what it refuses for an untyped handler the standard
library is asked about, whose word the official client takes (NaN, for one, is an event there).
"""

import json
from typing import Any

import msgspec

from .delivery import Delivery, Outcome
from .wire import JSON

_encoder = msgspec.json.Encoder()
_untyped = msgspec.json.Decoder()


class MarshalError(Exception):
    """The handler's result cannot be said in JSON."""


class UnmarshalError(Exception):
    """The event is not what the handler takes."""


def decoder_for(event: Any) -> msgspec.json.Decoder[Any]:
    """A decoder into a handler's event type.

    Raises:
        TypeError: msgspec cannot decode into it.
    """
    return _untyped if event is Any else msgspec.json.Decoder(event)


def event_of(delivery: Delivery, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The event as its handler is given it; raw bytes when it is not JSON.

    Raises:
        UnmarshalError: it is not what the handler takes; the message names the field.
    """
    kind = delivery.headers.get(b"content-type", JSON)
    if kind != JSON and not kind.startswith(JSON) and decoder is _untyped:
        return delivery.body
    try:
        return decoder.decode(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if decoder is not _untyped:
            raise UnmarshalError(f"Unable to unmarshal input: {error}") from error
    try:
        return json.loads(delivery.body)
    except (ValueError, RecursionError) as error:
        raise UnmarshalError(f"Unable to unmarshal input: {error}") from error


def outcome_of(result: object) -> Outcome:
    """A result ready for the wire.

    Raises:
        MarshalError: it cannot be said in JSON.
    """
    if isinstance(result, bytes):
        return Outcome(result, b"application/unknown")
    try:
        return Outcome(_encoder.encode(result))
    except Exception as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error
