"""The log lines of a function's process."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from okibi.local import FunctionSettings, open_local_lambda
from okibi.local.sandbox.output import Output
from tests.support.local_lambda import event, settings

SAYS = """
def handler(event, context):
    print("Jürgen → 熾火")
"""


@pytest.mark.parametrize(
    "encoding",
    [
        "ascii",
        pytest.param("cp1252", marks=pytest.mark.slow),
        pytest.param("utf-16", marks=pytest.mark.slow),
    ],
)
async def test_lines_are_utf_8_whatever_pythonioencoding_is_inherited(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(SAYS, "utf-8")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    settings, lines = FunctionSettings("app.handler", task_root=tmp_path), list[str]()

    async with open_local_lambda(settings, output=lines.append) as function:
        result = await function.invoke(b"{}")

    assert result.function_error is None
    assert "Jürgen → 熾火" in lines


async def test_the_functions_own_pythonioencoding_is_kept(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SAYS, "utf-8")
    own = {"PYTHONIOENCODING": "ascii:backslashreplace"}
    settings = FunctionSettings("app.handler", task_root=tmp_path, environment=own)
    lines = list[str]()

    async with open_local_lambda(settings, output=lines.append) as function:
        await function.invoke(b"{}")

    assert r"J\xfcrgen \u2192 \u71be\u706b" in lines


# -- without a process


def fill(output: Output, data: bytes) -> None:
    """Write all data; drain whenever the pipe is full."""
    os.set_blocking(output.descriptor, False)
    left = memoryview(data)
    while left:
        with suppress(BlockingIOError):
            left = left[os.write(output.descriptor, left) :]
        output.drain()


@pytest.mark.parametrize("end", [b"", b"\n", b"\nshort\n"])
def test_a_line_longer_than_256_kb_is_passed_on_in_pieces(end: bytes) -> None:
    pieces = list[str]()
    output = Output(pieces.append)
    text = "熾" * 200_000  # three bytes each

    fill(output, text.encode() + end)
    output.close()

    assert "".join(pieces) == text + end.decode().replace("\n", "")
    assert max(len(piece.encode()) for piece in pieces) <= 256 * 1024
    assert len(pieces) == 3 + (b"short" in end)


def test_a_process_that_keeps_writing_does_not_prolong_a_drain() -> None:
    def write_again(_: str) -> None:
        os.write(output.descriptor, b"again\n")

    output = Output(write_again)
    os.write(output.descriptor, b"first\n")

    output.drain()

    output.sink = lambda _: None
    output.close()


async def test_without_a_sink_the_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_local_lambda(settings()) as function:
        await function.invoke(event(do="print", text="from the handler"))

    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["START", "from", "END", "REPORT"]
