"""The log lines that Lambda writes about an invocation: START, END, REPORT, and errors."""

import math
import time

from .invocation import Invocation
from .outcomes import InvocationOutcome

__all__ = ["end_lines", "init_report_line", "start_line"]


def start_line(invocation: Invocation) -> str:
    """Return the line for an event that is handed out."""
    return f"START RequestId: {invocation.request_id} Version: $LATEST"


def end_lines(invocation: Invocation, *, memory: int, peak: float | None) -> list[str]:
    """Return the lines for an invocation that has ended. The init phase is billed too.

    Args:
        invocation: an ended invocation with its outcome.
        memory: the function's memory in MB.
        peak: peak memory of the process in MB; None if unknown.
    """
    init_ms = invocation.init_ms
    duration = (invocation.ended_at - invocation.begun_at) * 1000
    fields = [
        f"REPORT RequestId: {invocation.request_id}",
        f"Duration: {duration:.2f} ms",
        f"Billed Duration: {math.ceil(duration + (init_ms or 0.0))} ms",
        f"Memory Size: {memory} MB",
        f"Max Memory Used: {'-' if peak is None else math.ceil(peak)} MB",
    ]
    if init_ms is not None:
        fields.append(f"Init Duration: {init_ms:.2f} ms")
    if invocation.outcome is not None:
        fields.extend(_status(invocation.outcome))
    lines = [f"END RequestId: {invocation.request_id}", "\t".join([*fields, ""])]
    if invocation.outcome is not None and invocation.outcome.error_type == "Sandbox.Timedout":
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        seconds = f"{invocation.timeout:.2f}"
        lines.append(f"{now} {invocation.request_id} Task timed out after {seconds} seconds")
    return lines


def init_report_line(init_ms: float, outcome: InvocationOutcome) -> str:
    """Return the line for a failed init phase."""
    fields = [f"INIT_REPORT Init Duration: {init_ms:.2f} ms", "Phase: init", *_status(outcome), ""]
    return "\t".join(fields)


def _status(outcome: InvocationOutcome) -> list[str]:
    if outcome.error_type is None:
        return []
    if outcome.error_type == "Sandbox.Timedout":
        return ["Status: timeout"]
    return ["Status: error", f"Error Type: {outcome.error_type}"]
