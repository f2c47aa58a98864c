"""`okibi template`, as its user runs it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from okibi.cli.write_template import template

PROJECT = """
[project]
name = "shop"
[tool.okibi.functions.visits]
handler = "app.function"
url = true
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_handler_alone_is_enough(capfd: pytest.CaptureFixture[str]) -> None:
    assert template("app.function") == 0

    written = yaml.safe_load(capfd.readouterr().out)
    properties = written["Resources"]["Function"]["Properties"]
    here = "python{}.{}".format(*sys.version_info)
    assert (properties["Handler"], properties["Runtime"]) == ("app.function", here)


def test_the_suffix_of_the_file_chooses_json(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)

    assert template(None, output="template.json") == 0

    written = json.loads((folder / "template.json").read_text())
    assert "FunctionUrlConfig" in written["Resources"]["Function"]["Properties"]


def test_parameters_say_where_the_package_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert template("app.function") == 0

    written = yaml.safe_load(capfd.readouterr().out)
    assert [*written["Parameters"]] == ["CodeBucket", "CodeKey"]
    assert written["Resources"]["Function"]["Properties"]["CodeUri"] == {
        "Bucket": {"Ref": "CodeBucket"},
        "Key": {"Ref": "CodeKey"},
    }


def test_a_sam_template_names_the_package_as_seen_from_its_folder(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "infra").mkdir()
    (folder / "visits.zip").touch()
    asked = [
        ({}, "function.zip"),
        ({"package": "visits.zip"}, "visits.zip"),
        ({"package": "visits.zip", "output": "infra/template.json"}, "../visits.zip"),
    ]
    for options, uri in asked:
        assert template("app.function", sam=True, **options) == 0
        text = capfd.readouterr().out or (folder / "infra" / "template.json").read_text()

        written = yaml.safe_load(text)
        assert "Parameters" not in written
        assert written["Resources"]["Function"]["Properties"]["CodeUri"] == uri


def test_public_routes_are_named_beside_the_template(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "pyproject.toml").write_text(PROJECT + 'routes = ["GET /visits"]\n')

    assert template(None) == 0

    out, err = capfd.readouterr()
    assert "RouteKey: GET /visits" in out
    assert err.startswith("public: anyone can call GET /visits; ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "which function? name its handler, as in app.handler"),
        ({"asked": "visits"}, "no function 'visits': pyproject.toml has no [tool.okibi.functions]"),
        ({"asked": "app.f", "runtime": "python"}, "--runtime python: must be managed"),
        ({"asked": "app.f", "runtime": "custom"}, "pyproject.toml has no runtime_config"),
        ({"asked": "app.f", "output": "no/folder.json"}, "cannot be written"),
        ({"asked": "app.f", "package": "nope.zip", "sam": True}, "nope.zip: there is no such file"),
        ({"asked": "app.f", "package": "app.zip"}, "add --sam, or leave --package out"),
        ({"asked": "app."}, "handler 'app.': must be module.name, as in app.handler"),
    ],
)
def test_a_wrong_argument_is_one_line(
    options: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert template(options.pop("asked", None), **options) == 2

    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("okibi: ")
    assert said in line
