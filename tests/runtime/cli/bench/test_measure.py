"""A first answer that is an error, or not like the others: what is measured all the same, and what
is said.
"""

import errno
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime.cli.bench.command import bench
from runtime.cli.bench.order import Given
from tests.runtime.cli.bench.made import refused, with_app
from tests.runtime.side_by_side import skip_without_official

APP = """
import os
from runtime import Handler
from trio import sleep

class Late(Handler):
    # What stands in for it is a subclass, whose `handle` is replaced.
    def __init_subclass__(cls):
        async def handle(self, event, context):
            await sleep(60)
        cls.handle = handle

    async def handle(self, event, context):
        return event

def echo(event, context):
    return event

def broken(event, context):
    raise ValueError("no")

def ends(event, context):
    os._exit(7)

def leaves(event, context):
    raise SystemExit(7)

served = 0

def grows(event, context):
    global served
    served += 1
    return "x" * (10 if served == 1 else 20_000)

def pieces(event, context):
    global served
    served += 1
    for _ in range(1 if served == 1 else 20):
        yield b"x" * 1000
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: one with an app.py."""
    with_app(tmp_path, monkeypatch, APP)
    return tmp_path


@pytest.mark.parametrize("allow_errors", [False, True])
def test_where_each_event_ends_its_process_nothing_can_be_warm(
    allow_errors: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refused(capfd, "app.ends", allow_errors=allow_errors)

    assert said.startswith("okibi: app.ends on okibi fails on this event: Runtime.ExitError: ")
    assert said.endswith("exit status 7; give an event that its process outlives\n")


@skip_without_official
def test_where_it_ends_the_peer_s_process_alone_okibi_can_be_measured_without_the_peer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = refused(capfd, "app.leaves", peer="awslambdaric", allow_errors=True)

    assert said.startswith("okibi: app.leaves on awslambdaric fails on this event: Runtime.ExitE")
    assert said.endswith("process outlives, or leave out --peer to measure okibi alone\n")


@skip_without_official
def test_who_has_named_the_peer_s_handler_is_not_told_to_name_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = refused(capfd, "app.echo", peer="awslambdaric", peer_handler="app.broken")

    assert said.startswith("okibi: app.broken on awslambdaric fails on this event: ValueError: no")
    assert "; give an event that it can answer, or --allow-errors" in said


def test_where_what_stands_in_is_late_a_longer_time_out_is_advised(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = refused(capfd, "app.Late", timeout="0.2", duration="0.05")

    assert said.startswith("okibi: app.Late on okibi: the handler that stands in for it answers w")
    assert said.endswith("; give a longer --timeout\n")


@pytest.mark.parametrize(
    ("peer", "advice"),
    [
        (None, "give less --concurrency"),
        pytest.param(
            "awslambdaric",
            "give less --concurrency, or leave out --peer to measure okibi alone",
            marks=skip_without_official,
        ),
    ],
)
def test_where_not_all_lanes_come_fewer_are_advised(
    peer: str | None,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    why = "the runtime does not answer within 18 s; only 0 of 64 lanes came"
    run = trio.run_process

    async def waits(command: Any, *, stdin: bytes, **given: Any) -> Any:
        if peer is not None and peer.encode() not in stdin:
            return await run(command, stdin=stdin, **given)
        return subprocess.CompletedProcess(command, 1, b"", f"{why}\n".encode())

    monkeypatch.setattr(trio, "run_process", waits)

    said = refused(capfd, "app.echo", peer=peer, concurrency="64")
    assert said == f"okibi: app.echo on {peer or 'okibi'}: {why}; {advice}\n"


def test_a_disk_without_room_for_what_is_temporary_is_one_sentence_and_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    assert refused(capfd, "app.echo") == (
        "okibi: no temporary file can be written (No such file or directory); set TMPDIR to a"
        " folder with room\n"
    )

    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "written (No space left on device); set TMPDIR" in refused(capfd, "app.echo")


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (
            "app.grows",
            "On okibi an answer has 20,002 bytes in the median, but the first one has 12,",
        ),
        (
            "app.pieces",
            "On okibi an answer has 20,000 bytes in the median, but the first one has 1,0",
        ),
        ("app.echo", ""),
    ],
)
def test_where_the_first_answer_is_not_like_the_others_it_is_said(
    handler: str, words: str, folder: Path
) -> None:
    options: Given = {"quick": True, "rounds": "1", "duration": "0.05", "json": "report.json"}
    assert bench(handler, None, options) == 0

    notes: list[str] = json.loads((folder / "report.json").read_text("utf-8"))["notes"]
    said = [note for note in notes if "but the first one has" in note]
    assert [note.startswith(words) for note in said] == [True] * bool(words)
