"""The arguments of the command line: the current folder."""

from pathlib import Path

import pytest

from okibi.cli.invoke import invoke


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
