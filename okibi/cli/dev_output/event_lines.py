"""Turn what happens to the functions into lines for a person."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs

from ...dev.asynchronous.queue_reports import EventDropped, EventRetried, QueueReport
from ...dev.http_reports import HttpAnswered, HttpInvoked, HttpReport
from ...dev.invocation_events import (
    DevEvent,
    FunctionFailure,
    InitFailed,
    InvocationFinished,
    InvocationStatus,
    LogLine,
    Reloaded,
    ReloadFailed,
    SandboxEnded,
    SandboxStarted,
    SourceChanged,
)
from ...project.start_errors import advise_on_missing_module
from .colours import Colour, Paint

Happening: TypeAlias = DevEvent | QueueReport | HttpReport

# Lines of Lambda and of the runtime whose content the line of the invocation has too.
REPEATED = re.compile(
    r"(START RequestId: |END RequestId: |REPORT RequestId: |INIT_REPORT )"
    r"|\S+Z \S+ Task timed out after "
)
# An error of the runtime. The line of the invocation has it too, unless the invocation was
# answered, as by a web application.
ERROR = re.compile(r"\[ERROR\] [^\t]*\rTraceback ")
COLOURS: Mapping[InvocationStatus, Colour] = {
    InvocationStatus.OK: Colour.GREEN,
    InvocationStatus.TIMED_OUT: Colour.YELLOW,
}
INDENT = "    "
MAX_NAMED_FILES = 3


@attrs.define(eq=False)
class EventLines:
    """Makes the lines. An event of an HTTP request gets its line when the request has ended.

    Args:
        functions: the served functions: their names and the folders of their code. Log lines have
            a name in front if there are several.
        paint: colours text.
    """

    functions: Mapping[str, Path]
    paint: Paint
    # By request id, until the line is printed.
    _requests: dict[str, HttpInvoked | HttpAnswered] = attrs.field(
        init=False, factory=dict[str, HttpInvoked | HttpAnswered]
    )
    # Invocations that wait for the end of their HTTP request.
    _finished: dict[str, InvocationFinished] = attrs.field(
        init=False, factory=dict[str, InvocationFinished]
    )
    # Errors of each function, until its invocation ends.
    _errors: dict[str, list[LogLine]] = attrs.field(init=False, factory=dict[str, list[LogLine]])
    # The changed files of each function that reloads.
    _changed: dict[str, tuple[Path, ...]] = attrs.field(
        init=False, factory=dict[str, tuple[Path, ...]]
    )
    _reloaded: dict[tuple[Path, ...], list[Reloaded]] = attrs.field(
        init=False, factory=dict[tuple[Path, ...], list[Reloaded]]
    )
    # Why the last reload failed, for functions with the same files.
    _last_failure: FunctionFailure | None = attrs.field(init=False, default=None)

    def lines(self, happening: Happening) -> list[str]:
        """Return the lines to print now."""
        match happening:
            case LogLine():
                return self._log_lines(happening)
            case InvocationFinished():
                return self._finish(happening)
            case HttpInvoked():
                self._requests[happening.request_id] = happening
                return []
            case HttpAnswered():
                return self._answer(happening)
            case SourceChanged():
                self._changed[happening.function] = tuple(happening.files)
                return []
            case Reloaded() | ReloadFailed():
                return self._reload(happening)
            case InitFailed():
                errors = self._take_errors(happening.function, happening.failure)
                head = self._head(happening.function, "does not start", Colour.RED)
                lines = self._failure_lines(happening.function, happening.failure)
                return [*errors, head, *lines]
            case SandboxStarted(attached=True):
                return [self._head(happening.function, "a runtime has attached", Colour.CYAN)]
            case SandboxEnded(reason="disconnected"):
                return [self._head(happening.function, "the runtime has left", Colour.CYAN)]
            case EventRetried():
                times = "once" if happening.attempts == 1 else f"{happening.attempts} times"
                text = f"runs again in {happening.delay:g} s (failed {times})"
                return [self._queue_line(happening, text)]
            case EventDropped():
                text = f"dropped ({happening.condition}), kept in {short_path(happening.file)}"
                return [self._queue_line(happening, text)]
            case SandboxEnded():
                return self._take_errors(happening.function, None)
            case SandboxStarted():
                return []

    # -- invocations

    def _finish(self, finished: InvocationFinished) -> list[str]:
        request = self._requests.get(finished.request_id)
        if isinstance(request, HttpInvoked):
            self._finished[finished.request_id] = finished
            return []
        self._requests.pop(finished.request_id, None)
        return self._invocation_lines(finished, request)

    def _answer(self, answered: HttpAnswered) -> list[str]:
        if not answered.request_id:
            colour = Colour.DIM if (answered.status or 500) < 400 else Colour.YELLOW
            return [self.paint(_describe_request(answered), colour)]
        finished = self._finished.pop(answered.request_id, None)
        if finished is None:
            # The function goes on, for instance in its background tasks.
            self._requests[answered.request_id] = answered
            return []
        del self._requests[answered.request_id]
        return self._invocation_lines(finished, answered)

    def _invocation_lines(
        self, finished: InvocationFinished, request: HttpAnswered | None
    ) -> list[str]:
        status, colour = finished.status.value, COLOURS.get(finished.status, Colour.RED)
        if (part := finished.partial_failure) is not None:
            status = f"{part.failed:,} of {part.records:,} records failed"
            colour = Colour.YELLOW
        parts = [self._head(finished.function, status, colour)]
        if request is not None:
            failed = request.status is None or request.status >= 500
            parts.append(self.paint(_describe_request(request), *([Colour.RED] if failed else [])))
        parts.append(f"{_milliseconds(finished.duration_ms)} ms")
        if finished.init_ms is not None:
            parts.append(self.paint(f"init {_milliseconds(finished.init_ms)} ms", Colour.YELLOW))
        if finished.memory is not None:
            parts.append(f"{finished.memory:.0f} MB")
        parts.append(self.paint(finished.request_id, Colour.DIM))
        lines = [*self._take_errors(finished.function, finished.failure), "  ".join(parts)]
        if finished.failure is not None:
            lines += self._failure_lines(finished.function, finished.failure)
        return lines

    def _failure_lines(self, function: str, failure: FunctionFailure) -> list[str]:
        """Describe the error, with the user's frames and the cure of a missing module."""
        text = f"{failure.error_type}: {failure.message}" if failure.message else failure.error_type
        lines = [
            self.paint(f"{INDENT}{line}", Colour.RED) for line in text.splitlines() if line.strip()
        ]
        frames = [line for frame in failure.frames for line in frame.rstrip().splitlines()]
        advice = advise_on_missing_module(failure.message, self.functions[function])
        return lines + [f"{INDENT}{line}" for line in filter(None, [*frames, advice])]

    def _queue_line(self, event: EventRetried | EventDropped, text: str) -> str:
        head = self._head(event.function, text, Colour.YELLOW)
        return f"{head}  {self.paint(event.request_id, Colour.DIM)}"

    def _head(self, function: str, text: str, colour: Colour) -> str:
        width = max(map(len, self.functions), default=0)
        return f"{self.paint(function.ljust(width), Colour.BOLD)}  {self.paint(text, colour)}"

    # -- log lines

    def _log_lines(self, log: LogLine) -> list[str]:
        if REPEATED.match(log.text):
            return []
        if ERROR.match(log.text):
            self._errors.setdefault(log.function, []).append(log)
            return []
        return self._text_lines(log)

    def _take_errors(self, function: str, failure: FunctionFailure | None) -> list[str]:
        """Return the errors that are not the failure of the invocation."""
        errors = self._errors.pop(function, [])
        if failure is not None:
            own = f"[ERROR] {failure.error_type}: "
            repeated = next((error for error in errors if error.text.startswith(own)), None)
            errors = [error for error in errors if error is not repeated]
        return [line for error in errors for line in self._text_lines(error)]

    def _text_lines(self, log: LogLine) -> list[str]:
        # Within one entry, "\r" stands for a line break.
        lines = log.text.rstrip("\r").split("\r")
        if len(self.functions) < 2:
            return lines
        width = max(map(len, self.functions))
        prefix = self.paint(f"{log.function.ljust(width)} |", Colour.DIM)
        return [f"{prefix} {line}" for line in lines]

    # -- reload

    def _reload(self, happening: Reloaded | ReloadFailed) -> list[str]:
        files = self._changed.pop(happening.function, ())
        lines = list[str]()
        if isinstance(happening, ReloadFailed):
            serving = "; the last good version keeps serving" if happening.still_serving else ""
            again = happening.failure == self._last_failure
            what = "the same error" if again else "does not start"
            text = f"{_name_files(files)} changed: {what}{serving}"
            lines = [self._head(happening.function, text, Colour.RED)]
            if not again:
                lines += self._failure_lines(happening.function, happening.failure)
            self._last_failure = happening.failure
        else:
            self._last_failure = None
            self._reloaded.setdefault(files, []).append(happening)
        if files not in self._changed.values() and files in self._reloaded:
            reloaded = self._reloaded.pop(files)
            took = max(each.milliseconds for each in reloaded)
            what = reloaded[0].function if len(reloaded) == 1 else f"{len(reloaded)} functions"
            text = f"{_name_files(files)} changed: {what} reloaded in {took:.0f} ms"
            lines.append(self.paint(text, Colour.CYAN))
        return lines


def describe_queued(counts: Mapping[str, int], data: Path | None) -> list[str]:
    """Return one sentence for each function whose events have not ended when `okibi dev` ends.

    Args:
        counts: the events by function, as from `EventQueue.counts`.
        data: the data folder, or None.

    Example:
        >>> describe_queued({"visits": 2}, None)
        ['2 queued events of visits are lost; keep such events with --data FOLDER']
    """
    sentences: list[str] = []
    for name, count in counts.items():
        events, are = ("event", "is") if count == 1 else ("events", "are")
        end = (
            f"{are} lost; keep such events with --data FOLDER"
            if data is None
            else f"{are} kept; okibi dev --data {data} goes on with them"
        )
        sentences.append(f"{count:,} queued {events} of {name} {end}")
    return sentences


def _describe_request(request: HttpAnswered) -> str:
    status = "the client left" if request.status is None else request.status
    return f"{request.method} {request.path} {status}"


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _name_files(files: Sequence[Path]) -> str:
    # An editor's or sed's temporary files are gone again.
    kept = [file for file in files if file.exists()] or files
    names = [short_path(file) for file in kept[:MAX_NAMED_FILES]]
    more = len(kept) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "") if names else "the code"


def short_path(path: Path) -> str:
    """Name a file from the current folder, if it is below."""
    short = os.path.relpath(path)
    return str(path) if short.startswith("..") else short
