"""Read the REPORT and INIT_REPORT lines of Lambda, and those of the local Lambda."""

import attrs

__all__ = ["InitReportLine", "ReportLine", "parse_init_report_line", "parse_report_line"]


@attrs.frozen
class ReportLine:
    """A REPORT line: the figures of one invocation.

    Args:
        request_id: the invocation.
        duration_ms, billed_ms: milliseconds of the invocation, and billed milliseconds.
        memory_mb: the function's memory.
        peak_mb: the most memory used; None if unknown.
        init_ms: milliseconds of the init phase; None for a warm start.
        restore_ms: milliseconds of a restore from a snapshot; None if there was none.
        status: "success", "timeout" or "error".
        error_type: the type of a failure of the runtime, or "".
    """

    request_id: str
    duration_ms: float
    billed_ms: float
    memory_mb: int
    peak_mb: int | None = None
    init_ms: float | None = None
    restore_ms: float | None = None
    status: str = "success"
    error_type: str = ""


@attrs.frozen
class InitReportLine:
    """An INIT_REPORT line: the figures of one init phase.

    Args:
        init_ms: milliseconds of the init phase.
        phase: "init", "invoke" or "restore".
        status: "success", "timeout" or "error".
        error_type: the type of the failure, or "".
    """

    init_ms: float
    phase: str
    status: str = "success"
    error_type: str = ""


def parse_report_line(line: str) -> ReportLine | None:
    """Read a REPORT line; return None for another line.

    >>> parse_report_line("REPORT RequestId: 1-2\\tDuration: 1.50 ms\\tInit Duration: 9 ms").init_ms
    9.0
    """
    fields = _read_fields(line, "REPORT ")
    if "RequestId" not in fields or "Duration" not in fields:
        return None
    peak = fields.get("Max Memory Used", "-")
    return ReportLine(
        request_id=fields["RequestId"],
        duration_ms=float(fields["Duration"]),
        billed_ms=float(fields.get("Billed Duration", "nan")),
        memory_mb=int(fields.get("Memory Size", "0")),
        peak_mb=None if peak == "-" else int(peak),
        init_ms=_optional(fields, "Init Duration"),
        restore_ms=_optional(fields, "Restore Duration"),
        status=fields.get("Status", "success"),
        error_type=fields.get("Error Type", ""),
    )


def parse_init_report_line(line: str) -> InitReportLine | None:
    """Read an INIT_REPORT line; return None for another line.

    >>> parse_init_report_line("INIT_REPORT Init Duration: 9.50 ms\\tPhase: init\\tStatus: timeout")
    InitReportLine(init_ms=9.5, phase='init', status='timeout', error_type='')
    """
    fields = _read_fields(line, "INIT_REPORT ")
    if "Init Duration" not in fields:
        return None
    return InitReportLine(
        init_ms=float(fields["Init Duration"]),
        phase=fields.get("Phase", ""),
        status=fields.get("Status", "success"),
        error_type=fields.get("Error Type", ""),
    )


def _read_fields(line: str, start: str) -> dict[str, str]:
    """Return the fields of a line without their units; empty if the line starts otherwise."""
    if not line.startswith(start):
        return {}
    fields: dict[str, str] = {}
    for field in line.removeprefix(start).split("\t"):
        name, _, value = field.partition(": ")
        fields[name.strip()] = value.strip().removesuffix(" ms").removesuffix(" MB")
    return fields


def _optional(fields: dict[str, str], name: str) -> float | None:
    return float(fields[name]) if name in fields else None
