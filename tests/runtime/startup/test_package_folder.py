"""A package as in docs/deploy.md: okibi and its dependencies in a separate folder.

The function keeps its own versions of bundled libraries. A package for another Python or processor
is refused in one sentence.
"""

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import trio
from packaging.requirements import Requirement

from tests.support.sandbox import ROOT, Running, running, without_lambda

# The modules that okibi has imported when the user's code begins; docs/deploy.md has the list.
IMPORTED = {
    "attr", "attrs", "httptools", "okibi", "outcome", "sniffio", "trio",
}  # fmt: skip
# Without `site-packages`, as in a Lambda runtime.
COMMAND = (sys.executable, "-S", "-P", "-m", "okibi.runtime")
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
# typing_extensions before `Sentinel` and `TypeForm`.
OLD = """
from typing import *
from typing import NotRequired, Required, get_type_hints
"""


def requirements(name: str) -> Iterator[str]:
    """A distribution and those that it needs, without extras."""
    yield name
    for text in importlib.metadata.requires(name) or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield from requirements(needed.name)


def link(name: str, folder: Path) -> None:
    """Link the files of an installed distribution into a folder."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        if not (folder / top).exists():
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The user's folder, with okibi in a folder below."""
    folder = tmp_path / "package" / "lib"
    folder.mkdir(parents=True)
    (folder / "okibi").symlink_to(ROOT / "okibi")
    for name in {*requirements("okibi")} - {"okibi"}:
        link(name, folder)
    # Linked also on a new Python, where no distribution needs it.
    (folder / "typing_extensions.py").unlink(missing_ok=True)
    (folder / "typing_extensions.py").write_text(OLD)
    return folder.parent


def served(package: Path, **environment: str) -> AbstractAsyncContextManager[Running]:
    environment["PYTHONPATH"] = f"{package}/lib"
    return running("app.handler", task_root=package, environment=environment, command=COMMAND)


async def test_a_start_imports_only_the_modules_that_the_page_lists(package: Path) -> None:
    (package / "app.py").write_text(SEEN.format(folder=f"{package}/lib/"))

    async with served(package) as sandbox:
        assert {*await sandbox.ask()} == IMPORTED


@pytest.mark.slow
async def test_the_user_s_typing_extensions_is_the_one_imported(package: Path) -> None:
    (package / "typing_extensions.py").write_text("OF_THE_USER = 'newer'\n")
    (package / "app.py").write_text(NEWER)

    async with served(package) as sandbox:
        assert await sandbox.ask() == "newer"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pydantic") is None, reason="pydantic is not here")
async def test_pydantic_works_with_a_newer_typing_extensions_than_okibi_s(package: Path) -> None:
    for name in {*requirements("pydantic")}:
        link(name, package)
    (package / "app.py").write_text(WITH_PYDANTIC)

    async with served(package) as sandbox:
        assert await sandbox.ask({"number": "7"}) == [7, f"{package}/typing_extensions.py"]


# -- built for another Python or processor


OTHER = "cpython-399-sparc64-linux-gnu"
THIS = EXTENSION_SUFFIXES[0]
FITS = f"--python-version {sys.version_info[0]}.{sys.version_info[1]} --only-binary=:all:"


def build_for_another(name: str, package: Path) -> None:
    """Replace the compiled modules of a linked distribution by those of another build."""
    linked = package / name
    real = linked.resolve()
    linked.unlink()
    shutil.copytree(real, linked)
    for file in [*linked.rglob(f"*{THIS}")]:
        file.rename(file.with_name(file.name.replace(THIS, f".{OTHER}.so")))


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("httptools", "Text"),
        pytest.param("httptools", "JSON", marks=pytest.mark.slow),
        pytest.param("msgspec", "Text", marks=pytest.mark.slow),
        pytest.param("msgspec", "JSON", marks=pytest.mark.slow),
    ],
)
async def test_a_package_for_another_python_is_refused_in_one_sentence(
    name: str, log: str, package: Path
) -> None:
    # Only a Handler class needs msgspec.
    code = "def handler(event, context): pass"
    if name == "msgspec":
        code = "import okibi\nclass handler(okibi.Handler[int]):\n async def handle(self, *_): pass"
    (package / "app.py").write_text(code)
    build_for_another(name, package / "lib")

    async with served(package, AWS_LAMBDA_LOG_FORMAT=log) as sandbox:
        told = await sandbox.ask()

    assert (told["errorType"], told["stackTrace"]) == ("Runtime.PlatformMismatch", [])
    message = told["errorMessage"]
    assert message.startswith(f"{package}/lib/{name}/")
    assert (
        f"{OTHER}.so was built for Python 3.99 (sparc64-linux-gnu), and this is Python " in message
    )
    assert FITS in message
    said = [line for line in sandbox.lines if not line.startswith("INIT_REPORT")]
    assert len(said) == 1
    assert message in said[0]


async def test_without_a_runtime_api_the_error_is_logged_with_exit_1(
    package: Path,
) -> None:
    build_for_another("httptools", package / "lib")
    environment = {**without_lambda(), "PYTHONPATH": f"{package}/lib"}

    done = await trio.run_process(
        [*COMMAND, "app.handler"],
        env=environment,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(b"[ERROR] Runtime.PlatformMismatch: ")


async def test_another_import_error_of_okibi_is_a_traceback(package: Path) -> None:
    (package / "lib" / "httptools").unlink()
    environment = {**without_lambda(), "PYTHONPATH": f"{package}/lib"}

    done = await trio.run_process(
        [*COMMAND, "app.handler"],
        env=environment,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.endswith(b"ModuleNotFoundError: No module named 'httptools'\n")
