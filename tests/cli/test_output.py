"""What goes to standard output and to standard error, and where one of them is closed or full."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.output import see_that_stdout_is_open, write_err, write_out
from okibi.cli.until_signal import exit_code_of

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@contextmanager
def on_a_full_disk(name: str) -> Iterator[None]:
    """Have a stream of this process go there."""
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, name, full)
        yield


@needs_full
def test_a_full_disk_takes_no_answer_and_that_is_said_once() -> None:
    said = (
        r"^standard output cannot be written \(No space left on device\), and the answers go there"
    )
    with on_a_full_disk("stdout"):
        with pytest.raises(BadInput, match=said):
            write_out(b"x", "the answers go")
        # Nothing is left in a buffer for the interpreter's end.
        write_out(b"y", "the answers go")


@needs_full
def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    with on_a_full_disk("stderr"):
        write_err("one line")
        write_err("another")


def test_where_stderr_is_closed_no_line_goes_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    write_err("one line")

    monkeypatch.undo()
    assert capsys.readouterr().out == ""


def test_where_stdout_is_closed_nothing_is_done_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    assert exit_code_of("the answers go", lambda: pytest.fail("it was begun")) == 2
    with pytest.raises(BadInput):
        see_that_stdout_is_open("the answers go")
    assert capsys.readouterr().err == (
        "okibi: standard output is closed, and the answers go there; leave it open\n"
    )


def test_a_reader_who_has_left_is_no_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(BrokenPipeError):
            write_out(b"x", "the answers go")
        monkeypatch.undo()


# As a shell makes them, with the interpreter's own buffers and its end.
INVOKE = 'invoke() { unset PYTHONUNBUFFERED; $PYTHON -m okibi.cli invoke app.echo "$@"; };'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("invoke 2>&-", 0, "{}\n", ""),
        ("invoke 2>/dev/full", 0, "{}\n", ""),
        ("invoke > /dev/full", 2, "", "(No space left on device), and the answers go there\n"),
        ("invoke - <&-", 2, "",
         "okibi: stdin: is closed; give a JSON file, or leave it open\n"),
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
