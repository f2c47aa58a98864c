"""A package that has been made, before it is deployed."""

import json
import zipfile
from pathlib import Path

import attrs
import pytest

from okibi.deployment.packages import (
    NOT_ANSWERED,
    NOT_LOADED,
    Package,
    choose_architecture,
    explain_stop,
    make_package,
)
from okibi.packaging.failed_start import FailedStart
from okibi.project.bad_input import BadInput
from okibi.project.reader import read_project
from okibi.project.settings import ProjectFunction, RuntimeSettings, choose_function

FUNCTION = ProjectFunction("visits", "app.function", python="3.13", architecture="arm64")
PROVIDED = ProjectFunction(
    "visits", "app.function", architecture="arm64", runtime=RuntimeSettings("provided.al2023")
)


def write_package(folder: Path, **manifest: str) -> str:
    path = folder / "function.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app.py", "")
        if manifest:
            archive.writestr("lib/okibi-package.json", json.dumps(manifest))
    return str(path)


def test_a_package_for_the_function_is_deployed_as_it_is(tmp_path: Path) -> None:
    path = write_package(tmp_path, python="3.13", architecture="arm64")

    assert make_package(FUNCTION, path, print, emulated=False).content == Path(path).read_bytes()


def test_a_package_for_another_processor_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = write_package(tmp_path, python="3.13", architecture="x86_64")

    with pytest.raises(BadInput, match="on x86_64, and the function has"):
        make_package(FUNCTION, path, print, emulated=False)


def test_each_of_two_functions_with_one_handler_is_packaged_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.okibi.functions.first]\nhandler = "app.function"\n'
        '[tool.okibi.functions.second]\nhandler = "app.function"\nenvironment = {KIND = "2"}\n'
    )
    project = read_project(tmp_path)
    second = choose_function(project, "second")

    assert choose_function(project, second.package_argument) is second
    assert choose_function(project, "other.function").package_argument == "other.function"


@pytest.mark.parametrize("emulated", [True, False])
def test_a_bundled_package_has_any_python_and_the_function_s_processor(
    emulated: bool, tmp_path: Path
) -> None:
    good = write_package(tmp_path, python="3.11", architecture="arm64", format="bundled")
    assert make_package(PROVIDED, good, print, emulated=emulated).content

    wrong = write_package(tmp_path, python="3.13", architecture="x86_64", format="bundled")
    with pytest.raises(BadInput, match=r"made for x86_64, .* run okibi package again with --arch"):
        make_package(PROVIDED, wrong, print, emulated=emulated)


def test_aws_gets_no_package_without_a_python_for_a_runtime_without_one(tmp_path: Path) -> None:
    path = write_package(tmp_path, python="3.13", architecture="arm64", format="managed")

    assert make_package(PROVIDED, path, print, emulated=True).content
    with pytest.raises(BadInput, match="made without a Python"):
        make_package(PROVIDED, path, print, emulated=False)


def test_a_missing_package_is_told_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be read .*; give a zip that okibi package has"):
        make_package(FUNCTION, str(tmp_path / "nope.zip"), print, emulated=False)


def test_the_processor_is_the_asked_one_the_emulator_s_or_the_function_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "AMD64")

    assert choose_architecture(PROVIDED, None, emulated=True) == "x86_64"
    assert choose_architecture(PROVIDED, "aarch64", emulated=True) == "arm64"
    assert choose_architecture(PROVIDED, None, emulated=False) == "arm64"
    with pytest.raises(BadInput, match="--arch arm: must be x86_64 or arm64"):
        choose_architecture(PROVIDED, "arm", emulated=True)


def test_warnings_of_the_package_are_kept_for_the_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\necho "$*" > arguments\n'
        "echo table\necho 'start image: none' >&2\necho 'warning: app.f does not load' >&2\n"
        'for output in "$@"; do case $output in *.zip) echo zip > "$output";; esac; done\n'
    )
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(program))

    function = attrs.evolve(FUNCTION, in_project=True)
    told = list[str]()
    made = make_package(function, None, told.append, emulated=False, record=False)

    assert (made.content, made.warnings) == (b"zip\n", ["warning: app.f does not load"])
    assert (told, capfd.readouterr().err) == (["start image: none"], "table\n")
    arguments = (tmp_path / "arguments").read_text()
    assert " package visits --python " in arguments
    assert arguments.endswith("--no-record\n")


STRIPE = FailedStart("app.f", "Runtime.ImportModuleError: No module named 'stripe'").warning()
TYPO = FailedStart("app.f", "Runtime.HandlerNotFound: Handler 'f' missing").warning()
VARIABLE = FailedStart("app.f", "KeyError: 'TOKEN'").warning()
LAYERED = attrs.evolve(FUNCTION, layers=["arn:aws:lambda:eu-central-1:123456789012:layer:x:1"])


@pytest.mark.parametrize(
    ("line", "function", "asks", "stop"),
    [(STRIPE, FUNCTION, True, NOT_LOADED), (TYPO, FUNCTION, True, NOT_LOADED),
     (TYPO, LAYERED, False, NOT_LOADED), (STRIPE, LAYERED, False, ""),
     (VARIABLE, FUNCTION, True, ""), (VARIABLE, FUNCTION, False, NOT_ANSWERED)],
    ids=["module", "handler", "handler and layer", "layer", "asked", "unasked"],
)  # fmt: skip
def test_what_does_not_start_is_not_deployed_unasked(
    line: str, function: ProjectFunction, asks: bool, stop: str
) -> None:
    assert explain_stop(function, Package(warnings=[line]), asks=asks) == stop


def test_a_zip_of_another_tool_is_deployed_as_it_is(tmp_path: Path) -> None:
    assert make_package(FUNCTION, write_package(tmp_path), print, emulated=False).content


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "function.zip").write_text("hello")

    with pytest.raises(BadInput, match="not a package"):
        make_package(FUNCTION, str(tmp_path / "function.zip"), print, emulated=False)


def test_a_runtime_without_python_needs_a_package_that_has_one() -> None:
    with pytest.raises(BadInput, match="okibi package --format bundled"):
        make_package(PROVIDED, None, print, emulated=False)
