"""The sinks of log entries."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from okibi.runtime.logs.sinks import (
    DESCRIPTOR,
    JSON,
    SOCKET,
    TEXT,
    FramedSink,
    StandardSink,
    frame_type,
    sink_from,
)

REDIRECTED = """
import os, sys
from okibi.runtime.logs.sinks import sink_from
sink, fault = sink_from(os.environ)
assert fault == "", fault
sink.log("an entry")
sys.stdout.flush()
print("an error", file=sys.stderr, flush=True)
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("level", "text", "as_json"),
    [
        (0, "a55a0003", "a55a0002"),
        (10, "a55a000b", "a55a000a"),
        (20, "a55a000f", "a55a000e"),
        (25, "a55a000f", "a55a000e"),
        (30, "a55a0013", "a55a0012"),
        (40, "a55a0017", "a55a0016"),
        (50, "a55a001b", "a55a001a"),
        (99, "a55a001b", "a55a001a"),
        (-5, "a55a0003", "a55a0002"),
    ],
)
def test_a_frame_s_type_encodes_format_and_level(level: int, text: str, as_json: str) -> None:
    assert frame_type(TEXT, level).hex() == text
    assert frame_type(JSON, level).hex() == as_json


def test_a_frame_is_type_length_time_and_text(pipe: tuple[int, int]) -> None:
    sink = FramedSink(pipe[1])
    sink.log("größe\n", frame_type(JSON, 20))
    sink.log("\ud800")
    sink.log_error(["a", "b"], frame_type(TEXT, 40))

    first, second, third = [os.read(pipe[0], 16 + n) for n in (8, 6, 3)]
    assert first[:8].hex() == "a55a000e00000008"
    assert 1_600_000_000_000_000 < int.from_bytes(first[8:16], "big") < 9_000_000_000_000_000
    assert first[16:].decode() == "größe\n"
    assert (second[:4].hex(), second[16:]) == ("a55a0003", b"\\ud800")
    assert (third[:4].hex(), third[16:]) == ("a55a0017", b"a\nb")


def test_frames_larger_than_the_pipe_stay_whole_under_threads(pipe: tuple[int, int]) -> None:
    sink, size, each = FramedSink(pipe[1]), 100_000, 5

    def write(text: str) -> None:
        for _ in range(each):
            sink.log(text * size)

    threads = [threading.Thread(target=write, args=(text,)) for text in "ab"]
    for thread in threads:
        thread.start()
    with os.fdopen(os.dup(pipe[0]), "rb") as stream:
        for _ in range(2 * each):
            assert int.from_bytes(stream.read(16)[4:8], "big") == size
            assert len(set(stream.read(size))) == 1
    for thread in threads:
        thread.join()


def test_the_descriptor_is_removed_from_the_environment(pipe: tuple[int, int]) -> None:
    environment = {DESCRIPTOR: str(pipe[1]), "other": "stays"}

    sink, fault = sink_from(environment)

    assert (type(sink), fault) == (FramedSink, "")
    assert environment == {"other": "stays"}


@pytest.mark.parametrize("text", ["", "one", "-1", "999999", "9" * 30])
def test_an_invalid_descriptor_leaves_standard_output(text: str) -> None:
    sink, fault = sink_from({DESCRIPTOR: text})

    assert type(sink) is StandardSink
    assert "is not an open descriptor" in fault


def test_both_streams_go_to_the_platform_s_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "provider")
    with socket.socket(socket.AF_UNIX) as provider:
        provider.bind(path)
        provider.listen()
        subprocess.run(
            [sys.executable, "-c", REDIRECTED],
            env={**os.environ, SOCKET: path, DESCRIPTOR: "77"},
            check=True,
        )
        read: list[bytes] = []
        for _ in range(2):
            connection, _ = provider.accept()
            with connection:
                read.append(connection.recv(100))

    assert read == [b"an entry\n", b"an error\n"]


def test_a_socket_without_a_listener_leaves_the_streams(tmp_path: Path) -> None:
    sink, fault = sink_from({SOCKET: str(tmp_path / "nobody")})

    assert type(sink) is StandardSink
    assert fault.startswith(f"{SOCKET}: cannot connect to ")
