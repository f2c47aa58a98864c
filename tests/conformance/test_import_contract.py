"""import-linter reports imports that point up a layer, and import cycles."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Mistakes to insert, and the report of each. `make check` proves that the code itself has none.
MISTAKES = {
    "okibi/actors/timers.py": {
        "import okibi.supervisors.spec": "okibi.actors.timers -> okibi.supervisors.spec",
        "import okibi.actors.mailbox": "No package has a cycle BROKEN",
    },
    "okibi/supervisors/spec.py": {
        "import okibi.runtime": "okibi.supervisors.spec -> okibi.runtime"
    },
}


@pytest.mark.slow
def test_the_import_contract_reports_each_violation(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "okibi", tmp_path / "okibi", ignore=shutil.ignore_patterns("*.pyc"))
    for name, mistakes in MISTAKES.items():
        with (tmp_path / name).open("a") as source:
            source.writelines(f"\n{line}\n" for line in mistakes)

    lint = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command"
    done = subprocess.run(
        [sys.executable, "-c", f"{lint}; lint_imports_command()", "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    reports = [report for mistakes in MISTAKES.values() for report in mistakes.values()]
    assert [report for report in reports if report not in done.stdout] == [], done.stdout
    assert done.returncode == 1, done.stdout + done.stderr
