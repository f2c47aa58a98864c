"""Print the start of `okibi dev`: the URL of each function, and the features that are ignored."""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import attrs

from ...dev.dev_function import DevFunction, Route, Schedule
from ...dev.left_out import LeftOut
from ...local.services.route_path import DEFAULT_PATH
from .colours import Colour, Paint
from .event_lines import short_path

WIDTH = 80
LABEL = 13
KINDS = {"http-api": "HTTP API", "rest-api": "REST API", "alb": "load balancer"}


@attrs.frozen
class Serving:
    """The functions that are served, with the server and its options.

    Args:
        url: the server's URL.
        functions: the functions.
        identity: the name of the sandboxes' AWS identity.
        reload: the folders whose Python files are reloaded when they are saved.
        watch: patterns of files that are reloaded besides Python's.
        failures: the folder of the on-failure files.
        left_out: the features that `okibi dev` ignores.
        now: the time, in UTC.
    """

    url: str
    functions: Sequence[DevFunction]
    identity: str
    reload: Sequence[Path]
    watch: Sequence[str]
    failures: Path
    left_out: Sequence[LeftOut]
    now: datetime


def make_start_table(serving: Serving, paint: Paint) -> list[str]:
    """Make the lines, each at most 80 columns wide where its words allow it."""
    lines = [f"{paint('okibi dev', Colour.BOLD)} serves {paint(serving.url, Colour.CYAN)}", ""]
    for function in serving.functions:
        lines += _describe_function(serving, function, paint)
    lines.append("")
    lines += _row("Lambda API", [f"--endpoint-url {serving.url} (boto3: endpoint_url=...)"])
    lines += _row("identity", [f"AWS: {serving.identity}"])
    lines += _row("reload", _describe_reload(serving) if serving.reload else ["off"])
    lines += _row("on failure", [f"events go to {short_path(serving.failures)}/NAME.jsonl"])
    if serving.left_out:
        lines += ["", paint("not done here:", Colour.YELLOW)]
        lines += [line for each in serving.left_out for line in _describe_left_out(each)]
    return [*lines, "", paint("Ctrl-C ends it.", Colour.DIM)]


def _describe_function(serving: Serving, function: DevFunction, paint: Paint) -> list[str]:
    settings = function.settings
    size = f"{settings.memory} MB, {settings.timeout:g} s"
    lines = [f"{paint(function.name, Colour.BOLD)}  {settings.handler} ({size})"]
    alone = len(serving.functions) == 1 and not function.routes
    path = "/" if alone else f"/lambda-url/{function.name}/"
    if function.url is not None:
        streaming = " (streaming)" if function.url.streaming else ""
        lines += _row("URL", [f"{serving.url}{path}{streaming}"])
    lines += _row("routes", [_describe_route(serving.url, route) for route in function.routes])
    lines += _row(
        "schedule", [_describe_schedule(each, serving.now) for each in function.schedules]
    )
    if settings.max_concurrency is not None:
        many = f"{settings.max_concurrency} events at once in one sandbox"
        lines += _row("instances", [f"Managed Instances, {many}"])
    if function.attach:
        lines += _row("attach", ["waits for a runtime that you start, see below"])
    return lines


def _describe_reload(serving: Serving) -> list[str]:
    folders = {short_path(folder) for folder in serving.reload}
    names = sorted("this folder" if folder == "." else folder for folder in folders)
    files = ", ".join(["a Python file", *serving.watch])
    text = f"when {files} in {', '.join(names)} is saved"
    return textwrap.wrap(text, WIDTH - LABEL - 1, break_long_words=False, break_on_hyphens=False)


def _describe_route(url: str, route: Route) -> str:
    # The path of a URL is what one copies into a browser.
    where = DEFAULT_PATH if route.is_default else f"{url}{route.path}"
    return f"{route.method} {where} ({KINDS[route.kind]})"


def _describe_schedule(schedule: Schedule, now: datetime) -> str:
    moment = schedule.next_time(now)
    if moment is None:
        return f"{schedule.expression}, never again"
    there = moment.astimezone(ZoneInfo(schedule.timezone))
    return f"{schedule.expression}, next {there:%Y-%m-%d %H:%M:%S} {schedule.timezone}"


def _row(label: str, values: Sequence[str]) -> list[str]:
    """A label, and its values below each other."""
    labels = [f"  {label}", *([""] * len(values))]
    return [f"{label.ljust(LABEL)} {value}" for label, value in zip(labels, values, strict=False)]


def _describe_left_out(left_out: LeftOut) -> Iterable[str]:
    return textwrap.wrap(
        f"{left_out.resource}: {left_out.reason}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
