"""The options of each format, and the scripts that start okibi."""

import json
import subprocess
from pathlib import Path

import pytest

from okibi.cli.build_package import check_format, choose_output, plan_package
from okibi.cli.commands.package import package
from okibi.packaging.start_files import bootstrap_script
from okibi.packaging.targets import parse_target
from okibi.project.bad_input import BadInput

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
    ("handler", "layout", "interpreter", "sentence"),
    [("app.handler", "bundled", None, NO_INTERPRETER),
     ("app.handler", "managed", Path("/p"),
      "--interpreter is for --format bundled, and this is managed; leave it out"),
     (None, "image", None, "--format image needs the handler for the image's CMD; add app.handler"),
     ("app.handler", "layer", None, NO_FUNCTION.format("layer")),
     ("app.handler", "runtime", None, NO_FUNCTION.format("runtime"))],
    ids=["no interpreter", "interpreter", "no handler", "layer", "runtime"],
)  # fmt: skip
def test_an_option_that_does_not_fit_the_format_is_refused(
    handler: str | None, layout: str, interpreter: Path | None, sentence: str
) -> None:
    plan = plan_package(handler, "3.13", None, layout, interpreter)

    with pytest.raises(BadInput) as refused:
        check_format(plan)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("layout", "output"),
    [("managed", "function.zip"), ("bundled", "function.zip"), ("layer", "layer.zip"),
     ("image", "image"), ("runtime", "okibi-runtime")],
)  # fmt: skip
def test_each_format_has_its_output(layout: str, output: str, tmp_path: Path) -> None:
    target = parse_target("3.13", "arm64", layout)

    assert choose_output(tmp_path, None, target) == tmp_path / output


def test_a_bundled_cpython_s_name_tells_the_version(tmp_path: Path) -> None:
    (tmp_path / "python3.12").touch()
    (tmp_path / "python3").symlink_to("python3.12")

    plan = plan_package("app.handler", None, None, "bundled", tmp_path / "python3")

    assert plan.target.python == (3, 12)


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


def test_a_zip_with_a_cpython_is_checked_without_naming_the_cpython(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert package(format="bundled", check=Path("gone.zip")) == 2
    assert capsys.readouterr().err.startswith("okibi: gone.zip: cannot be read")
