"""Events of the served functions: frozen values for the lines that `okibi dev` prints."""

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import msgspec

from ..local.platform.invocation import Invocation
from ..local.platform.outcomes import InvocationOutcome
from ..local.platform.report_lines import billed_ms
from ..local.settings import FunctionSettings

# A syntax error's entry has no comma, as the official client writes it.
_PLACE = re.compile(r'\s*File "(?P<file>[^"]+)",? [Ll]ine (?P<line>\d+)')
# The platform's errors begin with it; in an init phase there is none.
_REQUEST_ID = re.compile(r"^RequestId: \S* ?Error: ")
_INSTALLED = ("/site-packages/", "/dist-packages/")


class InvocationStatus(Enum):
    """The status of an invocation that has ended. Each value is a word for a person."""

    OK = "ok"
    FUNCTION_ERROR = "error"
    INIT_ERROR = "init error"
    TIMED_OUT = "timed out"
    EXITED = "exited"


@attrs.frozen
class FunctionFailure:
    """The error of a function.

    Args:
        error_type: the type, such as `ValueError` or `Sandbox.Timedout`.
        message: the message; "" if there is none.
        frames: the entries of the stack trace that are in the user's files, innermost last. Each
            entry is as Python prints it: `  File "app.py", line 3, in handler`, and the code.
        file: the file of the innermost of these frames; "" if unknown.
        line: the line of this frame; 0 if unknown.
    """

    error_type: str
    message: str = ""
    frames: Sequence[str] = ()
    file: str = ""
    line: int = 0


@attrs.frozen
class PartialFailure:
    """The answer to a batch names records as failed (Lambda: partial batch responses).

    Args:
        failed: the number of records that the answer names.
        records: the number of records in the event.
    """

    failed: int
    records: int


@attrs.frozen
class LogLine:
    """A line of a function's log: its own, or Lambda's (START, END, REPORT, INIT_REPORT).

    Args:
        function: the function's name.
        text: the line without line break; "\\r" stands for a line break within an error report.
    """

    function: str
    text: str


@attrs.frozen
class SandboxStarted:
    """The init phase of a sandbox is over: its runtime has asked for an event.

    Args:
        function: the function's name.
        sandbox: the number of the sandbox, from 1.
        init_ms: milliseconds of the init phase; NaN for an attached runtime.
        attached: whether the runtime runs under a debugger, outside the pool.
    """

    function: str
    sandbox: int
    init_ms: float
    attached: bool = False


@attrs.frozen
class SandboxEnded:
    """A sandbox has ended: it was idle, was replaced, or its process exited.

    Args:
        function: the function's name.
        sandbox: the number of the sandbox.
        reason: "idle", "replaced", "exited", "timed out", "disconnected", or "closed" with the
            pool.
    """

    function: str
    sandbox: int
    reason: str


@attrs.frozen
class InitFailed:
    """The init phase of a sandbox failed.

    Args:
        function: the function's name.
        sandbox: the number of the sandbox.
        failure: the error; Sandbox.Timedout and Runtime.ExitError are the platform's.
        init_ms: milliseconds of the init phase.
    """

    function: str
    sandbox: int
    failure: FunctionFailure
    init_ms: float


@attrs.frozen
class InvocationFinished:
    """An invocation has ended.

    Args:
        function: the function's name.
        sandbox: the number of the sandbox, from 1.
        request_id: the request id.
        status: the status of the invocation.
        failure: the error; None for status OK.
        duration_ms: milliseconds from the event to the next call of /next.
        billed_ms: milliseconds that Lambda would bill.
        init_ms: milliseconds of the init phase; None unless this was the first invocation.
        memory: peak memory of the process in MB; None if unknown.
        memory_size: the function's memory in MB.
        partial_failure: the failed records of a batch; only for status OK.
    """

    function: str
    sandbox: int
    request_id: str
    status: InvocationStatus
    failure: FunctionFailure | None
    duration_ms: float
    billed_ms: int
    init_ms: float | None
    memory: float | None
    memory_size: int
    partial_failure: PartialFailure | None = None


@attrs.frozen
class SourceChanged:
    """Files of a function have changed; its new code starts now.

    Args:
        function: the function's name.
        files: the changed files, sorted.
    """

    function: str
    files: Sequence[Path]


@attrs.frozen
class Reloaded:
    """A sandbox with the new code has taken over.

    Args:
        function: the function's name.
        sandbox: the number of the new sandbox.
        milliseconds: the time from the change of the files to the sandbox's /next.
    """

    function: str
    sandbox: int
    milliseconds: float


@attrs.frozen
class ReloadFailed:
    """The new code did not start: the last good version keeps serving, if there is one.

    Args:
        function: the function's name.
        failure: the error with its file and line. The platform's own errors have neither.
        still_serving: whether a sandbox with the last good version is alive.
    """

    function: str
    failure: FunctionFailure
    still_serving: bool


DevEvent: TypeAlias = (
    LogLine
    | SandboxStarted
    | SandboxEnded
    | InitFailed
    | InvocationFinished
    | SourceChanged
    | Reloaded
    | ReloadFailed
)


class _ErrorBody(msgspec.Struct):
    """An error as a runtime reports it; each field may be missing."""

    errorMessage: str = ""  # noqa: N815 - names of the Runtime API
    errorType: str = ""  # noqa: N815
    stackTrace: list[str] = []  # noqa: N815


class _BatchAnswer(msgspec.Struct):
    batchItemFailures: list[Any] | None = None  # noqa: N815 - AWS's name


class _Batch(msgspec.Struct):
    """An event of a queue or a stream; Kafka has a list of records for each partition."""

    Records: Sequence[Any] = ()
    records: Mapping[str, Sequence[Any]] = {}


def _read_partial_failure(event: bytes, answer: bytes) -> PartialFailure | None:
    """Read which part of a batch failed; None for another event or answer."""
    # Most answers name no record, and are not parsed.
    if b"batchItemFailures" not in answer:
        return None
    try:
        failed = msgspec.json.decode(answer, type=_BatchAnswer).batchItemFailures
        batch = msgspec.json.decode(event, type=_Batch)
    except msgspec.DecodeError:
        return None
    count = len(batch.Records) + sum(map(len, batch.records.values()))
    return PartialFailure(len(failed), count) if failed and count else None


def read_failure(outcome: InvocationOutcome, task_root: Path) -> FunctionFailure:
    """Return the error of a failed invocation or init phase.

    Args:
        outcome: an outcome with an error type.
        task_root: the folder of the function; frames of files elsewhere are left out.
    """
    try:
        body = msgspec.json.decode(outcome.payload, type=_ErrorBody)
    except msgspec.DecodeError:
        # A runtime may send any error body.
        body = _ErrorBody(outcome.payload[:1000].decode("utf-8", "replace"))
    frames = [entry.rstrip() for entry in body.stackTrace if _is_in(task_root, entry)]
    place = _PLACE.match(frames[-1]) if frames else None
    return FunctionFailure(
        body.errorType or outcome.error_type or "",
        _REQUEST_ID.sub("", body.errorMessage),
        tuple(frames),
        place["file"] if place else "",
        int(place["line"]) if place else 0,
    )


def _is_in(task_root: Path, entry: str) -> bool:
    place = _PLACE.match(entry)
    if place is None:
        return False
    path = (task_root / place["file"]).as_posix()
    return path.startswith(f"{task_root.as_posix()}/") and not any(
        name in path for name in _INSTALLED
    )


def _status(invocation: Invocation, outcome: InvocationOutcome) -> InvocationStatus:
    if outcome.error_type is None:
        return InvocationStatus.OK
    if outcome.error_type == "Sandbox.Timedout":
        return InvocationStatus.TIMED_OUT
    if math.isnan(invocation.begun_at):
        return InvocationStatus.INIT_ERROR
    if outcome.error_type == "Runtime.ExitError":
        return InvocationStatus.EXITED
    return InvocationStatus.FUNCTION_ERROR


def invocation_finished(
    settings: FunctionSettings, sandbox: int, invocation: Invocation, peak: float | None
) -> InvocationFinished:
    """Describe an invocation that has an outcome.

    Args:
        settings: the function.
        sandbox: the number of the sandbox.
        invocation: the invocation; it has ended, or was never handed out.
        peak: peak memory of the process in MB; None if unknown.
    """
    outcome = invocation.outcome
    assert outcome is not None  # the caller waits for it
    handed_out = not math.isnan(invocation.begun_at)
    return InvocationFinished(
        settings.name,
        sandbox,
        invocation.request_id,
        _status(invocation, outcome),
        None if outcome.error_type is None else read_failure(outcome, settings.task_root),
        (invocation.ended_at - invocation.begun_at) * 1000 if handed_out else 0.0,
        billed_ms(invocation) if handed_out else 0,
        invocation.init_ms,
        peak,
        settings.memory,
        None
        if outcome.error_type is not None
        else _read_partial_failure(invocation.payload, outcome.payload),
    )
