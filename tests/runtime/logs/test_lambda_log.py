"""The log's format for records, errors and printed text, and what is flushed before a response.

test_logs_beside_official.py compares with the official client.
"""

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from okibi.runtime.errors.error_response import error_json
from okibi.runtime.logs.lambda_log import (
    LambdaHandler,
    configure,
    error_lines,
    flush,
    log_error,
    write_raw,
)
from okibi.runtime.logs.sinks import StandardSink
from tests.support.doubles import another_json
from tests.support.sandbox import running


@contextmanager
def fresh() -> Iterator[tuple[logging.Logger, io.BytesIO]]:
    """A separate root logger and separate standard streams."""
    root, out = logging.RootLogger(logging.WARNING), io.BytesIO()
    converter = logging.Formatter.converter
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "getLogger", lambda name=None: root)
        patch.setattr(sys, "stdout", io.TextIOWrapper(out))
        patch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO()))
        yield root, out
        logging.Formatter.converter = converter
        configure("", {})


# -- records


def test_a_record_is_a_line_with_level_time_and_request() -> None:
    with fresh() as (root, out):
        configure("", {})
        root.warning("hello %s", "there")
        level, when, request, text = out.getvalue().decode().split("\t")

    assert (level, request, text) == ("[WARNING]", "", "hello there\n")
    assert len(when) == len("2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("DEBUG", 10), ("trace", 10), ("WARN", 30), ("FATAL", 50), ("", 30), ("NOISE", 30)],
)
def test_a_known_level_of_the_platform_counts(level: str, expected: int) -> None:
    with fresh() as (root, _):
        configure(level, {})

        assert root.level == expected


def test_an_existing_log_handler_is_kept() -> None:
    with fresh() as (root, out):
        mine = logging.NullHandler()
        root.addHandler(mine)
        configure("", {})
        root.error("of both")

        assert root.handlers[0] is mine
        assert out.getvalue().endswith(b"of both\n")


def test_a_record_that_cannot_be_formatted_does_not_raise() -> None:
    with fresh() as (root, out):
        configure("", {})
        root.error("%d and %d", 1)
        sys.stderr.seek(0)

        assert out.getvalue() == b""
        assert "--- Logging error ---" in sys.stderr.read()


def test_an_entry_ends_its_line_with_any_formatter() -> None:
    with fresh() as (root, out):
        configure("", {})
        root.handlers[0].setFormatter(logging.Formatter("%(message)s"))
        root.error("first")
        root.error("second\n")

        assert out.getvalue() == b"first\nsecond\n"


def test_a_lone_surrogate_is_escaped() -> None:
    with fresh() as (root, out):
        configure("", {})
        root.error("\ud800")
        log_error(error_json("E", "\ud800"))
        configure("", {}, as_json=True)
        log_error(error_json("E", "\ud800"))

        lines = out.getvalue().splitlines()
        assert lines[0].endswith(b"\t\\ud800")
        assert json.loads(lines[-1])["errorMessage"] == "\ud800"


def test_an_invalid_descriptor_is_logged() -> None:
    with fresh() as (_, out):
        configure("", {"_LAMBDA_TELEMETRY_LOG_FD": "no"})

        assert b"_LAMBDA_TELEMETRY_LOG_FD=no is not an open descriptor" in out.getvalue()


# -- errors


def test_an_error_is_one_line_on_standard_output() -> None:
    with fresh() as (_, out):
        configure("", {})
        log_error(error_json("ValueError", "no", ['  File "a.py", line 1, in f\n    g()\n'], "id"))

        assert out.getvalue().decode() == (
            "[ERROR] ValueError: no\rTraceback (most recent call last):\r"
            '\u00a0\u00a0File "a.py", line 1, in f\r\u00a0\u00a0\u00a0\u00a0g()\n'
        )


def test_an_error_in_json_has_a_level_in_its_frame() -> None:
    with fresh() as (_, out):
        configure("", {}, as_json=True)
        log_error(error_json("ValueError", "größe", (), "id-1"))

        told = json.loads(out.getvalue())
        assert "größe" in out.getvalue().decode()
        assert list(told) == [
            "timestamp", "level", "errorMessage", "errorType", "requestId", "stackTrace",
        ]  # fmt: skip
        assert (told["level"], told["requestId"]) == ("ERROR", "id-1")


@pytest.mark.parametrize(
    ("kind", "message", "line"),
    [
        ("E", "m", "[ERROR] E: m"),
        ("E", "", "[ERROR] E"),
        ("", "m", "[ERROR] m"),
        ("", "", "[ERROR]"),
    ],
)
def test_an_error_without_type_or_message_leaves_no_gap(kind: str, message: str, line: str) -> None:
    assert error_lines(kind, message, []) == [line, "Traceback (most recent call last):"]


def test_empty_stack_entries_stay_lines() -> None:
    assert error_lines("E", "", ["", "  a\n\n  b"])[2:] == [
        "",
        "\u00a0\u00a0a",
        "",
        "\u00a0\u00a0b",
    ]


def test_a_log_that_cannot_be_written_does_not_raise(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def write(self, text: str) -> int:
            raise ZeroDivisionError

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stdout", Broken())
    log_error(error_json("E", "m"))

    assert "cannot write to the log: ZeroDivisionError" in capfd.readouterr().err


def test_a_raw_entry_is_in_the_log_s_format(capfd: pytest.CaptureFixture[str]) -> None:
    write_raw("it hangs", "id-1")
    with fresh():
        configure("", {}, as_json=True)
        write_raw("it hangs", "id-1")
    text, told = capfd.readouterr().err.splitlines()

    level, when, request, words = text.split("\t")
    assert (level, request, words) == ("[CRITICAL]", "id-1", "it hangs")
    assert when[-5] == "."
    assert json.loads(told)["level"] == "CRITICAL"
    assert json.loads(told)["requestId"] == "id-1"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_module_that_replaces_json_s_functions_has_no_effect(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    body = error_json("E", "größe", (), "id-1")
    with fresh() as (_, out):
        configure("", {}, as_json=as_json)
        with monkeypatch.context() as patched:
            another_json(patched)
            log_error(body)
            write_raw("it hangs", "id-2")

        assert "größe" in out.getvalue().decode()
    assert "id-2" in capfd.readouterr().err


# -- what is printed


def test_with_one_lane_each_write_is_flushed() -> None:
    with fresh() as (_, out):
        configure("", {}, lanes=1)
        print("no end", end="")
        assert out.getvalue() == b"no end"
        sys.stdout.writelines([", a", ", b\n"])
        assert out.getvalue() == b"no end, a, b\n"
        assert isinstance(sys.stdout, io.TextIOWrapper)
        assert sys.stdout.mode == "w"


def test_with_many_lanes_each_line_is_flushed() -> None:
    with fresh() as (_, out):
        configure("", {}, lanes=2)
        print("a line")
        assert out.getvalue() == b"a line\n"
        print("no end", end="")
        assert out.getvalue() == b"a line\n"

        flush()

        assert out.getvalue() == b"a line\nno end"


class Written(io.RawIOBase):
    """A raw stream that keeps the bytes of each write."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.calls.append(bytes(data))
        return len(data)


def unbuffered(raw: io.RawIOBase) -> io.TextIOWrapper:
    """A text stream as the interpreter creates it with PYTHONUNBUFFERED."""
    return io.TextIOWrapper(cast("Any", raw), write_through=True)


def buffered(raw: io.RawIOBase) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw))


@pytest.mark.parametrize("made", [buffered, unbuffered])
def test_with_many_lanes_a_line_is_one_write_of_any_length(
    made: Callable[[io.RawIOBase], io.TextIOWrapper],
) -> None:
    line, out = "x" * 100_000, Written()
    with fresh(), pytest.MonkeyPatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, made(out))
        configure("", {}, lanes=2)
        print(line)
        print(line, "and more", file=sys.stderr)

        assert out.calls == [f"{line}\n".encode(), f"{line} and more\n".encode()]


@pytest.mark.parametrize("made", [buffered, unbuffered])
def test_with_many_lanes_threads_do_not_mix_lines(
    made: Callable[[io.RawIOBase], io.TextIOWrapper],
) -> None:
    reading, writing = os.pipe()
    lines = [str(n) * 100_000 for n in range(4)]
    with fresh(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", made(io.FileIO(writing, "wb", closefd=False)))
        configure("", {}, lanes=2)
        threads = [Thread(target=print, args=(line,), daemon=True) for line in lines]
        for thread in threads:
            thread.start()
        with open(reading) as pipe:
            told = [pipe.readline().rstrip("\n") for _ in lines]
        for thread in threads:
            thread.join()
    os.close(writing)

    assert sorted(told) == lines


def test_closed_or_missing_streams_are_ignored() -> None:
    closed = io.StringIO()
    closed.close()
    record = logging.LogRecord("x", 30, "", 1, "text", (), None)
    handler = LambdaHandler(StandardSink(), levels=False)
    with pytest.MonkeyPatch.context() as patch:
        for stream in (closed, None, object()):
            patch.setattr(sys, "stdout", stream)
            flush()
            handler.emit(record)
            log_error(error_json("E", "m"))
        patch.setattr(sys, "stderr", closed)
        handler.setFormatter(logging.Formatter("%(nobody)s"))
        handler.emit(record)


# -- in a process

MARKED = """
import logging, threading, trio
from okibi.actors import Server
from okibi.runtime import Function
from okibi.supervisors import Child

class Beside(Server): ...

def say(words):
    logging.warning(words)

def of_thread(event, context):
    say(threading.current_thread() is threading.main_thread())
    return context.aws_request_id

async def awaited(event, context):
    say("task")
    await trio.to_thread.run_sync(say, "thread")
    return context.aws_request_id

plain = Function(of_thread, children=[Child(Beside)])
"""


@pytest.mark.parametrize(
    ("handler", "said"), [("app.plain", ["False"]), ("app.awaited", ["task", "thread"])]
)
async def test_a_handler_s_records_are_marked_in_any_thread(
    handler: str, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(MARKED)
    async with running(handler, task_root=tmp_path) as sandbox:
        ids = [await sandbox.ask() for _ in range(2)]

        written = [line.split("\t")[2:] for line in sandbox.lines if line.startswith("[WARNING]")]
        assert written == [[request, words] for request in ids for words in said]


async def test_an_error_is_logged_before_its_response() -> None:
    async with running("app.asynchronous") as sandbox:
        await sandbox.do("raise", text="told first")

        assert sandbox.said("[ERROR] ValueError: told first\rTraceback") == 1


async def test_okibi_s_own_loggers_use_the_format() -> None:
    environment = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"}
    async with running("tree.function", environment=environment) as sandbox:
        await sandbox.ask({"name": "a"})
        await sandbox.ask({"name": "a", "do": "crash the server"})

        told = [json.loads(line) for line in sandbox.lines if line.startswith("{")]
        (report,) = [each for each in told if each.get("logger") == "okibi.actors"]
        assert report["level"] == "ERROR"
        assert report["report"]["path"].startswith("/function/children/")
        assert report["requestId"]


async def test_the_function_does_not_see_the_descriptor_s_variable() -> None:
    reading, writing = os.pipe()
    environment = {"_LAMBDA_TELEMETRY_LOG_FD": str(writing)}
    with fresh():
        configure("", environment)

        assert environment == {}
    os.close(reading)
    os.close(writing)
