"""What may be shown of an actor: its state and messages, redacted by itself and cut short.

Whatever is shown passes here: `debug.get_status`, a trace, a log of events, a crash report, a
snapshot. An actor that knows secrets overrides one method, `format_status`
(OTP: `gen_server:format_status/1`):

    >>> import attrs
    >>> from actors import Server
    >>> from actors.status import Status, show
    >>> @attrs.define(eq=False)
    ... class Vault(Server):
    ...     key: str
    ...     opened: int = 0
    ...     def format_status(self, status: Status) -> Status:
    ...         return attrs.evolve(status, state={**status.state, "key": "***"})
    >>> show(Vault("open sesame"))["state"]
    {'key': "'***'", 'opened': '0'}

That method is a user's, and so is every `__repr__`. What fails in them must hide neither the crash
that is being told of nor, by being passed over, show the secret: then nothing is shown but types.
"""

from collections.abc import Mapping
from contextlib import suppress
from types import MemberDescriptorType
from typing import Literal, Protocol, TypedDict, cast

import attrs

from .brief import class_name, interrupts, said
from .exits import NOTHING, ExitReason
from .request import Request, shown

Kind = Literal["in", "reply", "deferred", "refused", "exit", "crash"]

_VERBS: Mapping[str, str] = {
    "in": "got {message}{sender}",
    "reply": "replied {detail} to {message}{sender}",
    "deferred": "will reply later to {message}{sender}",
    "refused": "refused {message}{sender}: {detail}",
    "exit": "left at {message}{sender}: {detail}",
    "crash": "crashed at {message}{sender}: {detail}",
}


@attrs.frozen
class Event:
    """One thing that a server did, as a trace and a log tell of it.

    Attributes:
        at: when, in seconds of trio's clock.
        path: which server.
        kind: a message came in; its reply went out, was put off, or was refused; the server left
            by `Exit`, or crashed.
        message: which message, redacted and cut short.
        sender: the path of the actor that had sent it; empty if it is not known.
        detail: the reply, the refusal, or the reason of the end.
    """

    at: float
    path: str
    kind: Kind
    message: str
    sender: str = ""
    detail: str = ""

    def __str__(self) -> str:
        sender = f" from {self.sender}" if self.sender else ""
        verb = _VERBS[self.kind]
        return f"{self.path} " + verb.format(
            message=self.message, sender=sender, detail=self.detail
        )


class Debugging(Protocol):
    """What a process knows of whoever looks into it."""

    @property
    def suspended(self) -> bool: ...
    @property
    def events(self) -> tuple[Event, ...]: ...


@attrs.frozen
class Status:
    """What `format_status` is given, and gives back redacted (`attrs.evolve`).

    Each is what it is, not yet a text, so that the method can look into it. It may put anything
    in its place; a text is shown in quotes.

    Attributes:
        state: the actor's public fields, by name. Not those that `attrs.field(repr=False)` hides.
        message: what it is handling, None if nothing. A call or a cast has `method`, `args`,
            `kwargs`.
        reply: what it answered, in an event of a trace or log; NOTHING if it did not.
        reason: why it ended (an ExitReason), or the exception that it refused with. None while all
            is well.
        log: the last events, redacted when they happened.
    """

    state: Mapping[str, object]
    message: object = None
    reply: object = NOTHING
    reason: object = None
    log: tuple[Event, ...] = ()


class Shown(TypedDict):
    """The same as texts. `whole`: the reason stands as it was, so its traceback may be shown."""

    state: Mapping[str, str]
    message: str
    reply: str
    reason: str
    log: tuple[Event, ...]
    whole: bool


def fields_of(actor: object) -> dict[str, object]:
    """An actor's state: its public fields, in slots or not, by name."""
    names = [field.name for field in _attributes(actor)]
    found = {name: getattr(actor, name) for name in names if hasattr(actor, name)}
    for cls in reversed(type(actor).__mro__):
        for name, member in vars(cls).items():
            # Read itself: of what has no value yet, a `__getattr__` of the user's may make one.
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError):
                    found[name] = member.__get__(actor)
    found.update(getattr(actor, "__dict__", {}))
    return {name: value for name, value in found.items() if not name.startswith("_")}


def show(
    actor: object,
    message: object = None,
    reply: object = NOTHING,
    reason: object = None,
    log: tuple[Event, ...] = (),
) -> Shown:
    """Have an actor redact what is to be shown of it, and turn it into texts.

    Args:
        actor: whose state it is; None if it was never made.
        message, reply, reason, log: as in a Status.
    """
    try:
        hidden = {field.name for field in _attributes(actor) if field.repr is False}
        state = {n: v for n, v in fields_of(actor).items() if n not in hidden}
        given = Status(state, message, reply, reason, log)
        redact = getattr(actor, "format_status", None)
        status = given if redact is None else redact(given)
        return _as_texts(status, whole=status.reason is reason)
    except BaseException as error:
        if interrupts(error):
            raise
        return _nothing_of(error, message, reason)


def _as_texts(status: Status, *, whole: bool) -> Shown:
    reason = status.reason
    return Shown(
        state={str(name): shown(value) for name, value in status.state.items()},
        message="" if status.message is None else shown(status.message),
        reply="" if status.reply is NOTHING else shown(status.reply),
        reason=_reason(reason),
        log=tuple(status.log),
        whole=whole,
    )


def _reason(reason: object) -> str:
    if reason is None:
        return ""
    return said(reason) if isinstance(reason, BaseException) else str(reason)


def _nothing_of(failure: BaseException, message: object, reason: object) -> Shown:
    """What is left to show when the redaction itself, or a `__repr__`, has failed."""
    return Shown(
        state={"": f"not shown: its format_status or a repr raised {class_name(type(failure))}"},
        message="" if message is None else _kind_of(message),
        reply="...",
        reason="" if reason is None else _kind_of(reason),
        log=(),
        whole=False,
    )


def _kind_of(value: object) -> str:
    if isinstance(value, Request):
        return f"{value.method}(...)"
    if isinstance(value, ExitReason):
        error = value.error
        return value.kind if error is None else f"{value.kind} ({class_name(type(error))})"
    return f"a {class_name(type(value))}"


def _attributes(actor: object) -> "tuple[attrs.Attribute[object], ...]":
    found = getattr(type(actor), "__attrs_attrs__", ())
    return cast("tuple[attrs.Attribute[object], ...]", found)
