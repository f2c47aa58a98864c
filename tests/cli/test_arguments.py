"""The arguments of the command line: events, handlers, folders."""

from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput, check_handler, read_event
from okibi.cli.invoke import invoke


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


@pytest.mark.parametrize("handler", [r"src\app.handler", r"C:\src\app.handler", r"\app.handler"])
def test_a_handler_with_backslashes_is_refused(handler: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_handler(handler)

    assert str(refused.value) == (
        f"handler {handler!r} contains a backslash; "
        "write module.name, as in app.handler or folder/app.handler"
    )


def test_invoke_in_a_removed_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert invoke("app.handler", None) == 2
    assert capfd.readouterr().err == (
        "okibi: the current folder has been removed; run cd to the folder of the function\n"
    )
