"""A package that has been made, before it is deployed."""

import json
import zipfile
from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.deploy.packages import make_package
from okibi.cli.project_settings import ProjectFunction, RuntimeSettings

FUNCTION = ProjectFunction("visits", "app.function", python="3.13", architecture="arm64")


def write_package(folder: Path, **manifest: str) -> str:
    path = folder / "function.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app.py", "")
        if manifest:
            archive.writestr("lib/okibi-package.json", json.dumps(manifest))
    return str(path)


def test_a_package_for_the_function_is_deployed_as_it_is(tmp_path: Path) -> None:
    path = write_package(tmp_path, python="3.13", architecture="arm64")

    assert make_package(FUNCTION, path, False) == Path(path).read_bytes()


def test_a_package_for_another_processor_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = write_package(tmp_path, python="3.13", architecture="x86_64")

    with pytest.raises(BadInput, match="on x86_64, and the function has"):
        make_package(FUNCTION, path, False)


def test_a_zip_of_another_tool_is_deployed_as_it_is(tmp_path: Path) -> None:
    assert make_package(FUNCTION, write_package(tmp_path), False)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "function.zip").write_text("hello")

    with pytest.raises(BadInput, match="not a package"):
        make_package(FUNCTION, str(tmp_path / "function.zip"), False)


def test_a_runtime_without_python_needs_a_package_that_has_one() -> None:
    function = ProjectFunction("f", "app.f", runtime=RuntimeSettings("provided.al2023"))

    with pytest.raises(BadInput, match="okibi package --format bundled"):
        make_package(function, None, False)
