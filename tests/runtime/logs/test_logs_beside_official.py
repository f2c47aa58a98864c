"""Logs and responses of the official client and okibi for the same function, byte for byte.

Only times and request ids are masked. A test states each deliberate difference.
"""

import json
import os
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.output_side_by_side import Said, masked, official, okibi

NBSP = "\u00a0"
TEXT: Mapping[str, str] = {}
JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
slow = partial(pytest.param, marks=pytest.mark.slow)
FORMATS = pytest.mark.parametrize("environment", [TEXT, JSON], ids=["text", "json"])


ERRORS: list[dict[str, Any]] = [
    {"do": "fail"},
    {"do": "fail", "nested": 3},
    {"do": "fail", "words": []},
    {"do": "fail", "words": ["größe \N{SNOWMAN}\n  two\n\nlines"]},
    {"do": "fail", "words": ["one", "two"]},
    {"do": "builtin"},
    {"do": "recursive"},
]


async def both(tmp_path: Path, *events: Mapping[str, Any], **options: Any) -> tuple[Said, Said]:
    """Run a function with the official client and with okibi."""
    options = {"handler": "speaking.handler", "events": events, **options}
    first = await official(output=tmp_path / "official", **options)
    return first, await okibi(output=tmp_path / "okibi", **options)


# -- the log


SAYS = ("records", "prints", "threads", "user_format", "with_output", "handlers")


@pytest.mark.slow
@FORMATS
async def test_output_and_errors_are_equal(tmp_path: Path, environment: dict[str, str]) -> None:
    events = [{"do": do} for do in SAYS for _ in range(2)] + ERRORS
    # In text the official client does not end the line of a logged exception.
    events += [{"do": "exception"}] if environment == JSON else []
    theirs, ours = await both(tmp_path, *events, environment=environment)

    assert ours == theirs
    assert ours.output.count("inside\nbehind\n") == 2
    if environment == JSON:
        assert '"errorType": "OrderError"' in ours.output
        assert '"location": "' in ours.output
    else:
        error = "[ERROR] OrderError: no stock\rTraceback (most recent call last):"
        assert f"{error}\r{NBSP}{NBSP}" in ours.output


@pytest.mark.parametrize(
    "level",
    ["debug", *(slow(each) for each in ("TRACE", "INFO", "WARN", "ERROR", "FATAL", "NOISE"))],
)
async def test_the_platform_s_level_is_used_alike(tmp_path: Path, level: str) -> None:
    environment = {"AWS_LAMBDA_LOG_LEVEL": level}
    theirs, ours = await both(
        tmp_path, {"do": "records"}, {"do": "handlers"}, environment=environment
    )

    # Libraries find the log handler by its class name.
    assert ours == theirs


@pytest.mark.slow
async def test_each_record_has_the_tenant(tmp_path: Path) -> None:
    environment = {**JSON, "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    options = {"environment": environment, "tenant_id": "blue"}
    theirs, ours = await both(tmp_path, {"do": "records"}, **options)

    assert ours == theirs
    assert '"tenantId": "blue"' in ours.output


@pytest.mark.parametrize("environment", [TEXT, slow(JSON)], ids=["text", "json"])
async def test_framed_entries_are_equal(tmp_path: Path, environment: dict[str, str]) -> None:
    asked = {**environment, "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    events = [{"do": "records"}, {"do": "exception"}, {"do": "fail", "words": ["a\n b"]}]
    options: dict[str, Any] = {"handler": "speaking.handler", "events": events}
    theirs = await _framed(official, tmp_path, asked, options)
    ours = await _framed(okibi, tmp_path, asked, options)

    assert ours == theirs
    assert len(ours) > 10


async def _framed(
    client: Any, tmp_path: Path, environment: Mapping[str, str], options: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """The frames written to the descriptor: type and text."""
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    thread.start()
    # The shell opens the descriptor.
    told = {**environment, "_LAMBDA_TELEMETRY_LOG_FD": "9"}
    said = await client(output=tmp_path / "out", frames=pipe, environment=told, **options)
    thread.join()
    pipe.unlink()
    assert said.output == ""
    return frames_of(read[0])


def frames_of(data: bytes) -> list[tuple[str, str]]:
    """Frames as type and masked text."""
    frames: list[tuple[str, str]] = []
    while data:
        length = int.from_bytes(data[4:8], "big")
        frames.append((data[:4].hex(), masked(data[16 : 16 + length].decode())))
        data = data[16 + length :]
    return frames


# -- errors


@pytest.mark.parametrize(
    ("words", "message"),
    [slow([3], "3"), slow([], "sys.exit()"), slow(["out of stock"], "out of stock")],
)
async def test_sys_exit_is_an_error_here_and_ends_the_official_process(
    tmp_path: Path, words: list[Any], message: str
) -> None:
    theirs, ours = await both(tmp_path, {"do": "leave", "words": words}, {"do": "prints"})

    assert json.loads(theirs.bodies[0])["errorType"] == "Runtime.ExitError"
    told = json.loads(ours.bodies[0])
    assert (told["errorType"], told["errorMessage"]) == ("SystemExit", message)
    assert ours.output.count("said at import") == 1
    assert theirs.output.count("said at import") == 2
    assert f"[ERROR] SystemExit: {message}\rTraceback" in ours.output


@pytest.mark.parametrize(
    "handler", ["broken.handler", slow("speaking.nobody"), slow("nowhere.handler")]
)
async def test_an_init_error_is_logged_alike_after_the_warning(
    tmp_path: Path, handler: str
) -> None:
    (tmp_path / "broken.py").write_text(
        "import json\n\n\ndef load():\n    json.loads('{')\n\nload()"
    )
    (tmp_path / "speaking.py").write_text("")
    theirs, ours = await both(tmp_path, {}, handler=handler, task_root=tmp_path)

    said, error = theirs.output.split("\n")[-2] + "\n", ours.output
    # The official stack begins with the import system's frames, okibi's with the user's own. The
    # official client drops the stack of an ImportError.
    assert [line.strip() for line in error.split("\r")[:2]] == said.strip().split("\r")[:2]
    assert handler != "broken.handler" or error.split("\r")[-1] == said.split("\r")[-1]
    assert "\n" not in error.removesuffix("\n")
