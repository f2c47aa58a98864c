"""`okibi event`, samples for `okibi invoke`, and events as its user gives them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from okibi.cli.commands.invoke import invoke
from okibi.cli.print_event import EventOptions, print_event, read_event_or_sample
from okibi.local.services.sample_events import SAMPLES, sample_event
from okibi.project.bad_input import BadInput
from okibi.project.event_argument import read_event


def printed(capsysbinary: pytest.CaptureFixture[bytes], name: str, **options: Any) -> Any:
    code = print_event(name, EventOptions(**options))

    out, err = capsysbinary.readouterr()
    assert (code, err) == (0, b"")
    return json.loads(out)


def test_an_event_is_printed_as_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert printed(capsysbinary, "sqs") == sample_event("sqs")


def test_options_change_the_event(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    event = printed(
        capsysbinary,
        "http-api",
        bodies=['{"a": 1}'],
        path="/visits/Ada",
        method="PUT",
        headers=["x-key=a=b"],
        query=["n=1", "n=2"],
        route="/visits/{name}",
    )

    assert event["routeKey"] == "PUT /visits/{name}"
    assert event["headers"]["x-key"] == "a=b"
    assert event["rawQueryString"] == "n=1&n=2"
    assert event["body"] == '{"a": 1}'
    assert event["pathParameters"] == {"name": "Ada"}
    assert len(printed(capsysbinary, "sqs", count=3)["Records"]) == 3


def test_a_body_and_a_key_can_be_repeated(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    event = printed(capsysbinary, "kinesis", bodies=["a", "b"], keys=["k", "l"])
    fifo = printed(capsysbinary, "sqs-fifo", groups=["g", "h"])

    assert event == sample_event("kinesis", bodies=["a", "b"], key=["k", "l"])
    assert fifo == sample_event("sqs-fifo", group=["g", "h"])


def test_without_a_name_the_samples_are_listed(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert print_event(None, EventOptions()) == 0

    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert [line.split()[0] for line in lines] == list(SAMPLES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sqss", {}, "no sample event is called 'sqss'; did you mean 'sqs'?"),
        ("sqs", {"path": "/x"}, "--path: an event 'sqs' has none; it takes body and count"),
        ("sqs", {"headers": ["a=1"]}, "--header: an event 'sqs' has none; it takes body and"),
        ("sqs", {"count": 10_001}, "--count: must be an integer from 1 to 10,000, got 10001"),
        ("sns", {"bodies": ["a", "b"]}, "--body: an event 'sns' has no records; give one body"),
        ("kafka", {"keys": ["a", "b"], "count": 3}, "--key: 2 values for 3 records; give one, or"),
        ("alb", {"query": ["a"]}, "--query a: must be name=value, as in --query a=1"),
        (None, {"bodies": ["x"]}, "give the name of a sample too; okibi event alone lists them"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(
    name: str | None, options: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_event(name, EventOptions(**options)) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"okibi: {message}")
    assert err.count("\n") == 1


def test_the_command_parses_its_options() -> None:
    command = "event sqs-fifo --body hello --body bye --group a --group b"

    run = subprocess.run(
        [sys.executable, "-m", "okibi.cli", *command.split()], capture_output=True, check=True
    )

    assert json.loads(run.stdout) == sample_event(
        "sqs-fifo", bodies=["hello", "bye"], group=["a", "b"]
    )


# -- okibi invoke


def test_invoke_takes_an_event_or_a_sample() -> None:
    assert json.loads(read_event_or_sample(None, "sqs")) == sample_event("sqs")
    assert read_event_or_sample("[1]", None) == b"[1]"
    with pytest.raises(BadInput, match="give an event or --sample sqs, not both"):
        read_event_or_sample("[1]", "sqs")


def test_a_function_is_invoked_with_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.py").write_text("def count(event, _): return len(event['Records'])")
    monkeypatch.chdir(tmp_path)

    code = invoke("app.count", None, sample="sqs")

    assert (capfd.readouterr().out, code) == ("1\n", 0)


# -- events of the user's


@pytest.mark.parametrize("event", ["null", "5", "true", "-1.5"])
def test_json_without_brackets_is_an_event(
    event: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert read_event(event) == event.encode()

    Path(event).write_text("[1]")
    assert read_event(event) == b"[1]"


def test_an_event_that_is_not_json_is_refused_with_an_example() -> None:
    with pytest.raises(BadInput) as refused:
        read_event("{'name': 'Ada'}")

    assert str(refused.value) == (
        "the event: not JSON (Expecting property name enclosed in double quotes: "
        """line 1 column 2 (char 1)); write an event as in '{"name": "Ada"}'"""
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
def test_an_event_file_is_converted_to_utf_8(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes('{"name": "Jürgen"}\r\n'.encode(encoding))

    assert read_event(str(file)) == '{"name": "Jürgen"}\r\n'.encode()


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"\xff\xfe\0\0{", b"\0\0", b"\xff"])
def test_a_file_that_is_json_in_no_encoding_is_refused(body: bytes, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(body)

    with pytest.raises(BadInput, match="not JSON"):
        read_event(str(file))


def test_an_event_may_come_from_a_pipe_but_not_without_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"a": 1}')
    os.close(writing)
    try:
        assert read_event(f"/dev/fd/{reading}") == b'{"a": 1}'
    finally:
        os.close(reading)

    with pytest.raises(BadInput, match="/dev/zero: has over 24 MB; give a smaller one"):
        read_event("/dev/zero")
