"""Decode events into a handler's type, and encode the results of Handler classes, by msgspec.

Imported when a function has a Handler class: other functions start without msgspec.
"""

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_origin

from ..protocol.outcome import Outcome
from .import_msgspec import import_msgspec
from .json import UNTYPED, UnmarshalError, encode_bytes, encode_slowly

import_msgspec()
import msgspec  # noqa: E402

if TYPE_CHECKING:
    from .json import Decoder

# What `requestContext` has in events of HTTP: of a function URL or an HTTP API, of a REST API, and
# of a load balancer.
HTTP_CONTEXTS = frozenset({"http", "httpMethod", "elb"})


def decoder_for(event: Any) -> "Decoder":
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

    __slots__ = ("_decode", "_kind")

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.json.Decoder(kind, dec_hook=_decode_unknown).decode
        self._kind = kind

    def decode(self, body: bytes) -> Any:
        """Decode an event.

        Raises:
            UnmarshalError: the event does not fit the type; the message names the field.
        """
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            message = f"Unable to unmarshal input: {_without_value(str(error))}"
            raise UnmarshalError(message + self._advise(body)) from error

    def _advise(self, body: bytes) -> str:
        """Say what to do about an HTTP event for another type, and another event for HttpEvent."""
        name = getattr(self._kind, "__name__", self._kind)
        if _is_http_event(body):
            return (
                "; this is an HTTP event: write Handler[okibi.HttpEvent], and"
                f" event.json({name}) for its body"
            )
        if name == "HttpEvent":
            return "; this is no HTTP event: `okibi event function-url` prints one"
        return ""


def decode_json(body: bytes, kind: Any) -> Any:
    """Decode JSON into a type, as an event.

    Raises:
        ValueError: the JSON does not fit the type; the message names the field and shows no value.
    """
    try:
        return msgspec.json.decode(body, type=kind, dec_hook=_decode_unknown)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(_without_value(str(error))) from error


def _is_http_event(body: bytes) -> bool:
    try:
        context = msgspec.json.decode(body)["requestContext"]
        return not HTTP_CONTEXTS.isdisjoint(context)
    except Exception:
        # It is no JSON, or its fields are others.
        return False


def _decode_unknown(kind: Any, value: object) -> object:
    """Decode a value whose class msgspec does not know, anywhere in the event.

    Raises:
        TypeError: the value is not an instance of the class. msgspec adds the field's path.
        ValueError: a pydantic model refuses the value.
    """
    if (validate := getattr(kind, "model_validate_json", None)) is not None:
        try:
            # As JSON: a strict model takes a date from a text in JSON only.
            return validate(_encoder.encode(value))
        except Exception as error:
            raise ValueError(_describe_refusal(error)) from error
    plain = get_origin(kind) or kind
    with suppress(TypeError):  # a Protocol without runtime_checkable
        if isinstance(plain, type) and isinstance(value, plain):
            return value  # the class is `object`, or a base class of dict
    name = getattr(plain, "__name__", plain)
    raise TypeError(
        f"{name} is not supported as an event type: use an attrs class, a dataclass, a "
        "msgspec.Struct, a TypedDict or a pydantic model"
    )


def _describe_refusal(error: Any) -> str:
    """Name the fields in a ValidationError of pydantic, whose own text quotes their values."""
    if (errors := getattr(error, "errors", None)) is None:
        return str(error)  # of the model's own code
    refused = list[str]()
    for each in errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(map(str, each["loc"]))
        # The message about a tag is the only one with a value.
        reason = "Invalid tag" if each["type"] == "union_tag_invalid" else each["msg"]
        refused.append(f"{path}: {reason}" if path else reason)
    return "; ".join(refused)


def _encode_unknown(value: Any) -> object:
    """Convert a pydantic model for msgspec."""
    if not hasattr(value.__class__, "model_dump"):
        raise NotImplementedError
    return value.model_dump(mode="json")


_encoder = msgspec.json.Encoder(enc_hook=_encode_unknown)


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
