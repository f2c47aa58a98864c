"""The script and the entry that start okibi from a package."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from okibi.packaging.start_files import bootstrap_script, entry_source, hash_package, manifest
from okibi.packaging.targets import Target, parse_target
from tests.support.sandbox import ROOT, without_lambda

HERE = sys.version_info[:2]
MACHINE = "arm64" if os.uname().machine == "aarch64" else "x86_64"
PRINTER = '#!/bin/sh\necho "$@"\necho "$PYTHONPATH"\n'


def run_bootstrap(folder: Path, **options: str) -> list[str]:
    """Run the script with a `python3` that prints its arguments."""
    (folder / "bootstrap").write_text(bootstrap_script(**options))
    for name in ("python3", "wrapper"):
        (folder / name).write_text(PRINTER)
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": "/opt/python"}
    done = subprocess.run(
        ["sh", str(folder / "bootstrap")],
        env={**environment, "LAMBDA_TASK_ROOT": "/root of the task"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_bootstrap_finds_the_package_by_the_task_root(tmp_path: Path) -> None:
    assert run_bootstrap(tmp_path) == [
        "/root of the task/lib/okibi_start.py",
        "/root of the task/lib:/opt/python",
    ]


def test_a_wrapper_of_a_layer_starts_the_interpreter(tmp_path: Path) -> None:
    first, _ = run_bootstrap(tmp_path, wrapper=f"{tmp_path}/wrapper")

    assert first == "python3 /root of the task/lib/okibi_start.py"


def start(
    folder: Path, target: Target, python: str = sys.executable
) -> "subprocess.CompletedProcess[str]":
    (folder / "okibi_start.py").write_text(entry_source(target))
    (folder / "okibi").symlink_to(ROOT / "okibi")
    return subprocess.run(
        [python, str(folder / "okibi_start.py"), "app.handler"],
        env=without_lambda(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "target",
    [Target((3, 99), MACHINE, "managed", (2, 34)),
     Target(HERE, "arm64" if MACHINE == "x86_64" else "x86_64", "managed", (2, 34))],
    ids=["another Python", "another processor"],
)  # fmt: skip
def test_a_package_for_another_platform_ends_with_one_sentence(
    target: Target, tmp_path: Path
) -> None:
    done = start(tmp_path, target)

    assert done.returncode == 1
    assert done.stderr == ""
    python, machine = target.python_version, target.machine
    assert done.stdout.startswith(
        f"[ERROR] Runtime.PlatformMismatch: the package was built for Python {python} on {machine},"
        f" and this is Python {HERE[0]}.{HERE[1]} on {os.uname().machine}: build it with okibi"
        f" package --python {HERE[0]}.{HERE[1]} --arch {MACHINE}, or change"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["python3.8", "python3.9", "python3.10"])
def test_an_older_python_gets_the_same_sentence(name: str, tmp_path: Path) -> None:
    python = shutil.which(name)
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"there is no {name} here")

    done = start(tmp_path, Target((3, 13), MACHINE, "managed", (2, 34)), python)

    assert (done.returncode, done.stderr) == (1, "")
    assert "the package was built for Python 3.13 on" in done.stdout


def test_the_entry_is_source_that_an_old_python_can_read() -> None:
    source = entry_source(parse_target("3.13", "arm64", "managed"))

    compile(source, "okibi_start.py", "exec", dont_inherit=True)
    assert "f'" not in source
    assert 'f"' not in source


def test_a_process_that_the_function_spawns_does_not_start_okibi(tmp_path: Path) -> None:
    """`multiprocessing` runs the main file again in each child, as `__mp_main__`."""
    entry = tmp_path / "okibi_start.py"
    entry.write_text(entry_source(Target((3, 99), MACHINE, "managed", (2, 34))))

    names = runpy.run_path(str(entry), run_name="__mp_main__")

    assert "start" not in names


def test_the_hash_of_a_package_leaves_out_manifest_and_image(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "app.py").write_text("x = 1\n")
    first = hash_package(tmp_path)
    (tmp_path / "lib" / "okibi.image").write_text("image")
    (tmp_path / "lib" / "okibi-package.json").write_text("{}")
    assert hash_package(tmp_path) == first

    (tmp_path / "app.py").write_text("x = 2\n")
    assert hash_package(tmp_path) != first


def test_the_manifest_says_what_the_package_is() -> None:
    target = parse_target("3.13", "arm64", "managed")

    assert json.loads(manifest("1.2", target, "app.function", "abc")) == {
        "okibi": "1.2",
        "python": "3.13",
        "architecture": "arm64",
        "format": "managed",
        "handler": "app.function",
        "hash": "abc",
    }
