"""What may be shown of an actor: its state and messages, without what is secret, and cut short.

Whatever is shown passes here: `debug.get_status`, a trace, a log of events, a crash report, a
snapshot. The log of a function is read by more people than its data, and kept for longer. So what
is shown of a value is its type, and its length where it has one: `str[11]`. With
`OKIBI_CRASH_REPORTS=full`, which `okibi invoke` sets, it is the value.

Never shown is what is secret by a mark or by name (`actors.secret`), and a field that an attrs
class declares with `repr=False`. For the rest an actor overrides one method, `format_status`
(OTP: `gen_server:format_status/1`). A text that the method puts in the place of something is shown:

    >>> import attrs
    >>> from okibi.actors import Server
    >>> from okibi.actors.status import Status, show
    >>> @attrs.define(eq=False)
    ... class Vault(Server):
    ...     owner: str
    ...     pin: str
    ...     key: str
    ...     def format_status(self, status: Status) -> Status:
    ...         return attrs.evolve(status, state={**status.state, "owner": self.owner[:1] + "."})
    >>> show(Vault("bob", "1234", "sesame"))["state"]
    {'owner': "'b.'", 'pin': 'str[4]', 'key': '***'}

That method is a user's code. What fails in it must hide neither the crash that is being told of
nor, by being passed over, show the secret: then nothing is shown but types.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import zip_longest
from types import MemberDescriptorType
from typing import Any, Literal, Protocol, TypedDict, cast

import attrs

from .exits import NOTHING, ExitReason, Redacted, is_a
from .request import Request
from .safe_repr import (
    CRASH_REPORTS,
    IN_A_SENTENCE,
    brief,
    class_name,
    cut,
    interrupts,
    said,
    shape,
)
from .secret import HIDDEN, Parameters, is_secret_name, parameters_of, secret_fields

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
            Those that are secret by a mark or by name are here, and are not shown.
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
        given = _given(actor, message, reply, reason, log)
        status = _redacted(actor, given)
        texts = _Texts(type(actor), given)
        return Shown(
            state=texts.state(status.state, given.state),
            message=texts.message(status.message, given.message),
            reply="" if status.reply is NOTHING else texts.value(status.reply, given.reply),
            reason=texts.reason(status.reason),
            log=tuple(status.log),
            whole=status.reason is reason,
        )
    except BaseException as error:
        if interrupts(error):
            raise
        return _nothing_of(error, message, reason)


def told(actor: object, message: object, reason: ExitReason) -> ExitReason:
    """Why an actor has ended, as others are told: as its `format_status` leaves it.

    The kind stays what it is, for supervisors decide by it.

    Args:
        actor: who.
        message: what it was handling.
        reason: why.
    """
    try:
        status = _redacted(actor, _given(actor, message, NOTHING, reason, ()))
        if status.reason is reason:
            return reason
        if isinstance(status.reason, ExitReason):
            detail = status.reason.detail
            words = said(detail) if isinstance(detail, BaseException) else detail
        else:
            detail = words = status.reason
        words = words if type(words) is str else ""
    except BaseException:
        # Inside an actor, which Ctrl-C does not reach. Its redaction has failed: the type is left.
        detail = words = shape(reason.detail)
    if reason.error is None:
        return ExitReason(reason.kind, words or None)
    own = isinstance(detail, BaseException) and detail is not reason.error
    return ExitReason(reason.kind, detail if own else Redacted(*[words] if words else []))


def _given(
    actor: object, message: object, reply: object, reason: object, log: tuple[Event, ...]
) -> Status:
    hidden = {field.name for field in _attributes(actor) if field.repr is False}
    state = {n: v for n, v in fields_of(actor).items() if n not in hidden}
    return Status(state, message, reply, reason, log)


def _redacted(actor: object, given: Status) -> Status:
    redact = getattr(actor, "format_status", None)
    return given if redact is None else redact(given)


class _Texts:
    """Turns what an actor lets be shown into texts.

    Args:
        kind: the actor's class.
        given: what the actor's `format_status` was given.
    """

    def __init__(self, kind: Any, given: Status) -> None:
        self._kind = kind
        self._marked = secret_fields(kind)
        # By id, for all that `format_status` could move to another place: whether it is secret.
        self._known: dict[int, bool] = {}
        self._know((value, self._is_secret(name)) for name, value in given.state.items())
        if is_a(given.message, Request):
            self._know((value, secret) for _, value, secret in self._arguments(given.message))
        else:
            self._know([(given.message, False)])
        self._know([(given.reply, False)])
        self._text_of = shape
        if os.environ.get(CRASH_REPORTS) == "full":
            # Late: in production nobody asks for values.
            from .values import text_of

            self._text_of = text_of

    def value(self, value: object, given: object) -> str:
        """A value; a text that `format_status` has put there is there to be read."""
        if value is not given:
            secret = self._known.get(id(value))
            if secret is None and type(value) is str:
                return brief(value)
            if secret:
                return HIDDEN
        return self._text_of(value)

    def state(self, state: Mapping[str, object], given: Mapping[str, object]) -> dict[str, str]:
        """The fields by name."""
        texts: dict[str, str] = {}
        for field, value in state.items():
            hidden = self._is_secret(field) and value is not None
            shown = HIDDEN if hidden else self.value(value, given.get(field, NOTHING))
            texts[str(field)] = shown
        return texts

    def message(self, message: object, given: object) -> str:
        """What is handled: of a call or a cast the method, and what it is given."""
        if message is None:
            return ""
        if is_a(message, Request):
            return self._request(message)
        return self.value(message, given)

    def _request(self, message: Request) -> str:
        # Where the method is not known, as of a task, no name says what is secret.
        known = parameters_of(self._kind, message.method) is not None
        text_of = self._text_of if known else shape
        arguments = (
            f"{name}={HIDDEN if secret else text_of(value)}".removeprefix("=")
            for name, value, secret in self._arguments(message)
        )
        return cut(f"{message.method}({', '.join(arguments)})", IN_A_SENTENCE)

    def reason(self, reason: object) -> str:
        """Why it ended, or the words of what it refused with."""
        if reason is None:
            return ""
        if isinstance(reason, BaseException):
            return said(reason)
        own = isinstance(reason, (ExitReason, str))
        return cut(str(reason), IN_A_SENTENCE) if own else shape(reason)

    def _know(self, values: Iterable[tuple[object, bool]]) -> None:
        for value, secret in values:
            secret = secret and value is not None
            self._known[id(value)] = self._known.get(id(value), False) or secret

    def _is_secret(self, field: object) -> bool:
        return field in self._marked or is_secret_name(str(field))

    def _arguments(self, request: Request) -> Iterator[tuple[str, object, bool]]:
        """Each argument, with its name if it is given by name, and whether it is secret."""
        parameters = parameters_of(self._kind, request.method) or Parameters((), None, frozenset())
        names, rest = parameters.names[: len(request.args)], parameters.rest
        for value, name in zip_longest(request.args, names, fillvalue=rest):
            secret = name is not None and parameters.hides(name)
            yield "", value, secret and value is not None
        for name, value in request.kwargs.items():
            yield name, value, parameters.hides(name) and value is not None


def _nothing_of(failure: BaseException, message: object, reason: object) -> Shown:
    """What is left to show when the redaction itself has failed."""
    return Shown(
        state={"": f"not shown: its format_status or a field raised {class_name(type(failure))}"},
        message="" if message is None else _kind_of(message),
        reply="...",
        reason="" if reason is None else _kind_of(reason),
        log=(),
        whole=False,
    )


def _kind_of(value: object) -> str:
    kind = type(value)
    if issubclass(kind, Request):
        return f"{cast('Request', value).method}(...)"
    if issubclass(kind, ExitReason):
        reason = cast("ExitReason", value)
        return reason.kind if reason.error is None else f"{reason.kind} ({shape(reason.error)})"
    return shape(value)


def _attributes(actor: object) -> "tuple[attrs.Attribute[object], ...]":
    found = getattr(type(actor), "__attrs_attrs__", ())
    return cast("tuple[attrs.Attribute[object], ...]", found)
