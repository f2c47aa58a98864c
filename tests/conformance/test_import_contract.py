"""The floors are held by a tool: it reports an import that points up, and a circle."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("actors", "supervisors", "runtime")

PLANTED = {
    "nothing": ({}, 0, "0 broken"),
    "an import from the first floor to the second": (
        {"actors/timers.py": "import supervisors.spec"},
        1,
        "actors.timers -> supervisors.spec",
    ),
    "an import from the second floor to the third": (
        {"supervisors/spec.py": "import runtime"},
        1,
        "supervisors.spec -> runtime",
    ),
    "a circle inside a floor": (
        {"actors/timers.py": "import actors.mailbox"},
        1,
        "Inside a floor there is no circle BROKEN",
    ),
}


@pytest.mark.parametrize(("planted", "code", "report"), PLANTED.values(), ids=PLANTED)
def test_the_contract_reports_what_breaks_it(
    tmp_path: Path, planted: dict[str, str], code: int, report: str
) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for floor in FLOORS:
        shutil.copytree(ROOT / floor, tmp_path / floor, ignore=shutil.ignore_patterns("*.pyc"))
    for name, line in planted.items():
        with (tmp_path / name).open("a") as source:
            source.write(f"\n{line}\n")

    lint = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command"
    done = subprocess.run(
        [sys.executable, "-c", f"{lint}; lint_imports_command()", "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == code, done.stdout + done.stderr
    assert report in done.stdout
