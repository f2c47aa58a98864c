"""The report of `make aws` as Markdown. It names no account."""

from collections.abc import Mapping, Sequence

import attrs

from . import figures
from .figures import Samples
from .judgements import Finding
from .routes import DeploymentRoute
from .templates import Settings

FIGURES = (
    "`plain.handler`, from Lambda's REPORT lines: median (least to greatest). A change of the"
    " configuration forced each new sandbox."
)


@attrs.frozen
class RouteResult:
    """The results of one route.

    Args:
        route: the route.
        problem: the reason for a failed deployment, or "".
        findings: the checks.
        samples: the figures.
    """

    route: DeploymentRoute
    problem: str = ""
    findings: tuple[Finding, ...] = ()
    samples: Samples | None = None


@attrs.frozen
class RunInfo:
    """The place and date of a run.

    Args:
        day: the date, YYYY-MM-DD.
        region: the region.
        endpoint: the URL of an emulator, or "".
        okibi: okibi's version.
        packages: bytes of each zip by its name.
    """

    day: str
    region: str
    endpoint: str
    okibi: str
    packages: Mapping[str, int]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped.

    >>> print(table(["a", "b"], [["1", "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x\\\\|y |
    """
    lines = [
        [*heading],
        ["---"] * len(heading),
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render(
    info: RunInfo,
    settings: Settings,
    results: Sequence[RouteResult],
    skipped: Sequence[tuple[DeploymentRoute, str]],
) -> str:
    """Return the report."""
    where = f"the emulator at {info.endpoint}" if info.endpoint else f"AWS, {info.region}"
    parts = [
        f"# okibi {info.okibi} on {where}, {info.day}",
        f"Python {settings.python}, {settings.architecture}, {settings.memory} MB; `make aws`.",
    ]
    if info.endpoint:
        parts.append("**This is no run on AWS: its figures say nothing about AWS.**")
    parts.append("## Checks")
    checks = [
        (result.route.title, finding.check, finding.verdict.value, finding.detail)
        for result in results
        for finding in result.findings
    ]
    parts.append(table(("route", "check", "holds", "seen"), checks))
    samples = [result.samples for result in results if result.samples is not None]
    if any(each.cold or each.warm for each in samples):
        parts += ["## Figures", FIGURES, table(figures.HEADING, figures.rows(samples))]
    elif samples:
        parts += ["## Figures", "None: the answers came without REPORT lines."]
    not_tried = [(route.title, reason) for route, reason in skipped]
    not_tried += [(result.route.title, result.problem) for result in results if result.problem]
    if not_tried:
        parts += ["## Not tried", table(("route", "why"), not_tried)]
    sizes = [(name, f"{size:,}") for name, size in sorted(info.packages.items())]
    if sizes:
        parts += ["## Packages", table(("package", "bytes"), sizes)]
    return "\n\n".join(parts) + "\n"
