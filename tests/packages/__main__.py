"""Twenty packages that run on Lambda, in one package of okibi: `make test-packages`.

Each is imported from the start image in a process of its own, and does one operation. The image is
recorded from a start that imports all twenty.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trio

from okibi.local import FunctionSettings, open_local_lambda
from okibi.packaging.project import find_project
from okibi.packaging.staging import Staged, stage
from okibi.packaging.start_image import add_start_image
from okibi.packaging.targets import parse_target
from tests.packages.operations import OPERATIONS, Operation

HANDLER = """
import sys

def handler(event, context):
    image = sys.modules["__main__"].image
    loaders = {name: type(getattr(each, "__loader__", None)).__name__
               for name, each in [*sys.modules.items()]}
    modules = [name for name, loader in loaders.items() if loader == "ImageLoader"]
    return {"result": run(), "hits": image.hits, "modules": modules}
"""


def module_name(name: str) -> str:
    """Return the module of an operation."""
    return f"use_{name.replace('-', '_')}"


def build(work: Path, python: str) -> tuple[Staged, str]:
    """Build the package; return it, and the line about its image."""
    project = work / "project"
    project.mkdir()
    names = [*OPERATIONS]
    for name, operation in OPERATIONS.items():
        (project / f"{module_name(name)}.py").write_text(operation.source + HANDLER)
    imports = "".join(f"import {module_name(name)}\n" for name in names)
    (project / "app.py").write_text(f"{imports}\ndef handler(event, context):\n    return None\n")
    wanted = "".join(f"{each.requirement}\n" for each in OPERATIONS.values())
    (project / "requirements.txt").write_text(wanted)
    target = parse_target(python, os.uname().machine, "managed")
    (work / "build").mkdir()
    staged = stage(find_project(project), "app.handler", target, work / "build").staged
    return staged, add_start_image(staged, record=True).line


async def run(staged: Staged, name: str) -> tuple[dict[str, Any], list[str]]:
    """Serve the function of an operation; return its answer and its log."""
    lines = list[str]()
    settings = FunctionSettings(
        f"{module_name(name)}.handler",
        command=(str(staged.interpreter), "-S", "-P", str(staged.lib / "okibi_start.py")),
        task_root=staged.folder,
        timeout=60,
        environment={"PYTHONPATH": str(staged.lib), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    async with open_local_lambda(settings, output=lines.append) as function:
        answer = await function.invoke(b"{}")
    return json.loads(answer.payload), lines


def problems(name: str, operation: Operation, answer: Any, lines: list[str]) -> Iterator[str]:
    """Yield what is wrong with an answer."""
    if not isinstance(answer, dict) or "result" not in answer:
        yield f"answered {str(answer)[:300]}"
        return
    if answer["result"] != operation.result:
        yield f"returned {answer['result']!r}, expected {operation.result!r}"
    for module in (module_name(name), "okibi.runtime.bootstrap"):
        if module not in answer["modules"]:
            yield f"{module} was not imported from the image"
    if any("okibi.image" in line for line in lines):
        yield "the image was not used"


def main() -> None:
    """Build the package and run each operation.

    Raises:
        SystemExit: 0, or 1 if an operation failed.
    """
    parser = argparse.ArgumentParser(prog="tests.packages", description=__doc__)
    parser.add_argument("--python", default="{}.{}".format(*sys.version_info[:2]))
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="okibi-packages-") as work:
        staged, line = build(Path(work).resolve(), options.python)
        print(f"start image: {line}")
        for name, operation in OPERATIONS.items():
            answer, lines = trio.run(partial(run, staged, name))
            wrong = [*problems(name, operation, answer, lines)]
            hits = answer.get("hits", 0)
            print(f"{name:22} {hits:5} modules from the image   {'; '.join(wrong) or 'ok'}")
            failed += bool(wrong)
    print(f"{len(OPERATIONS) - failed} of {len(OPERATIONS)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
