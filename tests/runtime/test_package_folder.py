"""A package as README lays it out: okibi and what it needs in a folder of its own.

What the function bundles beside it is the function's, in the function's version.
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.runtime.sandbox import ROOT, Running, running

# What okibi has imported when the user's code begins; README lists the same.
IMPORTED = {
    "actors", "attr", "attrs", "httptools", "msgspec", "outcome", "runtime", "sniffio",
    "sortedcontainers", "supervisors", "trio",
}  # fmt: skip
# Without a `site-packages`, as in a runtime of Lambda's that has nothing else.
COMMAND = (sys.executable, "-S", "-P", "-m", "runtime")
SEEN = """
import sys
FOLDER = {folder!r}
SEEN = {{
    name.partition(".")[0]
    for name, module in [*sys.modules.items()]
    if (getattr(module, "__file__", None) or "").startswith(FOLDER) and name != "__main__"
}}

def handler(event, context):
    return sorted(SEEN)
"""
NEWER = """
from typing_extensions import OF_THE_USER

def handler(event, context):
    return OF_THE_USER
"""
WITH_PYDANTIC = """
import pydantic, typing_extensions

class Order(pydantic.BaseModel):
    number: int

def handler(event, context):
    return [Order(**event).number, typing_extensions.__file__]
"""
# As it was before it had `Sentinel`, `TypeForm` and others.
OLD = """
from typing import *
from typing import NotRequired, Required, get_type_hints
"""


def requirements(name: str) -> Iterator[str]:
    """The distributions that one needs without its extras, itself first."""
    yield name
    for text in importlib.metadata.requires(name) or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield from requirements(needed.name)


def link(name: str, folder: Path) -> None:
    """Put what an installed distribution consists of into a folder."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        if not (folder / top).exists():
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The user's folder, with `okibi` below it."""
    folder = tmp_path / "package" / "okibi"
    folder.mkdir(parents=True)
    for floor in ("actors", "supervisors", "runtime"):
        (folder / floor).symlink_to(ROOT / floor)
    for name in {*requirements("okibi")} - {"okibi"}:
        link(name, folder)
    # Present also where Python is so new that nothing needs it.
    (folder / "typing_extensions.py").unlink(missing_ok=True)
    (folder / "typing_extensions.py").write_text(OLD)
    return folder.parent


def served(package: Path) -> AbstractAsyncContextManager[Running]:
    environment = {"PYTHONPATH": f"{package}/okibi"}
    return running("app.handler", task_root=package, environment=environment, command=COMMAND)


async def test_the_user_s_code_finds_only_what_readme_lists_imported(package: Path) -> None:
    (package / "app.py").write_text(SEEN.format(folder=f"{package}/okibi/"))

    async with served(package) as sandbox:
        assert {*await sandbox.ask()} == IMPORTED


async def test_a_typing_extensions_of_the_user_s_is_the_one_imported(package: Path) -> None:
    (package / "typing_extensions.py").write_text("OF_THE_USER = 'newer'\n")
    (package / "app.py").write_text(NEWER)

    async with served(package) as sandbox:
        assert await sandbox.ask() == "newer"


@pytest.mark.skipif(importlib.util.find_spec("pydantic") is None, reason="pydantic is not here")
async def test_pydantic_works_with_a_newer_typing_extensions_than_okibi_s(package: Path) -> None:
    for name in {*requirements("pydantic")}:
        link(name, package)
    (package / "app.py").write_text(WITH_PYDANTIC)

    async with served(package) as sandbox:
        assert await sandbox.ask({"number": "7"}) == [7, f"{package}/typing_extensions.py"]
