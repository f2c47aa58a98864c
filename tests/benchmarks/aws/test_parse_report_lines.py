"""REPORT and INIT_REPORT lines, Lambda's and the local server's."""

from benchmarks.aws.parse_report_lines import (
    InitReportLine,
    ReportLine,
    parse_init_report_line,
    parse_report_line,
)
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.outcomes import InvocationOutcome
from okibi.local.platform.report_lines import end_lines, init_report_line

# As Lambda wrote them, with other numbers.
COLD = (
    "REPORT RequestId: 8f507cfc\tDuration: 12.50 ms\tBilled Duration: 134 ms\t"
    "Memory Size: 512 MB\tMax Memory Used: 61 MB\tInit Duration: 121.30 ms\t\n"
)
RESTORED = (
    "REPORT RequestId: 8f507cfc\tDuration: 12.50 ms\tBilled Duration: 134 ms\t"
    "Memory Size: 512 MB\tMax Memory Used: 61 MB\tRestore Duration: 401.20 ms\t"
    "Billed Restore Duration: 98 ms\t"
)
FAILED = (
    "REPORT RequestId: 8f507cfc\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\t"
    "Memory Size: 128 MB\tMax Memory Used: 30 MB\tStatus: timeout"
)


def test_the_report_of_a_cold_start_has_its_init_phase() -> None:
    assert parse_report_line(COLD) == ReportLine(
        "8f507cfc", duration_ms=12.5, billed_ms=134, memory_mb=512, peak_mb=61, init_ms=121.3
    )


def test_the_report_of_a_restore_has_its_duration_and_no_init_phase() -> None:
    report = parse_report_line(RESTORED)

    assert report is not None
    assert (report.restore_ms, report.init_ms) == (401.2, None)


def test_the_report_of_a_failure_has_its_status() -> None:
    report = parse_report_line(FAILED)

    assert report is not None
    assert report.status == "timeout"


def test_other_lines_are_no_reports() -> None:
    for line in ("", "END RequestId: 1", "REPORT", "REPORT by Bob", "a REPORT RequestId: 1"):
        assert parse_report_line(line) is None
        assert parse_init_report_line(line) is None


def test_a_failed_init_phase_is_read() -> None:
    line = "INIT_REPORT Init Duration: 9.50 ms\tPhase: init\tStatus: error\tError Type: Runtime.X"

    assert parse_init_report_line(line) == InitReportLine(9.5, "init", "error", "Runtime.X")


def ended(error_type: str | None = None, init_ms: float | None = None) -> Invocation:
    invocation = Invocation(b"{}", timeout=3.0, request_id="1-2")
    invocation.begun_at, invocation.ended_at, invocation.init_ms = 10.0, 10.25, init_ms
    invocation.outcome = InvocationOutcome(b"{}", error_type)
    return invocation


def test_what_the_local_server_writes_is_read_back() -> None:
    _, line = end_lines(ended(init_ms=80.5), memory=128, peak=29.1)

    assert parse_report_line(line) == ReportLine(
        "1-2", duration_ms=250, billed_ms=331, memory_mb=128, peak_mb=30, init_ms=80.5
    )


def test_a_time_out_and_an_unknown_peak_of_the_local_server_are_read_back() -> None:
    _, line, _ = end_lines(ended("Sandbox.Timedout"), memory=128, peak=None)
    report = parse_report_line(line)

    assert report is not None
    assert (report.status, report.error_type, report.peak_mb) == ("timeout", "", None)


def test_a_failed_init_phase_of_the_local_server_is_read_back() -> None:
    line = init_report_line(12.25, InvocationOutcome(b"", "Runtime.ExitError"))

    assert parse_init_report_line(line) == InitReportLine(
        12.25, "init", "error", "Runtime.ExitError"
    )
