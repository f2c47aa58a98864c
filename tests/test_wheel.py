"""The wheel has the compiled module if there is a compiler, and works without it."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.tags import platform_tags

from tests.endurance.encoders import hook

ROOT = Path(__file__).parent.parent
MADE = "okibi/runtime/system/native.abi3.so"
HAS_COMPILER = bool(hook().compiler())
HAS_HEADERS = Path(sysconfig.get_path("include"), "Python.h").exists()
needs_headers = pytest.mark.skipif(not HAS_HEADERS, reason="no Python.h")
needs_both = pytest.mark.skipif(
    not (HAS_COMPILER and HAS_HEADERS), reason="no compiler, or no Python.h"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "okibi", clone / "okibi", ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    return clone


def wheel_of(clone: Path, **variables: str) -> tuple[Path, str]:
    """Build the wheel of a clone; return the wheel and the output."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "made"],
        cwd=clone, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done
    (wheel,) = (clone / "made").iterdir()
    return wheel, done.stdout + done.stderr


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return {*opened.namelist()}


@pytest.mark.slow
@needs_both
def test_a_wheel_with_the_encoder_is_for_this_platform_and_any_python(clone: Path) -> None:
    wheel, _ = wheel_of(clone)

    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-cp311-abi3-{platform}.whl")
    assert {
        MADE,
        "okibi/runtime/system/native.pyi",
        "okibi/py.typed",
        "okibi/__init__.py",
        "okibi/cli/new/project/tests/test_app.py.template",
        "okibi/local/services/sample_events/sqs.json",
    } <= names(wheel)
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(clone / "installed")
    run = (
        "from okibi.runtime.system import native as e; "
        "print(e.encode_unescaped({'a': [1.5, None]}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=clone / "installed", capture_output=True, text=True
    )
    assert done.stdout == """b'{"a": [1.5, null]}'\n""", done.stderr


@pytest.mark.slow
@needs_both
def test_a_wheel_has_a_platform_tag_that_installers_accept(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As pyenv's Pythons on macOS.
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.mac_ver", lambda: ("14.4.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "macosx-14.4-arm64")
    build: dict[str, Any] = {"artifacts": []}

    hook().Compile.initialize(SimpleNamespace(root=str(clone)), "standard", build)

    python, abi, named = build["tag"].split("-")
    assert (python, abi) == ("cp311", "abi3")
    assert named in {*platform_tags()}


@pytest.mark.parametrize(
    ("variables", "says", "left"),
    [pytest.param({"CC": "/nowhere/cc"}, "there is no C compiler", True, marks=needs_headers),
     # An older encoder is removed if it cannot be compiled again.
     pytest.param({"CC": "false"}, "says", False, marks=[needs_headers, pytest.mark.slow]),
     pytest.param({"HATCH_BUILD_NO_HOOKS": "true"}, "", True, marks=pytest.mark.slow)],
    ids=["no compiler", "one that fails", "not wanted"],
)  # fmt: skip
def test_a_wheel_without_the_encoder_is_for_any_platform_and_says_why(
    clone: Path, variables: dict[str, str], says: str, left: bool
) -> None:
    # Left by an earlier build.
    (clone / MADE).write_bytes(b"")
    if not left:
        os.utime(clone / MADE, (0, 0))

    wheel, said = wheel_of(clone, **variables)

    assert wheel.name.endswith("-py3-none-any.whl")
    assert MADE not in names(wheel)
    assert (clone / MADE).exists() is left
    assert says in said
    assert ("okibi is built without its compiled module" in said) == (says != "")


def test_missing_python_headers_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: f"{tmp_path}/include")

    why = hook().compiled(ROOT / hook().SOURCE, tmp_path / "native.abi3.so")

    assert why.startswith(f"there is no {tmp_path}/include/Python.h")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
@needs_both
def test_a_compiler_command_may_have_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", f"env {shlex.join(hook().compiler())} -O1")
    made = tmp_path / "native.abi3.so"

    assert hook().compiled(ROOT / hook().SOURCE, made) == ""
    assert [*tmp_path.iterdir()] == [made]


@pytest.mark.slow
@needs_both
def test_compiler_output_in_another_encoding_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latin = tmp_path / "latin"
    latin.write_text("""#!/bin/sh\nprintf '\\374ber\\n' >&2\n$COMPILER "$@"\n""")
    latin.chmod(0o755)
    monkeypatch.setenv("COMPILER", shlex.join(hook().compiler()))
    monkeypatch.setenv("CC", str(latin))
    made = tmp_path / "native.abi3.so"

    assert hook().compiled(ROOT / hook().SOURCE, made) == ""
    assert made.exists()

    monkeypatch.setenv("COMPILER", "false")
    assert hook().compiled(ROOT / hook().SOURCE, made) == f"{latin} says \\xfcber"


@needs_headers
def test_a_malformed_compiler_command_counts_as_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", 'gcc "-O2')

    why = hook().compiled(ROOT / hook().SOURCE, tmp_path / "native.abi3.so")

    assert why == "there is no C compiler"


@needs_headers
def test_an_os_error_is_reported_and_does_not_stop_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_program = tmp_path / "cc"
    no_program.write_text("")
    no_program.chmod(0o755)
    monkeypatch.setenv("CC", str(no_program))
    made = tmp_path / "native.abi3.so"
    made.mkdir()
    os.utime(made, (0, 0))

    assert "Exec format error" in hook().compiled(ROOT / hook().SOURCE, made)


@needs_both
def test_concurrent_builds_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "native.abi3.so"
    slow = tmp_path / "slow"
    # The first waits until the second has begun.
    slow.write_text(f"""#!/bin/sh
for made; do :; done
: > $made
: > {tmp_path}/$$.begun
for n in $(seq 3000); do
  [ $(ls {tmp_path} | grep -c begun) = 2 ] && break
  sleep 0.01
done
""")
    slow.chmod(0o755)
    monkeypatch.setenv("CC", str(slow))
    with ThreadPoolExecutor() as threads:
        whys = threads.map(lambda _: hook().compiled(ROOT / hook().SOURCE, made), range(2))

        assert [*whys] == ["", ""]


@pytest.mark.slow
def test_results_are_the_same_without_the_encoder(
    clone: Path,
) -> None:
    run = (
        "from okibi.runtime.codec import json as j; "
        "print(j.encode_official_unescaped({'a': [1.5, None]}).body)"
    )
    for other in (None, b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00" + bytes(44)):
        if other is not None:
            (clone / MADE).write_bytes(other)
        done = subprocess.run(
            [sys.executable, "-c", run], cwd=clone, capture_output=True, text=True
        )
        assert done.stdout == """b'{"a": [1.5, null]}'\n""", done.stderr
