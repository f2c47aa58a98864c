"""A virtual environment in which each Python imports okibi from a start image: `make test-image`.

`.venv-image/bin/python -m tests.image_environment` writes the image of the checkout, with okibi and
what it needs, and a `.pth` file that uses it in each process. With `-p tests.image_environment`,
pytest says how many modules came from the image, and fails if none did.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec, source_hash
from pathlib import Path
from typing import Any

import pytest

from okibi.packaging.image_compiler import build
from okibi.packaging.recording import RECORDER, parse_rows
from okibi.packaging.start_image import SHORTENED, Parts, list_compiled
from okibi.runtime.startup.start_image import FORMAT, IMAGE, MANIFEST

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("trio", "attr", "attrs", "outcome", "sniffio", "sortedcontainers", "msgspec", "httptools",
          "httpx", "httpcore", "anyio", "h11")  # fmt: skip
IMPORT_ALL = """
import importlib, pkgutil
import okibi
for found in pkgutil.walk_packages(okibi.__path__, "okibi."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""
# Leaves no module of okibi behind: tests look at what a process has imported.
USE = """
import sys
from okibi.runtime.startup.start_image import use_start_image
image = use_start_image({folder!r})
for name in [*sys.modules]:
    if name.partition(".")[0] == "okibi":
        del sys.modules[name]
"""


def write_image(folder: Path) -> int:
    """Write the image of the checkout into a virtual environment; return the number of modules."""
    packages = [ROOT / "okibi"]
    for name in NEEDED:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            packages.append(Path(spec.origin).parent)
    files = sorted(
        file.relative_to(ROOT).as_posix() for each in packages for file in each.rglob("*.py")
    )
    modules = list[tuple[str, str, str, bool, bool]]()
    for file in files:
        above, _, name = file.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")
        modules.append((above, name, file, False, True))
    with tempfile.TemporaryDirectory() as scratch:
        out, entry = Path(scratch, "rows"), Path(scratch, "entry.py")
        out.touch()
        entry.write_text(IMPORT_ALL)
        command = [sys.executable, "-P", str(RECORDER), str(out), str(entry), "placeholder", "1"]
        subprocess.run(command, check=True)
        recording = parse_rows(out.read_bytes(), "")
    order = {
        "format": FORMAT, "machine": os.uname().machine, "package": "0" * 64,
        "folder": str(ROOT), "root": str(ROOT), "modules": modules, "library": [],
        "shortened": [
            f"{each.relative_to(ROOT)}/" for each in packages if each.name in SHORTENED
        ],
        **list_compiled(recording, Parts()),
    }  # fmt: skip
    head, code, failed = build(order)
    (folder / IMAGE).write_bytes(head + code)
    described = {"hash": order["package"], "start_image": source_hash(head).hex()}
    (folder / MANIFEST).write_text(json.dumps(described))
    return len(modules) - len(failed)


def main() -> None:
    """Write the image, and use it in each process of this environment."""
    folder = Path(sys.prefix)
    assert folder.parent == ROOT
    (site,) = folder.glob("lib/python*/site-packages")
    # After the line that puts the checkout on the path.
    (site / "okibi_image_on.pth").unlink(missing_ok=True)
    count = write_image(folder)
    (site / "okibi_image_on.py").write_text(USE.format(folder=str(folder)))
    (site / "okibi_image_on.pth").write_text("import okibi_image_on\n")
    print(f"{count} modules in {folder / IMAGE}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if nothing came from the image."""
    image: Any = getattr(sys.modules.get("okibi_image_on"), "image", None)
    hits = 0 if image is None else image.hits
    if not hasattr(session.config, "workerinput"):
        print(f"\n{hits} modules from the start image in this process")
    if not hits:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


if __name__ == "__main__":
    main()
