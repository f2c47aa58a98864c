"""Tests that need `.venv-deploy` and `.venv-ministack`: run by `make test-deploy` only."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.deploy.ministack import ROOT, aws_environment

# Elsewhere, `pytest` finds nothing in this folder.
collect_ignore_glob = [] if find_spec("cfnlint") else ["test_*.py"]


@pytest.fixture(scope="session")
def first_commands() -> list[str]:
    """The commands of docs/deploy.md that lead from a clone to a function on MiniStack."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    block = re.findall(r"^```console\n(.*?)```", page, re.MULTILINE | re.DOTALL)[0]
    return re.findall(r"^\$ (.*)$", block, re.MULTILINE)


@pytest.fixture(scope="session")
def first_steps(tmp_path_factory: pytest.TempPathFactory, first_commands: list[str]) -> Path:
    """A folder in which the first two commands have run: it has okibi in a virtual environment."""
    folder = tmp_path_factory.mktemp("first-steps")
    copy_clone(folder / "okibi")
    script = "\n".join(first_commands[:2])
    subprocess.run(["bash", "-ec", script], cwd=folder, env=aws_environment(), check=True)
    return folder


def copy_clone(to: Path) -> None:
    """Copy what a clone of this repository would have, with changes that are not committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
