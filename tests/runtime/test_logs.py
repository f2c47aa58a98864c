"""Where records go, and what must be out before an answer."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.logs import StandardOutput, configure, flush


@contextmanager
def fresh() -> Iterator[tuple[logging.Logger, io.BytesIO]]:
    """A root logger and standard streams of the test's own."""
    root, out = logging.RootLogger(logging.WARNING), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "getLogger", lambda name=None: root)
        patch.setattr(sys, "stdout", io.TextIOWrapper(out))
        patch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO()))
        yield root, out


def test_a_record_is_a_line_with_level_and_time() -> None:
    with fresh() as (root, out):
        configure("")
        root.warning("hello %s", "there")
        level, when, text = out.getvalue().decode().split("\t")

    assert (level, text) == ("[WARNING]", "hello there\n")
    assert len(when) == len("2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("level", "expected"), [("DEBUG", 10), ("ERROR", 40), ("", 30), ("NOISE", 30)]
)
def test_the_platform_s_level_counts_when_there_is_such_a_one(level: str, expected: int) -> None:
    with fresh() as (root, _):
        configure(level)

        assert root.level == expected


def test_a_handler_that_is_there_already_stays_alone() -> None:
    with fresh() as (root, _):
        mine = logging.NullHandler()
        root.addHandler(mine)
        configure("")

        assert root.handlers == [mine]


def test_a_line_is_out_at_once_and_the_rest_with_flush() -> None:
    with fresh() as (_, out):
        configure("")
        print("a line")
        assert out.getvalue() == b"a line\n"
        print("no end", end="")
        assert out.getvalue() == b"a line\n"

        flush()

        assert out.getvalue() == b"a line\nno end"


def test_closed_or_missing_streams_are_no_error() -> None:
    closed = io.StringIO()
    closed.close()
    with pytest.MonkeyPatch.context() as patch:
        for stream in (closed, None, object()):
            patch.setattr(sys, "stdout", stream)
            flush()
        patch.setattr(sys, "stderr", closed)

        handler = StandardOutput(closed)
        handler.emit(logging.LogRecord("x", 30, "", 1, "text", (), None))
