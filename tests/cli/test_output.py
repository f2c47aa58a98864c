"""Writing to stdout and stderr: open, closed, full, or without a reader."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from okibi.cli.output import check_stdout, write_err, write_out, write_text
from okibi.cli.until_signal import run_command
from okibi.project.bad_input import BadInput

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@contextmanager
def on_a_full_disk(name: str) -> Iterator[None]:
    """Redirect stdout or stderr of this process to /dev/full."""
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, name, full)
        yield


@needs_full
def test_a_full_disk_under_stdout_is_bad_input_once() -> None:
    with on_a_full_disk("stdout"):
        with pytest.raises(BadInput) as refused:
            write_out(b"x", "the answers")
        # No bytes stay in a buffer, which the interpreter would flush at exit.
        write_out(b"y", "the answers")
    assert str(refused.value) == (
        "the answers cannot be written to standard output (No space left on device)"
    )


@needs_full
def test_a_full_disk_under_stderr_is_ignored() -> None:
    with on_a_full_disk("stderr"):
        write_err("one line")
        write_err("another")


def test_a_closed_stderr_sends_no_line_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    write_err("one line")

    monkeypatch.undo()
    assert capsys.readouterr().out == ""


def test_a_closed_stdout_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    assert run_command("the answers", lambda: pytest.fail("the command has started")) == 2
    with pytest.raises(BadInput):
        check_stdout("the answers")
    assert capsys.readouterr().err == (
        "okibi: standard output is closed, and the answers cannot be written; "
        "run the command without >&-\n"
    )


def test_a_closed_pipe_raises_broken_pipe_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(BrokenPipeError):
            write_out(b"x", "the answers")
        monkeypatch.undo()


@pytest.mark.parametrize("control", ["\x1b]52;c;ZWNobw==\x07", "\x1b[2J", "a\rb", "\x9b2J", "\x7f"])
def test_no_control_of_a_terminal_is_written_raw(
    control: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_err(f"okibi: no function {control}")
    write_text(f"{control}\n", "the names")

    out, err = capsys.readouterr()
    assert "\\u00" in out
    assert err == f"okibi: no function {out}"
    assert not [letter for letter in out if ord(letter) < 32 and letter != "\n"]
    assert "\x9b" not in out


def test_line_breaks_tabs_and_colours_stay(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[1;31ma\tb\x1b[0m\nc\n"

    write_text(text, "the log")

    assert capsys.readouterr().out == text


# Real processes of a shell: the interpreter's buffers and its exit take part.
INVOKE = 'invoke() { unset PYTHONUNBUFFERED; $PYTHON -m okibi.cli invoke app.echo "$@"; };'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("invoke 2>&-", 0, "{}\n", ""),
        ("invoke 2>/dev/full", 0, "{}\n", ""),
        ("invoke > /dev/full", 2, "",
         "okibi: the answers cannot be written to standard output (No space left on device)\n"),
        ("invoke - <&-", 2, "",
         "okibi: stdin is closed; give JSON, or a JSON file, in place of -\n"),
        ("invoke --repeat 1000000 | head -n 1; exit ${PIPESTATUS[0]}", 141, "{}\n", ""),
    ],
)  # fmt: skip
def test_a_shell_may_close_or_fill_each_stream(
    line: str, code: int, out: str, err: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("def echo(event, context):\n    return event\n")
    done = subprocess.run(
        ["bash", "-c", INVOKE + line],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.endswith(err)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
