"""okibi can be installed in every way, imports, serves, and adds only `okibi` to site-packages.

Each case installs a copy of the repository's files into a new virtual environment. PyPI's `actors`
is installed beside okibi, because another project has that name.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import okibi

ROOT = Path(__file__).parents[1]
LINKS = ("actors", "supervisors", "runtime")
UV = [sys.executable, "-m", "uv"]
ANOTHER_ACTORS = """
from setuptools import setup
setup(name="actors", version="0.5", py_modules=["actors"])
"""
SERVED = """
import sys, trio
from okibi import Server, start
from okibi.local import FunctionSettings, open_local_lambda

class Greeter(Server):
    async def greet(self):
        return "hello"

async def main():
    async with trio.open_nursery() as nursery:
        print(await (await start(nursery, Greeter)).call(Greeter.greet))
        nursery.cancel_scope.cancel()
    async with open_local_lambda(FunctionSettings("app.handler")) as function:
        print((await function.invoke(b'{"n": 1}')).payload)

trio.run(main)
import actors, okibi
print(actors.OF_ANOTHER_PROJECT, okibi.__version__, okibi.Strategy.ONE_FOR_ALL.name)
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AWS_", "VIRTUAL"))}
    done = subprocess.run(
        command, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(source: Path) -> list[str]:
    run(*UV, "build", "-q", "--wheel", "-o", "made", cwd=source)
    return [str(*(source / "made").glob("*.whl"))]


def sdist(source: Path) -> list[str]:
    run(*UV, "build", "-q", "--sdist", "-o", "made", cwd=source)
    return [str(*(source / "made").glob("*.tar.gz"))]


def folder_by_pip(source: Path) -> list[str]:
    return [str(source)]


def folder_by_uv(source: Path) -> list[str]:
    return [str(source)]


def editable(source: Path) -> list[str]:
    return ["-e", str(source)]


def archive_of_github(source: Path) -> list[str]:
    """Replace links by files with their path, as some programs unzip them."""
    without_links(source)
    return [str(source)]


def clone_without_links(source: Path) -> list[str]:
    """Write what `git clone -c core.symlinks=false` writes, as on Windows."""
    without_links(source)
    return ["-e", str(source)]


def without_links(source: Path) -> None:
    for name in LINKS:
        (source / name).unlink()
        (source / name).write_text(f"okibi/{name}")


def checkout(place: Path) -> Path:
    """Copy the files in git, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in listed.split("\0")[:-1]:
        if (ROOT / name).exists() and not name.startswith("tests/"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name, follow_symlinks=False)
    return place


KINDS = [
    wheel, sdist, folder_by_pip, folder_by_uv, editable, archive_of_github, clone_without_links,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_okibi_imports_serves_and_adds_no_other_package(
    tmp_path: Path, kind: Callable[[Path], list[str]]
) -> None:
    source = checkout(tmp_path / "source")
    other = tmp_path / "other"
    other.mkdir()
    (other / "setup.py").write_text(ANOTHER_ACTORS)
    (other / "actors.py").write_text("OF_ANOTHER_PROJECT = True\n")
    run(*UV, "venv", "-q", "--seed", "--python", sys.executable, "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    given = kind(source)

    run(*UV, "pip", "install", "-q", "--python", python, str(other), cwd=tmp_path)
    (site,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    before = {*os.listdir(site)}
    requirements = run(
        python, "-c", "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))"
        "['project']['dependencies'], sep='\\n')", cwd=source,
    ).split()  # fmt: skip
    run(*UV, "pip", "install", "-q", "--python", python, *requirements, cwd=tmp_path)
    needed = {*os.listdir(site)}
    if kind is folder_by_pip:
        run(python, "-m", "pip", "install", "-q", *given, cwd=tmp_path)
    else:
        run(*UV, "pip", "install", "-q", "--python", python, *given, cwd=tmp_path)
    new = {name for name in {*os.listdir(site)} - needed if not name.endswith(".dist-info")}

    assert "actors.py" in before
    if given[0] == "-e":
        assert all("okibi" in name for name in new)
    else:
        assert new == {"okibi"}
    function = tmp_path / "function"
    function.mkdir()
    (function / "app.py").write_text("def handler(event, context):\n    return event\n")
    (function / "main.py").write_text(SERVED)
    assert run(python, "main.py", cwd=function) == (
        f"hello\nb'{{\"n\": 1}}'\nTrue {okibi.__version__} ONE_FOR_ALL\n"
    )
    run(python, "-m", "examples.demo", cwd=source)
