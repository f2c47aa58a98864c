"""`okibi new`: a small project that passes its own tests and all checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from okibi.cli.commands.new import new, parse_name, render_project
from okibi.project.bad_input import BadInput
from okibi.project.reader import read_project

FILES = {".gitignore", "README.md", "app.py", "pyproject.toml", "tests/test_app.py"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, *module: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python in a folder."""
    return subprocess.run(
        [sys.executable, "-P", "-m", *module],
        cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_the_files_and_the_next_commands_are_printed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert new("hello") == 0

    out, err = capfd.readouterr()
    assert {
        str(path.relative_to(folder / "hello"))
        for path in (folder / "hello").rglob("*")
        if path.is_file()
    } == FILES
    assert {line.removeprefix("wrote hello/") for line in out.split("\n\n")[0].split("\n")} == FILES
    assert "\n  cd hello\n  okibi dev " in out
    assert err == ""


def test_pyproject_names_the_function_for_the_other_commands(folder: Path) -> None:
    new("my_visits")

    project = read_project(folder / "my_visits")
    assert (project.name, [*project.functions]) == ("my-visits", ["my-visits"])
    assert project.functions["my-visits"].handler == "app.function"
    assert project.functions["my-visits"].url is not None


@pytest.mark.parametrize(
    "name", ["", ".", "a/b", "../a", "-a", "1a", "a b", "größe", "a.b", "a-", "a" * 61]
)
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="must be at most 60 letters"):
        parse_name(name)


def test_a_project_named_okibi_would_need_itself() -> None:
    with pytest.raises(BadInput, match="depends on okibi"):
        parse_name("Okibi")


def test_an_empty_folder_is_taken(folder: Path) -> None:
    (folder / "hello").mkdir()

    assert new("hello") == 0


def test_a_folder_with_files_is_left_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "hello").mkdir()
    (folder / "hello" / "notes.txt").write_text("mine")

    assert new("hello") == 2
    assert capfd.readouterr().err == (
        "okibi: hello: the folder has files already; give another name\n"
    )
    assert [path.name for path in (folder / "hello").iterdir()] == ["notes.txt"]


def test_a_file_with_the_name_is_left_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "hello").write_text("mine")

    assert new("hello") == 2
    assert "a file with this name exists" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder.chmod(0o500)

    assert new("hello") == 2
    assert "hello: cannot be written (Permission denied)" in capfd.readouterr().err


@pytest.mark.slow
def test_a_new_project_passes_okibi_check_and_answers(folder: Path) -> None:
    new("hello")

    check = run(folder / "hello", "okibi.cli", "check", "app.function")
    sample = ("--sample", "function-url")
    invoke = run(folder / "hello", "okibi.cli", "invoke", "app.function", *sample)

    assert (check.returncode, check.stderr) == (0, "")
    assert invoke.stdout == '{"message":"hello world","visit":1}\n', invoke.stderr


@pytest.mark.slow
def test_a_new_project_has_no_type_errors_and_no_lint(folder: Path) -> None:
    new("hello")
    project = folder / "hello"

    typed = run(project, "mypy", "--strict", "--cache-dir", str(folder / "cache"), ".")
    lint = run(project, "ruff", "check", "--select", "E4,E7,E9,F,B,UP", "--no-cache", ".")
    form = run(project, "ruff", "format", "--check", "--line-length", "100", "--no-cache", ".")

    assert (typed.returncode, lint.returncode, form.returncode) == (0, 0, 0), (
        typed.stdout + lint.stdout + form.stdout
    )


def test_a_file_has_no_placeholder_left() -> None:
    assert [path for path, content in render_project("hello").items() if "$" in content] == []
