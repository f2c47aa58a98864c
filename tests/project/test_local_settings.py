"""The settings of a local sandbox."""

from pathlib import Path

import pytest

from okibi.project.local_settings import read_settings

NAME = "OKIBI_ENTITIES"


def test_an_invoked_function_has_the_entities_of_okibi_dev(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = '[tool.okibi.functions.own]\nhandler = "app.own"\nenvironment = {OKIBI_ENTITIES = "t"}'
    (tmp_path / "pyproject.toml").write_text(table)

    assert read_settings("app.f").environment[NAME] == f"sqlite:{tmp_path}/.okibi/entities.sqlite"
    assert read_settings("own").environment[NAME] == "t"
    monkeypatch.setenv(NAME, "carts")
    assert NAME not in read_settings("app.f").environment
