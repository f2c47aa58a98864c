"""Messages to entities and their replies, as JSON.

A message is a method's name and its arguments. A reply is the value, a Refusal or the text of a
crash.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from inspect import iscoroutinefunction
from opcode import opmap
from types import FunctionType
from typing import Any, get_type_hints

import msgspec

from ..actors import Refusal
from ..actors.safe_repr import class_name, error_text
from ..actors.signatures import bind, signature

# Bytes of a message, and of a reply. An item of DynamoDB has 400 KB for all that wait.
MOST_BYTES = 32 * 1024

# Keys of entities that wait for each other, the first one first.
Chain = tuple[str, ...]


class EntityCrashed(Exception):
    """A method of an entity raised. The state is as it was before the message."""


class EntityRefused(Refusal):
    """A Refusal of another sandbox, whose class is not known here."""


class Body(msgspec.Struct, frozen=True, array_like=True):
    """A message. `kind` is "call", "cast", or "alarm", which runs the first alarm that is due."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    chain: Chain = ()
    kind: str = "call"


class ReplyBody(msgspec.Struct, frozen=True, array_like=True):
    """A reply: `kind` is "value", "refused" or "crashed".

    `name` is the class of a Refusal, and identifies the arguments of a function that runs once.
    """

    kind: str
    value: Any = None
    name: str = ""


# The instruction of each `await`, `async with` and `async for`.
SEND = opmap["SEND"]

_bodies: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)
_replies: msgspec.json.Decoder[ReplyBody] = msgspec.json.Decoder(ReplyBody)


def encode_message(
    method: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], options: dict[str, Any],
    chain: Chain = (), kind: str = "call",
) -> str:  # fmt: skip
    """Encode a message.

    Raises:
        TypeError: the method does not accept the arguments, or an argument has no JSON.
        ValueError: the message is too large.
    """
    if options or len(arguments) not in _counts(method):
        bind(method, None, *arguments, **options)
    try:
        body = msgspec.json.encode(Body(method.__name__, arguments, options, chain, kind))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{method.__qualname__}: an argument cannot be sent: {error}") from None
    return _decode_small(body, f"the message to {method.__qualname__}")


def _decode_small(body: bytes, what: str) -> str:
    if len(body) > MOST_BYTES:
        raise ValueError(
            f"{what} has {len(body)} bytes of JSON, and {MOST_BYTES} can be sent: keep large data "
            "elsewhere, such as in S3, and send its key"
        )
    return body.decode()


def encode_alarm(due: int) -> str:
    """Encode the message that runs the first alarm of those that are due at a time."""
    return msgspec.json.encode(Body("", (due,), {}, kind="alarm")).decode()


def decode_message(body: str) -> Body:
    """Decode a message."""
    return _bodies.decode(body)


# Once has closures and bound methods: the caches must not keep all of them.
@lru_cache(256)
def _counts(method: Callable[..., Any]) -> range:
    """Return how many arguments without a name a method accepts for certain."""
    least = most = 0
    for each in [*signature(method).parameters.values()][1:]:
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD):
            most += 1
            least += each.default is each.empty
        elif each.kind == each.KEYWORD_ONLY and each.default is each.empty:
            return range(0)
    return range(least, most + 1)


@lru_cache(256)
def may_wait(method: Callable[..., Any]) -> bool:
    """Return whether a method of an entity may wait: no `async def` without an `await` does."""
    if type(method) is not FunctionType or not iscoroutinefunction(method):
        return True
    return SEND in method.__code__.co_code[::2]


@lru_cache(256)
def _parameters(method: Callable[..., Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the types of the arguments in order, and the types of all by name."""
    try:
        hints = get_type_hints(method)
    except TypeError:
        # No function, as a functools.partial.
        hints = {}
    names = [*signature(method).parameters][1:]
    return tuple(hints.get(name, Any) for name in names), hints


def convert_arguments(
    method: Callable[..., Any], body: Body
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Convert the arguments of a message to the types that the method names.

    Raises:
        msgspec.ValidationError: an argument has another type.
    """
    types, hints = _parameters(method)
    options = body.options
    if options:
        options = {name: _convert(value, hints.get(name, Any)) for name, value in options.items()}
    arguments = body.arguments
    return (*map(_convert, arguments, types), *arguments[len(types) :]), options


def _convert(value: Any, hint: Any) -> Any:
    """Convert a value of JSON."""
    return value if type(value) is hint else msgspec.convert(value, hint, str_keys=True)


def encode_value(value: Any, name: str = "") -> str:
    """Encode the result of a method, or of a function that runs once.

    Args:
        value: the result.
        name: identifies the arguments of the function.

    Raises:
        TypeError: it has no JSON.
        ValueError: it is too large.
    """
    return _decode_small(msgspec.json.encode(ReplyBody("value", value, name)), "the reply")


def encode_error(error: BaseException) -> str:
    """Encode what a method has raised."""
    if isinstance(error, Refusal):
        try:
            name = f"{type(error).__module__}:{type(error).__qualname__}"
            body = msgspec.json.encode(ReplyBody("refused", error.args, name))
            return _decode_small(body, "the reply")
        except Exception:
            # Its arguments have no JSON, refer to themselves, or are too large.
            return msgspec.json.encode(ReplyBody("refused", [_text_of(error)])).decode()
    text = f"{class_name(type(error))}: {_text_of(error)}"
    return msgspec.json.encode(ReplyBody("crashed", text)).decode()


def _text_of(error: BaseException) -> str:
    # A lone surrogate has no UTF-8.
    return error_text(error).encode(errors="backslashreplace").decode()


def read_name(reply: str) -> str:
    """Return the `name` of a reply."""
    return _replies.decode(reply).name


def take_reply(method: Callable[..., Any], key: str, reply: str) -> Any:
    """Return the value of a reply, as the method's type. The errors are those of `read_value`."""
    value = read_value(method.__qualname__, key, reply)
    return _convert(value, _parameters(method)[1].get("return", Any))


def read_value(name: str, key: str, reply: str) -> Any:
    """Return the value of a reply, as JSON has it.

    Args:
        name: what has replied, for errors.
        key: the entity.
        reply: the reply.

    Raises:
        Refusal: the method has refused.
        EntityCrashed: it has raised another exception.
    """
    body = _replies.decode(reply)
    if body.kind == "value":
        return body.value
    if body.kind == "refused":
        try:
            refusal = _find_refusal(body.name)(*body.value)
        except TypeError:
            # Its `__init__` takes other arguments than `args` has.
            refusal = EntityRefused(*body.value)
        raise refusal
    raise EntityCrashed(f"{name} of {key} failed: {body.value}")


def _find_refusal(name: str) -> type[Refusal]:
    left = [Refusal]
    while left:
        each = left.pop()
        if f"{each.__module__}:{each.__qualname__}" == name:
            return each
        left += each.__subclasses__()
    return EntityRefused
