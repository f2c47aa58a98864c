"""The log lines that Lambda writes about an invocation: START, END, REPORT, and errors."""

import math
import time

from .invocation import Invocation
from .outcomes import InvocationOutcome


def start_line(invocation: Invocation) -> str:
    """Return the line for an event that is handed out."""
    return f"START RequestId: {invocation.request_id} Version: $LATEST"


def billed_ms(invocation: Invocation) -> int:
    """Return the milliseconds that Lambda bills for an ended invocation.

    The init or restore phase of a new sandbox is billed with its first invocation.
    """
    duration = (invocation.ended_at - invocation.begun_at) * 1000
    billed_restore = math.ceil(invocation.restore_ms or 0.0)
    return math.ceil(duration + (invocation.init_ms or 0.0)) + billed_restore


def end_lines(invocation: Invocation, *, memory: int, peak: float | None) -> list[str]:
    """Return the lines for an invocation that has ended.

    Args:
        invocation: an ended invocation with its outcome.
        memory: the function's memory in MB.
        peak: peak memory of the process in MB; None if unknown.
    """
    init_ms, restore_ms = invocation.init_ms, invocation.restore_ms
    duration = (invocation.ended_at - invocation.begun_at) * 1000
    fields = [
        f"REPORT RequestId: {invocation.request_id}",
        f"Duration: {duration:.2f} ms",
        f"Billed Duration: {billed_ms(invocation)} ms",
        f"Memory Size: {memory} MB",
        f"Max Memory Used: {'-' if peak is None else math.ceil(peak)} MB",
    ]
    if init_ms is not None:
        fields.append(f"Init Duration: {init_ms:.2f} ms")
    if restore_ms is not None:
        fields.append(f"Restore Duration: {restore_ms:.2f} ms")
        fields.append(f"Billed Restore Duration: {math.ceil(restore_ms)} ms")
    if invocation.outcome is not None:
        fields.extend(_status(invocation.outcome))
    lines = [f"END RequestId: {invocation.request_id}", "\t".join([*fields, ""])]
    if invocation.outcome is not None and invocation.outcome.error_type == "Sandbox.Timedout":
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        seconds = f"{invocation.timeout:.2f}"
        lines.append(f"{now} {invocation.request_id} Task timed out after {seconds} seconds")
    return lines


def init_report_line(init_ms: float, outcome: InvocationOutcome | None) -> str:
    """Return the line for a failed init phase, or for one that ends with a snapshot."""
    status = [] if outcome is None else _status(outcome)
    return "\t".join([f"INIT_REPORT Init Duration: {init_ms:.2f} ms", "Phase: init", *status, ""])


def restore_report_line(restore_ms: float, error: InvocationOutcome | None) -> str:
    """Return the line for a restore phase (SnapStart)."""
    status = [] if error is None else _status(error)
    return "\t".join([f"RESTORE_REPORT Restore Duration: {restore_ms:.2f} ms", *status, ""])


def _status(outcome: InvocationOutcome) -> list[str]:
    if outcome.error_type is None:
        return []
    if outcome.error_type in ("Sandbox.Timedout", "SnapStartTimeoutException"):
        return ["Status: timeout"]
    return ["Status: error", f"Error Type: {outcome.error_type}"]
