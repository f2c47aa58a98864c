"""Image, cache and late import of trio work with the oldest and the newest of what okibi needs."""

import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from okibi.packaging.resolve import find_uv
from okibi.packaging.staging import Staged
from okibi.packaging.start_files import entry_source, manifest
from okibi.packaging.start_image import add_start_image
from okibi.packaging.targets import parse_target
from tests.runtime.startup.test_late_trio import LEAN, NAMES, USES, run
from tests.support.sandbox import running

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NEEDED = PROJECT["dependencies"]
OLDEST = [text.replace(">=", "==") for text in NEEDED]
NEWEST = [re.split("[<>=]", text)[0] for text in NEEDED]
APP = """
import os, sys
import attrs

@attrs.frozen
class Made:
    number: int

image = sys.modules["__main__"].image
library = os.path.dirname(os.__file__)
missing = [name for name in image.library if not os.path.exists(f"{library}/{name}")]
start = [image.hits, image.attrs.hits, image.attrs.misses]

def handler(event, context):
    @attrs.frozen
    class Later:
        number: int

    compiles = "compile" in vars(sys.modules["attr._make"])
    same = hash(Made(1)) == hash(Made(1)) and Later(1) == Later(1)
    # Strings have other hashes in each process.
    salted = hash("<attrs generated hash app.Made>") in Made.__hash__.__code__.co_consts
    return [len(image.library), missing, *start, image.attrs.misses, compiles, same, salted]
"""


@pytest.fixture(params=[OLDEST, NEWEST], ids=["oldest", "newest"])
def staged(request: pytest.FixtureRequest, tmp_path: Path) -> Staged:
    lib = tmp_path / "task" / "lib"
    subprocess.run(
        [find_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(lib),
         *request.param],
        check=True,
    )  # fmt: skip
    (lib / "okibi").symlink_to(ROOT / "okibi")
    target = parse_target("{}.{}".format(*sys.version_info[:2]), platform.machine(), "managed")
    (lib / "okibi_start.py").write_text(entry_source(target))
    (lib / "okibi-package.json").write_text(manifest("0", target, "app.handler", "0" * 64))
    (lib.parent / "app.py").write_text(APP)
    return Staged(lib.parent, lib, "app.handler", target, Path(sys.executable))


@pytest.mark.slow
async def test_a_start_uses_the_image_and_attrs_compiles_nothing(staged: Staged) -> None:
    add_start_image(staged, record=True)
    command = (sys.executable, "-S", "-P", str(staged.lib / "okibi_start.py"))
    path = {"PYTHONPATH": str(staged.lib), "PYTHONPYCACHEPREFIX": ""}

    async with running(
        "app.handler", task_root=staged.folder, command=command, environment=path
    ) as sandbox:
        files, missing, hits, cached, *rest = await sandbox.ask()

    assert files > 40
    assert missing == []
    assert hits > 100
    assert cached > 50
    assert rest == [0, 0, False, True, True]
    assert not sandbox.said("okibi.image")


@pytest.mark.slow
def test_every_public_name_of_trio_is_as_after_a_plain_import(staged: Staged) -> None:
    plain, lean = (run(script, [staged.lib]) for script in (NAMES, LEAN + NAMES))

    assert len(plain) > 150
    assert lean == plain
    assert run(LEAN + USES, [staged.lib])[0] == "over TCP"


@pytest.mark.slow
def test_every_public_name_of_msgspec_is_as_after_a_plain_import(staged: Staged) -> None:
    script = """
import json, msgspec
modules = [msgspec, msgspec.json, msgspec.msgpack, msgspec.structs, msgspec.inspect]
print(json.dumps([[m.__name__, *(n for n in dir(m) if not n.startswith("_"))] for m in modules]))
"""
    plain: Any = run("import msgspec\n" + script, [staged.lib])

    assert run(LEAN + script, [staged.lib]) == plain
