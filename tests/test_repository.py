"""Rules for the project's own files."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("okibi", "benchmarks", "examples", "tests")


def test_okibi_is_typed_for_its_users() -> None:
    assert (ROOT / "okibi" / "py.typed").exists()


def test_types_are_checked_for_linux_on_any_machine() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]

    assert (tools["mypy"]["platform"], tools["pyright"]["pythonPlatform"]) == ("linux", "Linux")


def test_no_path_in_the_temporary_folder_is_guessable() -> None:
    """Another user could have placed a program there; `tempfile` creates new names."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]

    assert [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in [*files, ROOT / "hatch_build.py"]
        if file != Path(__file__)
        for line in file.read_text("utf-8").splitlines()
        if "gettempdir" in line
    ] == []


def test_okibi_replaces_none_of_its_own_parts_by_mocks() -> None:
    """The test kit gives the runtime its own clock, sink and hooks as arguments."""
    imports = re.compile(r"^\s*(from|import)\s.*\bmock\b", re.MULTILINE)

    assert [
        str(file.relative_to(ROOT))
        for file in (ROOT / "okibi").rglob("*.py")
        if imports.search(file.read_text("utf-8"))
    ] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_its_targets_and_makes_nothing() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    ran = subprocess.run(["make", "-n"], cwd=ROOT, capture_output=True, text=True, timeout=60)

    readme = (ROOT / "README.md").read_text("utf-8")
    assert {*re.findall(r"^    make ([\w-]+)", readme, re.M)} <= {
        *re.findall(r"^make ([\w-]+) ", done.stdout, re.M)
    }
    assert "venv" not in ran.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("given", "anew"), [([], False), (["PYTHON=same"], False), (["PYTHON=other"], True)]
)
def test_a_python_of_another_version_makes_the_environment_anew(
    given: list[str], anew: bool, tmp_path: Path
) -> None:
    for name, version in (("same", "3.13.1"), ("other", "3.14.1"), (".venv/bin/python", "3.13.1")):
        python = tmp_path / name
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f"#!/bin/sh\necho Python {version}\n")
        python.chmod(0o755)
    for name in ("pyproject.toml", "hatch_build.py", "okibi/runtime/system/native.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".venv/installed").touch()

    command = ["make", "-n", "-f", str(ROOT / "Makefile"), "test", *given]
    # An outer `make test PYTHON=...` passes its variables on.
    environment = {
        name: os.environ[name] for name in os.environ if name[:4] not in ("MAKE", "PYTH")
    }
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )

    assert ("-m venv" in done.stdout) is anew, done
