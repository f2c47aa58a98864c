"""Describe in one line why a function cannot be measured, and what to do."""

import json
from collections.abc import Collection, Sequence
from typing import cast

from ..local import FunctionSettings, InvokeResult
from ..local.services.result_checks import PRELUDE_END
from ..project.start_errors import describe_start_error, find_hang, find_last_line, read_error
from .measured_runtime import MeasuredRuntime
from .options import PEER, BenchOptions
from .results import DISK_FULL, LATE

OTHER_EVENT = "give an event that does not end the process"
ALONE = "leave out --peer to measure okibi alone"
FEWER = "give less --concurrency"
SERVER_ERROR = 500


def describe_failed_start(
    runtime: MeasuredRuntime, settings: FunctionSettings, result: InvokeResult, log: Sequence[str]
) -> str:
    """Describe a failed start.

    Args:
        runtime: the runtime.
        settings: the settings of the function.
        result: the result of the first event.
        log: the lines logged so far.
    """
    error = describe_start_error(settings, result, find_hang(log))
    last = find_last_line(log) if _process_exited(result) else ""
    last_line = f"; last log line: {last}" if last else ""
    return f"on {runtime.name} {error}{last_line}"


def describe_error_answer(
    runtime: MeasuredRuntime, result: InvokeResult, options: BenchOptions
) -> str:
    """Describe a first answer that is an error; empty if errors are to be measured."""
    advice = "give an event without an error, or --allow-errors to measure errors"
    if _process_exited(result):
        # Each event would be a cold start; there is no warm time to measure.
        advice = f"{OTHER_EVENT}, or {ALONE}" if runtime.name == PEER else OTHER_EVENT
    elif options.allow_errors:
        return ""
    elif result.error_type in LATE:
        advice = "give a longer --timeout, or an event that takes less time"
    elif runtime.name == PEER and runtime.handler == options.settings.handler:
        advice = "give a plain def with --peer-handler, as in --peer-handler app.plain"
    error = read_error(result.payload).describe()
    return f"{runtime.handler} on {runtime.name} fails on this event: {error}; {advice}"


def describe_failed_request(runtime: MeasuredRuntime, answer: bytes, allow_errors: bool) -> str:
    """Describe a first answer that tells of a failure; empty for any other answer.

    That is a status of 5xx of a web application, or an answer that names records of a batch.

    Args:
        runtime: the runtime.
        answer: the answer; a streamed one begins with its status.
        allow_errors: whether errors are to be measured.
    """
    head, _, _ = answer.partition(PRELUDE_END)
    try:
        decoded: object = json.loads(head)
    except ValueError:
        return ""
    fields = cast("dict[str, object]", decoded) if isinstance(decoded, dict) else {}
    status = fields.get("statusCode")
    named = fields.get("batchItemFailures")
    if isinstance(status, int) and status >= SERVER_ERROR:
        what = f"answers this request with the status {status}"
    elif isinstance(named, list) and named:
        what = f"fails on {len(cast('list[object]', named))} records of this batch"
    else:
        return ""
    if allow_errors:
        return ""
    cure = "give another event, or --allow-errors to measure errors"
    return f"{runtime.handler} on {runtime.name} {what}; {cure}"


def describe_failed_stand_in(runtime: MeasuredRuntime, errors: Collection[str]) -> str:
    """Describe a stand-in handler whose answers are errors."""
    cure = "; give a longer --timeout" if {*errors} <= set(LATE) else ""
    return (
        f"{runtime.handler} on {runtime.name}: the stand-in handler answers with"
        f" {', '.join(errors)}{cure}"
    )


def describe_failed_run(runtime: MeasuredRuntime, exit_code: int, stderr: str) -> str:
    """Describe a run without a result.

    Args:
        runtime: the runtime.
        exit_code: the exit code of the measuring process.
        stderr: the output of that process.
    """
    error = stderr.strip().split("\n")[-1] or f"the measuring process exited with {exit_code}"
    return f"{runtime.handler} on {runtime.name}: {error}{_advise(runtime, error)}"


def _process_exited(result: InvokeResult) -> bool:
    """Whether the runtime's process exited by itself: only the exit code is known."""
    return read_error(result.payload).errorType == "Runtime.ExitError"


def _advise(runtime: MeasuredRuntime, error: str) -> str:
    if DISK_FULL in error:
        return ""
    # Too many lanes are slow to connect; the peer starts a process for each.
    missing_lanes = error.startswith("the runtime does not") and " lanes connected" in error
    fewer = FEWER if missing_lanes else ""
    if runtime.name == PEER:
        return f"; {fewer}, or {ALONE}" if fewer else f"; {ALONE}"
    if fewer:
        return f"; {fewer}"
    needs_advice = error.startswith("the runtime has ended") and "; give " not in error
    return f"; {OTHER_EVENT}" if needs_advice else ""
