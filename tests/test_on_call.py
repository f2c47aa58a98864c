"""docs/on-call.md has each line of WARNING and above that okibi's production code logs.

The lines are found in the sources with `ast`: the calls of loggers, and of `write_raw` and `fail`.
A line stands on the page with its longest text between two values. A line that is only a value, an
error for example, is in VALUES.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from okibi.actors.crash_report import CrashReport

ROOT = Path(__file__).parents[1]
PAGE = " ".join((ROOT / "docs" / "on-call.md").read_text("utf-8").split())
# As in docs/architecture.md: what never runs in production.
TOOLS = {
    "bench", "cli", "deployment", "dev", "local", "observer", "packaging", "project", "testing",
}  # fmt: skip
LOGGERS = {"critical", "error", "exception", "log", "log_or_raise", "warning"}
WRITERS = {
    "fail", "mark_unavailable", "request_exit", "write_fallback", "write_raw", "_lose_response",
}  # fmt: skip
# What is in the lines that are only a value.
VALUES = {
    "actors/crash_report.py": "ended: crashed",
    "actors/server.py": "a cast of",
    "cached.py": "and its fetch failed",
    "entities/calls.py": "has no room",
    "http.py": "the caller's deadline came",
    "runtime/adapters/batch_run.py": "was cancelled",
    "runtime/adapters/http_answer.py": "bytes as JSON, and the service takes",
    "runtime/bootstrap.py": "Powertools'",
    "runtime/codec/json.py": "Unable to marshal response",
    "runtime/deadlines/watchdog.py": "Runtime.DeadlineExceeded",
    "runtime/in_flight/ledger.py": "no worker is left",
    "runtime/process_end/shutdown.py": "no worker is left",
    "runtime/serving/poller.py": "the Runtime API answered",
    "supervisors/parent.py": "was killed",
    "supervisors/restarter.py": "did not start",
}


def find_lines() -> Iterator[tuple[str, str]]:
    """Yield file and text of each line; values are `...`."""
    for file in sorted((ROOT / "okibi").rglob("*.py")):
        name = file.relative_to(ROOT / "okibi")
        if name.parts[0] in TOOLS:
            continue
        tree = ast.parse(file.read_text("utf-8"))
        constants = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (text := _argument(node)) is not None:
                if isinstance(text, ast.Name):
                    text = constants.get(text.id, text)
                yield str(name), _with_dots(text)


def _argument(call: ast.Call) -> ast.expr | None:
    """Return the text that a call logs; None for another call."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in LOGGERS:
        if name == "log_or_raise":
            return call.args[2]
        if "logger" not in ast.unparse(function):
            return None
        return call.args[1 if name == "log" else 0]
    if name in WRITERS and call.args:
        owner = ast.unparse(function).rpartition(".")[0]
        # Not the `fail` of a request.
        if name != "fail" or owner in ("self", "self.ledger", "shutdown"):
            return call.args[-1 if name in ("mark_unavailable", "fail") else 0]
    return None


def _with_dots(text: ast.expr) -> str:
    match text:
        case ast.Constant(value=str() as value):
            return re.sub(r"%[-.\d]*[a-z]", "...", value)
        case ast.JoinedStr(values=values):
            return "".join(_with_dots(each) for each in values)
        case _:
            return "..."


LINES = sorted({*find_lines()})


@pytest.mark.parametrize(("file", "line"), LINES)
def test_each_line_of_the_log_is_on_the_page(file: str, line: str) -> None:
    longest = max(line.split("..."), key=len).strip(" :;,()")
    expected = longest if len(longest) > 4 else VALUES[file]

    assert expected in PAGE


def test_the_fields_of_a_crash_report_are_on_the_page_on_logging() -> None:
    page = (ROOT / "docs" / "logging.md").read_text("utf-8")
    documented = re.findall(r"^\| `report\.(\w+)` \|", page, re.MULTILINE)

    # The line has the traceback as `stackTrace`.
    names = [each.name for each in attrs.fields(CrashReport) if each.name != "traceback"]
    assert documented == names
