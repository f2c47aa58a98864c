"""Figures of REPORT lines. Nothing here reads or writes."""

import statistics
from collections.abc import Sequence

import attrs

from .parse_report_lines import ReportLine
from .routes import DeploymentRoute


@attrs.frozen
class Samples:
    """The REPORT lines of one route's `plain.handler`.

    Args:
        route: the route.
        cold: the first invocation of each sandbox.
        warm: all other invocations.
    """

    route: DeploymentRoute
    cold: tuple[ReportLine, ...] = ()
    warm: tuple[ReportLine, ...] = ()


def start_ms(report: ReportLine) -> float | None:
    """Return milliseconds of the init phase, or of the restore; None for a warm start."""
    return report.init_ms if report.restore_ms is None else report.restore_ms


def first_answer_ms(reports: Sequence[ReportLine]) -> list[float]:
    """Return milliseconds from the begin of each start to its first answer."""
    return [
        begun + report.duration_ms for report in reports if (begun := start_ms(report)) is not None
    ]


def spread(values: Sequence[float]) -> str:
    """Format the median with the least and the greatest value.

    >>> spread([3.0, 1.0, 2.0])
    '2.0 (1.0 to 3.0)'
    """
    if not values:
        return "-"
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Format the ratio of two medians.

    >>> ratio([2.0], [4.0])
    '0.50'
    """
    if not values or not others:
        return "-"
    return f"{statistics.median(values) / statistics.median(others):.2f}"


HEADING = (
    "route", "starts", "init or restore, ms", "to the first answer, ms", "of AWS's client",
    "billed for it, ms", "warm", "warm answer, ms", "of AWS's client", "most memory, MB",
)  # fmt: skip


def rows(samples: Sequence[Samples]) -> list[tuple[str, ...]]:
    """Return one row for each route; ratios are those of medians to AWS's own client."""
    official = next((each for each in samples if each.route.is_official), None)
    official_first = first_answer_ms(official.cold) if official else []
    official_warm = [report.duration_ms for report in official.warm] if official else []
    made: list[tuple[str, ...]] = []
    for each in samples:
        first = first_answer_ms(each.cold)
        warm = [report.duration_ms for report in each.warm]
        begun = [ms for report in each.cold if (ms := start_ms(report)) is not None]
        peaks = [r.peak_mb for r in (*each.cold, *each.warm) if r.peak_mb is not None]
        made.append(
            (
                each.route.title,
                str(len(first)),
                spread(begun),
                spread(first),
                ratio(first, official_first),
                spread([report.billed_ms for report in each.cold]),
                str(len(warm)),
                spread(warm),
                ratio(warm, official_warm),
                str(max(peaks)) if peaks else "-",
            )
        )
    return made
