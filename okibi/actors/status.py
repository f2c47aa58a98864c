"""Turn the state and the messages of an actor into texts without secrets.

Crash reports, traces, logs of events, snapshots and `debug.get_status` show only these texts. More
people read a function's log than its data, and logs are kept longer. A value is therefore shown as
its type and length: `str[11]`. `OKIBI_CRASH_REPORTS=full` shows the value; `okibi invoke` and
`okibi dev` set it.

Never shown: values that are secret by a mark or a name (`actors.secret`), and fields of an attrs
class with `repr=False`. For more, an actor overrides `format_status` (OTP:
`gen_server:format_status/1`). A text that this method puts in place of a value is shown as it is:

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

If `format_status` raises, only types are shown: the error must neither hide the crash that is being
reported nor disclose the secret.
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
    INLINE_LIMIT,
    class_name,
    cut,
    error_text,
    is_ctrl_c,
    shape,
    short_repr,
)
from .secret import HIDDEN, Parameters, is_secret_name, parameters_of, secret_fields

EventKind = Literal["in", "reply", "deferred", "refused", "exit", "crash"]

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
    """One event of a server, for `debug.trace`, `debug.log` and crash reports.

    Attributes:
        at: the time in seconds of trio's clock.
        path: the server's path.
        kind: "in" (message received), "reply" (sent), "deferred" (reply put off), "refused" (by a
            Refusal), "exit" (by an Exit) or "crash".
        message: the message as redacted text.
        sender: path of the actor that sent the message; empty if unknown.
        detail: the reply, the refusal, or the exit reason, as redacted text.
    """

    at: float
    path: str
    kind: EventKind
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
    """The debug functions of a server, as far as its process and a snapshot read them."""

    @property
    def suspended(self) -> bool: ...
    @property
    def events(self) -> tuple[Event, ...]: ...


@attrs.frozen
class Status:
    """Given to an actor's `format_status`, which returns a redacted copy (`attrs.evolve`).

    The fields hold values, not texts. `format_status` may replace each by any value. A text is
    shown in quotes. OTP: `gen_server:format_status/1`.

        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, message="hidden")

    Attributes:
        state: the actor's public fields by name, without those of `attrs.field(repr=False)`. Fields
            that are secret by a mark or a name are present, but never shown.
        message: the message being handled; None if none. A call or cast has `method`, `args` and
            `kwargs`.
        reply: the reply, in an event of a trace or log; NOTHING if there is none.
        reason: the ExitReason of the end, or the exception of a refusal; None for neither.
        log: the last events, redacted when they were recorded.
    """

    state: Mapping[str, object]
    message: object = None
    reply: object = NOTHING
    reason: object = None
    log: tuple[Event, ...] = ()


class StatusTexts(TypedDict):
    """A Status as texts.

    `whole`: `format_status` has kept the reason, so the traceback of the crash may be shown.
    """

    state: Mapping[str, str]
    message: str
    reply: str
    reason: str
    log: tuple[Event, ...]
    whole: bool


def fields_of(actor: object) -> dict[str, object]:
    """Return the public fields of an actor by name, in slots or in `__dict__`."""
    names = [field.name for field in _attributes(actor)]
    found = {name: getattr(actor, name) for name in names if hasattr(actor, name)}
    for cls in reversed(type(actor).__mro__):
        for name, member in vars(cls).items():
            # Read through the slot: for a slot without value, `getattr` may call a user's
            # `__getattr__`.
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError):
                    found[name] = member.__get__(actor)
    found.update(getattr(actor, "__dict__", {}))
    record: Any = getattr(actor, "_state_record", None)
    if hasattr(record, "state"):
        found["state"] = record.state  # of a StateMachine
    return {name: value for name, value in found.items() if not name.startswith("_")}


def show(
    actor: object,
    message: object = None,
    reply: object = NOTHING,
    reason: object = None,
    log: tuple[Event, ...] = (),
) -> StatusTexts:
    """Redact the status of an actor and turn it into texts. Raises only on Ctrl-C.

    Args:
        actor: the actor; None if the factory failed.
        message, reply, reason, log: as in Status.
    """
    try:
        given = _status_of(actor, message, reply, reason, log)
        status = _redacted(actor, given)
        texts = _StatusFormatter(type(actor), given)
        return StatusTexts(
            state=texts.state(status.state, given.state),
            message=texts.message(status.message, given.message),
            reply="" if status.reply is NOTHING else texts.value(status.reply, given.reply),
            reason=texts.reason(status.reason),
            log=tuple(status.log),
            whole=status.reason is reason,
        )
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return _types_only(error, message, reason)


def redact_reason(actor: object, message: object, reason: ExitReason) -> ExitReason:
    """Return the exit reason for callers, monitors and the supervisor, after `format_status`.

    The kind never changes, because supervisors decide by it.

    Args:
        actor: the actor that has ended.
        message: the message that it was handling.
        reason: the unredacted reason.
    """
    try:
        status = _redacted(actor, _status_of(actor, message, NOTHING, reason, ()))
        if status.reason is reason:
            return reason
        if isinstance(status.reason, ExitReason):
            detail = status.reason.detail
            text = error_text(detail) if isinstance(detail, BaseException) else detail
        else:
            detail = text = status.reason
        text = text if type(text) is str else ""
    except BaseException:
        # Ctrl-C does not reach an actor, so this is an error of `format_status`: keep the type.
        detail = text = shape(reason.detail)
    if reason.kind != "crashed":
        return ExitReason(reason.kind, text or None)
    replaced = isinstance(detail, BaseException) and detail is not reason.error
    return ExitReason(reason.kind, detail if replaced else Redacted(*[text] if text else []))


def _status_of(
    actor: object, message: object, reply: object, reason: object, log: tuple[Event, ...]
) -> Status:
    hidden = {field.name for field in _attributes(actor) if field.repr is False}
    state = {n: v for n, v in fields_of(actor).items() if n not in hidden}
    return Status(state, message, reply, reason, log)


def _redacted(actor: object, given: Status) -> Status:
    redact = getattr(actor, "format_status", None)
    return given if redact is None else redact(given)


class _StatusFormatter:
    """Turns a redacted Status into texts.

    Args:
        kind: the actor's class.
        given: the Status before redaction.
    """

    def __init__(self, kind: Any, given: Status) -> None:
        self._kind = kind
        self._marked = secret_fields(kind)
        # Whether each given value is secret, by id: `format_status` may move values.
        self._secret_by_id: dict[int, bool] = {}
        self._mark((value, self._is_secret(name)) for name, value in given.state.items())
        if is_a(given.message, Request):
            self._mark((value, secret) for _, value, secret in self._arguments(given.message))
        else:
            self._mark([(given.message, False)])
        self._mark([(given.reply, False)])
        self._text_of = shape
        if os.environ.get(CRASH_REPORTS) == "full":
            # Imported here: production shows no values.
            from .redacted_repr import redacted_repr

            self._text_of = redacted_repr

    def value(self, value: object, given: object) -> str:
        """Format a value. A text that `format_status` has put in its place is shown as it is."""
        if value is not given:
            secret = self._secret_by_id.get(id(value))
            if secret is None and type(value) is str:
                return short_repr(value)
            if secret:
                return HIDDEN
        return self._text_of(value)

    def state(self, state: Mapping[str, object], given: Mapping[str, object]) -> dict[str, str]:
        """Format the fields by name."""
        texts: dict[str, str] = {}
        for field, value in state.items():
            hidden = self._is_secret(field) and value is not None
            shown = HIDDEN if hidden else self.value(value, given.get(field, NOTHING))
            texts[str(field)] = shown
        return texts

    def message(self, message: object, given: object) -> str:
        """Format a message; a call or cast as its method and arguments."""
        if message is None:
            return ""
        if is_a(message, Request):
            return self._request(message)
        return self.value(message, given)

    def _request(self, message: Request) -> str:
        # Without the method, as for a task, no parameter name says which argument is secret.
        known = parameters_of(self._kind, message.method) is not None
        text_of = self._text_of if known else shape
        arguments = (
            f"{name}={HIDDEN if secret else text_of(value)}".removeprefix("=")
            for name, value, secret in self._arguments(message)
        )
        return cut(f"{message.method}({', '.join(arguments)})", INLINE_LIMIT)

    def reason(self, reason: object) -> str:
        """Format an exit reason, or the message of a refusal."""
        if reason is None:
            return ""
        if isinstance(reason, BaseException):
            return error_text(reason)
        own = isinstance(reason, (ExitReason, str))
        return cut(str(reason), INLINE_LIMIT) if own else shape(reason)

    def _mark(self, values: Iterable[tuple[object, bool]]) -> None:
        for value, secret in values:
            secret = secret and value is not None
            known = self._secret_by_id.get(id(value), False)
            self._secret_by_id[id(value)] = known or secret

    def _is_secret(self, field: object) -> bool:
        return field in self._marked or is_secret_name(str(field))

    def _arguments(self, request: Request) -> Iterator[tuple[str, object, bool]]:
        """Yield each argument: its name, empty if positional; its value; whether it is secret."""
        parameters = parameters_of(self._kind, request.method) or Parameters((), None, frozenset())
        names, rest = parameters.names[: len(request.args)], parameters.rest
        for value, name in zip_longest(request.args, names, fillvalue=rest):
            secret = name is not None and parameters.hides(name)
            yield "", value, secret and value is not None
        for name, value in request.kwargs.items():
            yield name, value, parameters.hides(name) and value is not None


def _types_only(failure: BaseException, message: object, reason: object) -> StatusTexts:
    """Return the texts for a failed redaction."""
    return StatusTexts(
        state={"": f"not shown: format_status or a field raised {class_name(type(failure))}"},
        message="" if message is None else _type_of(message),
        reply="...",
        reason="" if reason is None else _type_of(reason),
        log=(),
        whole=False,
    )


def _type_of(value: object) -> str:
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
