"""The report of an end that was no quiet one (OTP: the crash report of `proc_lib`).

One log record says where, at what, for whom, in which state and after what; `record.report` is
the same as a value, for whoever collects such things. It is imported when it is first needed: a
start that goes well makes no attrs class for it.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import attrs

from . import logs
from .exits import ExitReason, is_a
from .frames import stack_of
from .request import Request
from .safe_repr import task_name
from .status import Event, show

logger = logs.logger("okibi.actors")


class Debugged(Protocol):
    """What a report needs of what debugs an actor."""

    @property
    def events(self) -> tuple[Event, ...]: ...


class Ended(Protocol):
    """What a report needs of the process that has ended."""

    path: str
    incarnation: int
    current: object

    @property
    def actor(self) -> object: ...
    @property
    def deferred(self) -> Collection[Request] | None: ...
    @property
    def debug(self) -> Debugged | None: ...


@attrs.frozen
class CrashReport:
    """How one incarnation ended, redacted by the actor's own `format_status` and cut short.

    Attributes:
        path: which actor.
        incarnation: which start of that place.
        reason: why it ended.
        message: what it was handling; empty if nothing.
        caller: the path of the actor that had sent that; empty if it is not known.
        state: its public fields as texts.
        traceback: of its crash; without the exception's own words if the actor redacts its reason.
        client: the stack of the task that waited for it to answer `message`; empty if none did.
        client_name: that task's name: an actor's path, or a function.
        callers: how many others waited for an answer, queued or put off.
        unread: how many messages it took along.
        log: the last events, if a log was on (`debug.log`).
    """

    path: str
    incarnation: int
    reason: str
    message: str = ""
    caller: str = ""
    state: Mapping[str, str] = attrs.field(factory=dict[str, str])
    traceback: str = ""
    client: str = ""
    client_name: str = ""
    callers: int = 0
    unread: int = 0
    log: tuple[Event, ...] = ()

    def __str__(self) -> str:
        """The report without the traceback of the crash, which logging writes below it."""
        return "\n".join([self._headline(), *self._details()])

    def _headline(self) -> str:
        parts = [f"{self.path} (incarnation {self.incarnation}) ended: {self.reason}"]
        if self.message:
            sender = f" from {self.caller}" if self.caller else ""
            parts.append(f"while handling {self.message}{sender}")
        if self.unread:
            parts.append(f"with {_number(self.unread, 'message')} unread")
        if self.callers:
            parts.append(f"while {_number(self.callers, 'more caller')} waited")
        return ", ".join(parts)

    def _details(self) -> Iterable[str]:
        if self.state:
            fields = [f"{name}={value}" if name else value for name, value in self.state.items()]
            yield f"  state: {', '.join(fields)}"
        if self.log:
            yield f"  last {_number(len(self.log), 'event')}:"
            yield from (f"    {event.at:.3f} {event}" for event in self.log)
        if self.client:
            yield f"  {self.client_name} waited for it in:"
            yield from (f"  {line}" for line in self.client.rstrip().splitlines())


def log_crash(
    process: Ended, reason: ExitReason, left: Sequence[object], *, told: bool = False
) -> None:
    """Write the report of an end: an error if an exception is behind it, else a warning.

    Args:
        process: who ended; what it was handling is still its `current`.
        reason: why.
        left: what waited for an answer, or to be read.
        told: whether another's report has the traceback already.
    """
    level = logging.WARNING if reason.error is None else logging.ERROR
    if not logger.isEnabledFor(level):
        return
    report, whole = _report_of(process, reason, left)
    if told or whole or reason.error is None:
        error = None if told else reason.error
        logs.log_or_raise(logger, level, "%s", report, exc_info=error, extra={"report": report})
    else:
        # An exception whose words the actor redacts must not be written by logging either.
        lines = report.traceback
        logs.log_or_raise(logger, level, "%s\n%s", report, lines, extra={"report": report})


def _report_of(
    process: Ended, reason: ExitReason, left: Sequence[object]
) -> tuple[CrashReport, bool]:
    """The report, and whether the reason in it is the whole one."""
    message, debug = process.current, process.debug
    log = () if debug is None else debug.events
    shown = show(process.actor, message, reason=reason, log=log)
    request = message if is_a(message, Request) else None
    client = request.client if request is not None and request.wanted else None
    caller = None if request is None else request.caller
    sender = "" if caller is None else caller.path
    # Not who asked for what it was handling, though that reply may have been put off already.
    others = [each for each in (*(process.deferred or ()), *left) if each is not message]
    report = CrashReport(
        path=process.path,
        incarnation=process.incarnation,
        reason=shown["reason"] or reason.kind,
        message=shown["message"],
        caller=sender,
        state=MappingProxyType(shown["state"]),
        traceback=_traceback(reason.error, whole=shown["whole"]),
        client=stack_of(client),
        client_name="" if client is None else task_name(client, sender),
        callers=sum(is_a(other, Request) and other.wanted for other in others),
        unread=len(left),
        log=shown["log"],
    )
    return report, shown["whole"]


def _traceback(error: BaseException | None, *, whole: bool) -> str:
    if error is None:
        return ""
    return logs.traceback_text(error, words=whole)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
