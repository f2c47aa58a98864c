"""Judge what a function on AWS did. Nothing here reads or writes."""

import enum
from collections.abc import Mapping, Sequence

import attrs

from .cloud import Answer
from .parse_report_lines import parse_init_report_line

SEQUENTIAL = "no longer sends the next request with a response"
FROZEN = "okibi-check: frozen for"
TERMINATED = "okibi-check: terminated"
# What the function does, and the type of its error.
FAILURES: Mapping[str, str] = {
    "raise": "ValueError",
    "sleep": "Runtime.DeadlineExceeded",
    "exit": "SystemExit",
}


class Verdict(enum.Enum):
    """The result of a check."""

    PASSED = "yes"
    FAILED = "NO"
    NOT_SEEN = "not seen"
    SKIPPED = "skipped"


@attrs.frozen
class Finding:
    """The result of one check.

    Args:
        check: the rule that was checked.
        verdict: the result.
        detail: the observation, or the reason for the skip.
    """

    check: str
    verdict: Verdict
    detail: str = ""


def _verdict(passed: bool) -> Verdict:
    return Verdict.PASSED if passed else Verdict.FAILED


def judge_state(answers: Sequence[Answer]) -> Finding:
    """Judge successive answers of the demo's function: one process that keeps its state."""
    visits = [answer.fields.get("visit") for answer in answers]
    processes = {answer.pid for answer in answers}
    passed = visits == [*range(1, len(answers) + 1)] and len(processes) == 1
    errors = [answer.payload for answer in answers if answer.is_error]
    detail = f"error {errors[0]}" if errors else f"visits {visits}, {len(processes)} process"
    return Finding("answers; state lives across events", _verdict(passed), detail)


def judge_failure(what: str, failed: Answer, before: int, after: Answer) -> Finding:
    """Judge a failure: an answer with its type, and the same process serves on.

    Args:
        what: the kind of failure, a key of FAILURES.
        failed: the answer of the event that failed.
        before: the process before the failure.
        after: the answer of the next event.
    """
    expected = FAILURES[what]
    rule = {
        "raise": "an exception is an answer; the process serves on",
        "sleep": "a time-out is an answer; the process serves on",
        "exit": "sys.exit is an answer; the process serves on",
    }[what]
    same = after.pid == before and not after.is_error
    passed = failed.error_type == expected and same
    served = "the same process served on" if same else "another process served on"
    got = failed.error_type or f"{failed.payload!r}"[:80]
    return Finding(rule, _verdict(passed), f"{got}; {served}")


def judge_stream(times: Sequence[float], text: str, *, buffered: bool) -> Finding:
    """Judge a streamed answer of five pieces, 0.3 s apart.

    Args:
        times: the arrival time of each piece in seconds.
        text: all pieces.
        buffered: whether the endpoint is known to hold a stream back.
    """
    rule = "a function URL streams"
    if text.count("data: ") != 5:
        return Finding(rule, Verdict.FAILED, f"got {text[:80]!r}")
    spread = times[-1] - times[0]
    detail = f"first piece after {times[0]:.2f} s, last {spread:.2f} s later"
    if buffered and spread < 0.6:
        return Finding(rule, Verdict.SKIPPED, f"the emulator buffers: {detail}")
    return Finding(rule, _verdict(spread >= 0.6), detail)


def judge_pipelining(lines: Sequence[str]) -> Finding:
    """Judge from the log whether AWS takes an answer and the next request in one write."""
    found = [line for line in lines if SEQUENTIAL in line]
    detail = found[0][-120:] if found else f"no fall-back in {len(lines)} lines of the log"
    if not lines:
        return Finding("an answer and the next request leave together", Verdict.NOT_SEEN, "no log")
    return Finding("an answer and the next request leave together", _verdict(not found), detail)


def judge_freeze(lines: Sequence[str], waited: float, *, emulated: bool) -> Finding:
    """Judge from the log whether a freeze between two events was noticed.

    Args:
        lines: the function's log.
        waited: seconds between two events.
        emulated: whether an emulator is asked, which does not freeze.
    """
    rule = "a freeze is noticed"
    if emulated:
        return Finding(rule, Verdict.SKIPPED, "the emulator does not freeze")
    found = [line for line in lines if FROZEN in line]
    if found:
        return Finding(rule, Verdict.PASSED, found[0].strip())
    return Finding(rule, Verdict.NOT_SEEN, f"no line after a pause of {waited:g} s")


def judge_init_phases(lines: Sequence[str]) -> Finding:
    """Judge from the log whether an init phase failed: Lambda reports those only."""
    reports = [report for line in lines if (report := parse_init_report_line(line))]
    failed = [report for report in reports if report.status != "success"]
    rule = "no init phase fails"
    if not failed:
        return Finding(rule, Verdict.PASSED, "no INIT_REPORT of a failure")
    first = failed[0]
    detail = f"{len(failed)}, the first after {first.init_ms:.0f} ms: {first.status}"
    return Finding(rule, Verdict.FAILED, f"{detail} {first.error_type}".strip())


def judge_shutdown(lines: Sequence[str], *, emulated: bool) -> Finding:
    """Judge from the log whether `terminate` runs when Lambda ends a replaced sandbox.

    Args:
        lines: the function's log.
        emulated: whether an emulator is asked: it keeps no log after the last event.
    """
    rule = "SIGTERM at shutdown: `terminate` runs"
    found = [line for line in lines if TERMINATED in line]
    if found:
        return Finding(rule, Verdict.PASSED, found[0].strip())
    if emulated:
        return Finding(rule, Verdict.SKIPPED, "the emulator keeps no log of the end")
    return Finding(rule, Verdict.NOT_SEEN, "Lambda may end a replaced sandbox minutes later")
