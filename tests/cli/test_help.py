"""The help of all commands: 80 columns, an example each, and the same text in the documentation."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from okibi.cli.commands import app

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
# In the order of the help: that in which a new user needs them.
COMMANDS = [
    str(command.callback.__name__) for command in app.registered_commands if command.callback
]


def run(*arguments: str, **variables: str) -> str:
    """Run `okibi` in this process; return what it prints."""
    done = CliRunner().invoke(app, arguments, prog_name="okibi", env=variables)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """The help of each command, and of `okibi` under an empty name, on a wide terminal."""
    return {
        command: run(*filter(None, [command]), "--help", COLUMNS="200")
        for command in ["", *COMMANDS]
    }


def test_okibi_alone_prints_the_help(helps: dict[str, str]) -> None:
    assert CliRunner().invoke(app, [], prog_name="okibi").output.strip() == helps[""].strip()


def test_every_help_fits_into_80_columns(helps: dict[str, str]) -> None:
    assert [
        f"{command}: {line}"
        for command, text in helps.items()
        for line in text.splitlines()
        if len(line) > 80
    ] == []


def test_every_command_has_an_example_and_its_exit_codes(helps: dict[str, str]) -> None:
    for command, text in helps.items():
        assert f"Examples:\n    okibi {command}" in text, command
        assert not command or "Exit code: " in text, command


def test_the_list_of_commands_cuts_no_sentence(helps: dict[str, str]) -> None:
    listed = helps[""].partition("Commands:\n")[2].partition("\n\n")[0].splitlines()

    assert [line.split()[0] for line in listed] == COMMANDS
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_the_help_lists_okibis_own_variables(helps: dict[str, str]) -> None:
    documented = (DOCS / "configuration.md").read_text("utf-8")

    assert {*re.findall(r"OKIBI_\w+", helps[""])} == {
        *re.findall(r"^\| `(OKIBI_\w+)`", documented, re.M)
    }


def test_the_page_has_the_help_of_each_command(helps: dict[str, str]) -> None:
    page = (DOCS / "command-line.md").read_text("utf-8")
    sections = dict(re.findall(r"^## okibi ([\w-]+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))

    assert [*sections] == COMMANDS
    for command, section in sections.items():
        assert f"```text\n{helps[command]}```" in section, "run: python docs/command_line.py"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("okibi te", ["template"]),
        ("okibi tree vi", ["visits"]),
        ("okibi package a", ["app.function"]),
        ("okibi check ", ["visits", "app.function"]),
        ("okibi bench --qu", ["--quick"]),
    ],
)
def test_the_shell_completes_commands_options_and_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, expected: list[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.okibi.functions.visits]\nhandler = 'app.function'\n"
    )
    monkeypatch.chdir(tmp_path)

    assert complete(typed) == expected


def test_completion_is_silent_in_a_folder_with_a_broken_pyproject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("not TOML")
    monkeypatch.chdir(tmp_path)

    assert complete("okibi tree ") == []


def complete(typed: str) -> list[str]:
    """Return what bash would offer after what has been typed."""
    last = str(len(typed.split(" ")) - 1)
    return run(_OKIBI_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=last).split()


def test_help_in_a_pipe_has_80_columns_too(helps: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "okibi.cli", "deploy", "--help"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.stdout == helps["deploy"]


def test_the_declaration_of_the_commands_imports_no_actors_and_no_local_lambda() -> None:
    check = (
        "import okibi.cli.commands, sys; print({'okibi.actors', 'okibi.local'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
