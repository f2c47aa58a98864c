"""What is given on the command line."""

from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput, event_of, handler_of
from okibi.cli.invoke import invoke


@pytest.mark.parametrize("event", ["null", "5", "true", "-1.5"])
def test_what_is_json_is_an_event_also_where_it_has_no_brackets(
    event: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert event_of(event) == event.encode()

    Path(event).write_text("[1]")
    assert event_of(event) == b"[1]"


def test_an_event_that_is_no_json_is_told_what_one_looks_like() -> None:
    with pytest.raises(BadInput, match=r'is not JSON: .*; an event is, as \{"name": "you"\}'):
        event_of("{'name': 'you'}")


@pytest.mark.parametrize("written_in", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
def test_an_event_in_a_file_of_utf_16_is_sent_in_utf_8(written_in: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes('{"name": "Jürgen"}\r\n'.encode(written_in))

    assert event_of(str(file)) == '{"name": "Jürgen"}\r\n'.encode()


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"\xff\xfe\0\0{", b"\0\0", b"\xff"])
def test_what_is_no_json_in_any_encoding_is_told_of(body: bytes, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(body)

    with pytest.raises(BadInput, match="is not JSON"):
        event_of(str(file))


@pytest.mark.parametrize("handler", [r"src\app.handler", r"C:\src\app.handler", r"\app.handler"])
def test_a_handler_with_backslashes_is_told_how_one_is_written(handler: str) -> None:
    with pytest.raises(BadInput, match=r"has a backslash; write module\.name, as in .*folder/app"):
        handler_of(handler)


def test_a_folder_that_is_gone_is_told_of_by_invoke_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert invoke("app.handler", None) == 2
    assert capfd.readouterr().err == "okibi: the current folder is gone; go to one that is there\n"
