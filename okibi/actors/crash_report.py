"""The report of an actor's crash (OTP: the crash report of `proc_lib`).

One log record says which actor ended and why, what it was handling and for whom, its state, and
its last events. `record.report` is the same as a CrashReport. This module is imported with the
first crash, because a start without crashes does not need it.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import attrs

from . import logs
from .exits import ExitReason, is_a
from .request import Request
from .safe_repr import task_name, traceback_of
from .short_traceback import format_frames, format_task
from .status import Event, show
from .work import Work

logger = logs.logger("okibi.actors")


class EndedProcess(Protocol):
    """A process that has ended, as far as a report reads it."""

    path: str
    incarnation: int
    work: Work

    @property
    def actor(self) -> object: ...


@attrs.frozen
class CrashReport:
    """The end of one incarnation of an actor, redacted by the `format_status` of the actor.

    Logged as `record.report` by the logger `okibi.actors`. OTP: the crash report of `proc_lib`.

        class CountCrashes(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if hasattr(record, "report"):
                    crashes[record.report.path] += 1

    Attributes:
        path: the actor's path, `/function/visits`.
        incarnation: the number of the start, from 1.
        reason: the exit reason as text.
        message: the message that was being handled; empty if none.
        caller: path of the actor that sent `message`; empty if unknown.
        state: the actor's public fields as texts.
        traceback: the traceback of the crash, with the user's frames only; without the
            exception's message if the actor redacts its reason.
        client: stack of the task that waited for the reply to `message`; empty if none waited.
        client_name: name of that task: an actor's path, or a function.
        callers: the number of other callers that waited for a reply.
        unread: the number of messages left in the mailbox.
        log: the last events, if `debug.log` was on.
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
        """Return the report without `traceback`, which logging prints below it."""
        return "\n".join([self._headline(), *self._details()])

    def _headline(self) -> str:
        parts = [f"{self.path} (incarnation {self.incarnation}) ended: {self.reason}"]
        if self.message:
            sender = f" from {self.caller}" if self.caller else ""
            parts.append(f"while handling {self.message}{sender}")
        if self.unread:
            parts.append(f"with {_count(self.unread, 'message')} unread")
        if self.callers:
            parts.append(f"while {_count(self.callers, 'more caller')} waited")
        return ", ".join(parts)

    def _details(self) -> Iterable[str]:
        if self.state:
            fields = [f"{name}={value}" if name else value for name, value in self.state.items()]
            yield f"  state: {', '.join(fields)}"
        if self.log:
            yield f"  last {_count(len(self.log), 'event')}:"
            yield from (f"    {event.at:.3f} {event}" for event in self.log)
        if self.client:
            yield f"  {self.client_name} waited for the reply at:"
            yield from (f"  {line}" for line in self.client.rstrip().splitlines())


def log_crash(
    process: EndedProcess,
    reason: ExitReason,
    unanswered: Sequence[object],
    *,
    already_logged: bool = False,
) -> None:
    """Log the report of an end: as an error if an exception caused it, else as a warning.

    Args:
        process: the ended process; `work.message` is still the message that it was handling.
        reason: why it ended.
        unanswered: the messages that were left in the mailbox.
        already_logged: whether another report has the traceback of this exception.
    """
    error = reason.error
    level = logging.WARNING if error is None else logging.ERROR
    if not logger.isEnabledFor(level):
        return
    report, discloses_reason, left_out = _make_report(process, reason, unanswered)
    text: object = report
    if already_logged:
        left_out = False
    elif error is not None:
        if discloses_reason:
            extra = {"report": report}
            logs.log_or_raise(logger, level, "%s", report, exc_info=error, extra=extra)
            return
        # Without exc_info: logging would print the message that the actor redacts.
        text = f"{report}\n{report.traceback}".removesuffix("\n")
    if left_out:
        text = f"{text}\n{logs.TRACE_HINT}"
    logs.log_or_raise(logger, level, "%s", text, extra={"report": report})


def _make_report(
    process: EndedProcess, reason: ExitReason, unanswered: Sequence[object]
) -> tuple[CrashReport, bool, bool]:
    """Make the report; tell whether its reason is unredacted, and whether frames were left out."""
    message, debug = process.work.message, process.work.debug
    events = () if debug is None else debug.events
    shown = show(process.actor, message, reason=reason, log=events)
    request = message if is_a(message, Request) else None
    client = request.client if request is not None and request.wanted else None
    caller = None if request is None else request.caller
    sender = "" if caller is None else caller.path
    # Without the client of `message`, even if the reply to it was put off already.
    others = [
        each for each in (*(process.work.deferred_calls or ()), *unanswered) if each is not message
    ]
    trace, trace_cut = _format_error(reason.error, with_message=shown["whole"])
    stack, stack_cut = format_task(client)
    report = CrashReport(
        path=process.path,
        incarnation=process.incarnation,
        reason=shown["reason"] or reason.kind,
        message=shown["message"],
        caller=sender,
        state=MappingProxyType(shown["state"]),
        traceback=trace,
        client="".join(stack),
        client_name="" if client is None else task_name(client, sender),
        callers=sum(is_a(other, Request) and other.wanted for other in others),
        unread=len(unanswered),
        log=shown["log"],
    )
    return report, shown["whole"], trace_cut or stack_cut


def _format_error(error: BaseException | None, *, with_message: bool) -> tuple[str, bool]:
    if error is None:
        return "", False
    if with_message:
        return logs.short_traceback(error)
    lines, left_out = format_frames(traceback_of(error))
    return "".join(lines), left_out


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
