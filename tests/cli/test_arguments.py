"""The arguments of the command line: handlers and folders."""

from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput, check_handler
from okibi.cli.invoke import invoke


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
