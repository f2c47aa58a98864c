"""The arguments of the command line: options with rules, and the current folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from okibi.cli.commands import app
from okibi.cli.commands.invoke import invoke
from okibi.project.arguments import parse_integer, parse_seconds
from okibi.project.bad_input import BadInput


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "nan", "inf", ""])
def test_a_number_that_is_no_positive_integer_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_integer("--repeat", text, 1, example=10)

    assert str(refused.value) == f"--repeat {text}: must be an integer >= 1, as in --repeat 10"


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", ""])
def test_a_time_that_is_not_positive_seconds_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_seconds("--timeout", text, example="3")

    assert str(refused.value) == f"--timeout {text}: must be seconds > 0, as in --timeout 3"


@pytest.mark.parametrize(
    ("command", "option", "said"),
    [
        ("invoke app.f", "--repeat 0", "must be an integer >= 1, as in --repeat 10"),
        ("invoke app.f", "--timeout x", "must be seconds > 0, as in --timeout 3"),
        ("bench app.f", "--timeout -1", "must be seconds > 0, as in --timeout 3"),
        ("bench app.f", "--rounds 1e9", "must be an integer from 1 to 1000, as in --rounds 10"),
        ("bench app.f", "--duration 0", "must be seconds > 0, as in --duration 0.5"),
        ("bench app.f", "--memory-size 100", "must be an integer from 128 to 10240 (MB), as in"),
        ("event sqs", "--count 0", "must be an integer >= 1, as in --count 3"),
        ("dev app.f", "--port x", "must be an integer from 0 to 65535, as in --port 9001"),
        ("dev app.f", "--concurrency 0", "must be an integer from 1 to 1000, as in"),
        ("dev app.f", "--managed-instances 0", "must be an integer from 1 to 1600, as in"),
        ("dev app.f", "--timeout 0", "must be seconds > 0, as in --timeout 3"),
        ("dev app.f", "--retry-delay -1", "must be seconds >= 0, as in --retry-delay 3"),
        ("tree --live", "--port 0", "must be an integer from 1 to 65535, as in --port 9000"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(command: str, option: str, said: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), *option.split()], prog_name="okibi")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"okibi: {option}: {said}")
    assert done.stderr.count("\n") == 1


def test_invoke_in_a_removed_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert invoke("app.handler") == 2
    assert capfd.readouterr().err == (
        "okibi: the current folder has been removed; run cd to the folder of the function\n"
    )
