"""Users' type checkers report planted mistakes, and no error in a correct twin."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "mistakes"
PLANTED = {
    number: line.rpartition("# mistake: ")[2]
    for number, line in enumerate((FOLDER / "mistakes.py").read_text().splitlines(), 1)
    if "# mistake: " in line
}


def mypy(scratch: Path) -> set[tuple[str, int]]:
    """Return the places of errors that `mypy --strict` reports, as file and line."""
    # With no settings of the project's: as a user's own mypy runs. What okibi imports is kept from
    # one run to the next.
    cache = f"--cache-dir={ROOT / '.mypy_cache' / 'mistakes'}"
    arguments = ["--strict", "--config-file=", "--output=json", cache]
    out = run(scratch, "mypy", *arguments, *(path.name for path in scratch.glob("*.py")))
    reports = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return {(Path(r["file"]).name, r["line"]) for r in reports if r["severity"] == "error"}


def pyright(scratch: Path) -> set[tuple[str, int]]:
    """Return the places of errors and warnings that strict pyright reports, as file and line."""
    (scratch / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "extraPaths": [str(ROOT)],
                "typeCheckingMode": "strict",
                "pythonVersion": "3.11",
            }
        )
    )
    out = run(scratch, "pyright", "--outputjson", "--pythonpath", sys.executable)
    reports = json.loads(out)["generalDiagnostics"]
    # The unknown type that a misspelt name has is reported along with it, at the same line.
    return {(Path(r["file"]).name, r["range"]["start"]["line"] + 1) for r in reports}


def run(scratch: Path, tool: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=scratch,
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("checker", [mypy, pytest.param(pyright, marks=pytest.mark.slow)])
def test_all_mistakes_are_reported_and_nothing_else(
    checker: Callable[[Path], set[tuple[str, int]]], tmp_path: Path
) -> None:
    assert list(PLANTED.values()) == [
        "export",
        "reply",
        "extra",
        "argument",
        "server",
        "misspelt",
        "door argument",
        "door server",
        "group server",
        "waiting argument",
        "waited for",
        "waiting reply",
        "selected",
        "key",
        "monitored",
        "state",
        "timeout argument",
        "timeout server",
        "several replies",
        "received",
        "group member",
        "task argument",
        "task argument missing",
        "task outcome",
        "stream items",
        "dynamic child",
        "items",
        "piece",
        "prelude",
        "argument of a function",
        "no coroutine",
        "no response",
        "body",
        "no record",
        "nothing prepared",
        "prepared for nothing",
        "prepared",
        "records prepared",
        "method without an actor",
        "method of another actor",
        "method without a record",
        "order",
        "option",
        "loop",
        "argument of an actor on asyncio",
        "reply of an actor on asyncio",
        "alarm with arguments",
        "alarm of another entity",
        "alarm of no message",
        "alarm cancelled",
        "no entity",
        "argument of an entity",
        "argument of an entity missing",
        "reply of an entity",
        "method of another entity",
        "method of no entity",
        "key of an entity",
        "argument of work",
        "result of work",
    ]

    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)

    assert checker(tmp_path) == {("mistakes.py", line) for line in PLANTED}
