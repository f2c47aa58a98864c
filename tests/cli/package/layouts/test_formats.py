"""The options of each format, and the scripts that start okibi."""

import json
import subprocess
from pathlib import Path

import pytest

from okibi.cli.bad_input import BadInput
from okibi.cli.package.command import RawOptions, parse_options
from okibi.cli.package.start_files import bootstrap_script

SHOW = """#!/bin/sh
printf '{"arguments": "%s", "path": "%s", "libraries": "%s"}' "$*" "$PYTHONPATH" "$LD_LIBRARY_PATH"
"""


NO_FUNCTION = (
    "--format {} has no function in it, so leave out app.handler: functions name their handlers"
    " themselves"
)
NO_INTERPRETER = (
    "--format bundled needs the CPython to bundle; add --interpreter /opt/python3.13/bin/python3.13"
)


@pytest.mark.parametrize(
    ("handler", "raw", "sentence"),
    [("app.handler", RawOptions("3.13", format="bundled"), NO_INTERPRETER),
     ("app.handler", RawOptions(interpreter="/p"),
      "--interpreter is for --format bundled, and this is managed; leave it out"),
     (None, RawOptions(format="image"),
      "--format image needs the handler for the image's CMD; add app.handler"),
     ("app.handler", RawOptions(format="layer"), NO_FUNCTION.format("layer")),
     ("app.handler", RawOptions(format="runtime"), NO_FUNCTION.format("runtime"))],
    ids=["no interpreter", "interpreter", "no handler", "layer", "runtime"],
)  # fmt: skip
def test_an_option_that_does_not_fit_the_format_is_refused(
    handler: str | None, raw: RawOptions, sentence: str
) -> None:
    with pytest.raises(BadInput) as refused:
        parse_options(handler, raw)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("layout", "output"),
    [("managed", "function.zip"), ("bundled", "function.zip"), ("layer", "layer.zip"),
     ("image", "image"), ("runtime", "okibi-runtime")],
)  # fmt: skip
def test_each_format_has_its_output(layout: str, output: str, tmp_path: Path) -> None:
    handler = None if layout in ("layer", "runtime") else "app.handler"
    interpreter = f"{tmp_path}/python3.12" if layout == "bundled" else None

    options = parse_options(handler, RawOptions(format=layout, interpreter=interpreter))

    assert options.output.name == output


def test_a_bundled_cpython_s_name_tells_the_version(tmp_path: Path) -> None:
    (tmp_path / "python3.12").touch()
    (tmp_path / "python3").symlink_to("python3.12")

    raw = RawOptions(format="bundled", interpreter=f"{tmp_path}/python3")

    assert parse_options("app.handler", raw).target.python == (3, 12)


def test_a_runtime_starts_the_exec_wrapper_of_its_function(tmp_path: Path) -> None:
    (tmp_path / "bootstrap").write_text(bootstrap_script(layout="runtime"))
    (tmp_path / "wrapper").write_text(SHOW)
    for name in ("bootstrap", "wrapper"):
        (tmp_path / name).chmod(0o755)

    done = subprocess.run(
        [tmp_path / "bootstrap"], capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "AWS_LAMBDA_EXEC_WRAPPER": f"{tmp_path}/wrapper"},
    )  # fmt: skip

    told = json.loads(done.stdout)
    assert told["arguments"] == f"python3 {tmp_path}/okibi/lib/okibi_start.py"


@pytest.mark.parametrize(
    ("layout", "place", "python", "expected"),
    [("managed", "task/bootstrap", "bin", "{task}/lib/okibi_start.py"),
     ("bundled", "task/bootstrap", "task/bin", "{task}/lib/okibi_start.py"),
     ("image", "task/bootstrap", "bin", "{task}/lib/okibi_start.py app.handler"),
     ("layer", "opt/okibi-bootstrap", "bin", "{opt}/okibi/lib/okibi_start.py"),
     ("runtime", "runtime/bootstrap", "bin", "{runtime}/okibi/lib/okibi_start.py app.handler")],
)  # fmt: skip
def test_the_script_starts_okibi_from_its_place(
    layout: str, place: str, python: str, expected: str, tmp_path: Path
) -> None:
    for name in (place, f"{python}/python3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(bootstrap_script(layout=layout))
    (tmp_path / python / "python3").write_text(SHOW)
    for name in (place, f"{python}/python3"):
        (tmp_path / name).chmod(0o755)

    done = subprocess.run(
        [tmp_path / place, "app.handler"], capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "LAMBDA_TASK_ROOT": f"{tmp_path}/task",
             "PYTHONPATH": "/mine"},
    )  # fmt: skip

    told = json.loads(done.stdout)
    folders = {name: tmp_path / name for name in ("task", "opt", "runtime")}
    assert told["arguments"] == expected.format(**folders)
    lib = Path(told["arguments"].split()[0]).parent
    own = f"{lib}:{lib.parent}/python" if layout == "runtime" else f"{lib}"
    assert told["path"] == f"{own}:/mine"
    assert told["libraries"] == (f"{lib}" if layout == "bundled" else "")


def test_a_zip_with_a_cpython_is_checked_without_naming_the_cpython() -> None:
    options = parse_options(None, RawOptions(format="bundled", check="function.zip"))

    assert options.check == Path("function.zip")
