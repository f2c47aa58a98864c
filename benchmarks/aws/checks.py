"""Run the checks of one route, and measure it."""

import time
from collections.abc import Iterator, Sequence

from . import judgements
from .cloud import Answer, Cloud, RunError
from .figures import Samples
from .judgements import Finding, Verdict
from .routes import DeploymentRoute
from .templates import function_name, variables

# Seconds between two events in which Lambda freezes the sandbox.
PAUSE = 4.0
# Seconds to wait for the last lines of a log, and for the end of a replaced sandbox.
LOG_DELAY = 10.0
EVENT = {"source": "okibi-check"}


def check_route(cloud: Cloud, run: str, route: DeploymentRoute, url: str) -> Iterator[Finding]:
    """Invoke the demo's function in good and bad ways; yield what is found.

    Args:
        cloud: the account.
        run: the name of the run.
        route: a route that is deployed.
        url: the URL of its streaming function, or "".
    """
    name, version = function_name(run, route, "check.function"), version_of(route)
    answers = [cloud.invoke(name, EVENT, version) for _ in range(3)]
    yield judgements.judge_state(answers)
    pid = answers[-1].pid
    for what in judgements.FAILURES:
        failed = cloud.invoke(name, {"do": what}, version)
        after = cloud.invoke(name, EVENT, version)
        yield judgements.judge_failure(what, failed, pid, after)
        pid = after.pid
    if not cloud.endpoint:  # `check_log` looks for what okibi writes after the pause
        time.sleep(PAUSE)
        cloud.invoke(name, EVENT, version)
    if url:
        yield _check_stream(cloud, url)


def _check_stream(cloud: Cloud, url: str) -> Finding:
    try:
        times, text = cloud.stream(url)
    except RunError as error:
        return Finding("a function URL streams", Verdict.FAILED, str(error))
    return judgements.judge_stream(times, text, buffered=bool(cloud.endpoint))


def check_log(cloud: Cloud, run: str, route: DeploymentRoute, *, end: float) -> list[Finding]:
    """Judge the log of the demo's function, after its sandbox was replaced.

    Args:
        cloud: the account.
        run: the name of the run.
        route: the route.
        end: the latest time to wait for the end of the replaced sandbox (`time.monotonic`).
    """
    name, emulated = function_name(run, route, "check.function"), bool(cloud.endpoint)
    while True:
        lines = cloud.log_lines(name)
        findings = [
            judgements.judge_init_phases(lines),
            judgements.judge_pipelining(lines),
            judgements.judge_freeze(lines, PAUSE, emulated=emulated),
        ]
        if not route.ends_sandboxes:
            return findings
        shutdown = judgements.judge_shutdown(lines, emulated=emulated)
        if shutdown.verdict is Verdict.PASSED or time.monotonic() > end:
            return [*findings, shutdown]
        time.sleep(LOG_DELAY)


def replace_sandbox(cloud: Cloud, run: str, route: DeploymentRoute) -> None:
    """Let Lambda replace the sandbox of the demo's function, so that it ends the old one."""
    name = function_name(run, route, "check.function")
    cloud.make_cold(name, variables(route, 1))
    cloud.invoke(name, EVENT)


def measure_round(
    cloud: Cloud, run: str, route: DeploymentRoute, number: int, warm: int
) -> list[Answer]:
    """Force a cold start of `plain.handler`; return its answer and those of warm invocations."""
    name, version = function_name(run, route, "plain.handler"), version_of(route)
    if not route.snapstart:
        cloud.make_cold(name, variables(route, number))
    return [cloud.invoke(name, {"name": "okibi"}, version) for _ in range(1 + warm)]


def as_samples(route: DeploymentRoute, rounds: Sequence[Sequence[Answer]]) -> Samples:
    """Return the REPORT lines of a route's rounds."""
    reports = [[answer.report for answer in each if answer.report is not None] for each in rounds]
    found = [report for each in reports for report in each]
    cold = tuple(r for r in found if r.init_ms is not None or r.restore_ms is not None)
    return Samples(route, cold, tuple(report for report in found if report not in cold))


def version_of(route: DeploymentRoute) -> str:
    """Return the version to invoke: snapshots are made of published versions only."""
    return "1" if route.snapstart else ""
