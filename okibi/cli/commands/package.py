"""The subcommand `okibi package` and its options."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .options import Record, TargetPython, complete_function

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi package app.function
  okibi package app.function --python 3.13 --arch arm64 -o function-arm64.zip
  okibi package shop --format image -o image
  okibi package --check function.zip --python 3.12"""

PackageHandler = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a name in [tool.okibi.functions]. Default: the only one there;"
        " without one, the start image has only what okibi imports.",
        autocompletion=complete_function,
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="ARCH",
        help="Processor, e.g. arm64. Default: as in pyproject.toml, else x86_64.",
    ),
]
Format = Annotated[
    str, typer.Option(metavar="FORMAT", help="What to build (see above), e.g. image.")
]
PackageFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="File to write, e.g. shop.zip; a folder for image and runtime. Default: function.zip,"
        " layer.zip, image or okibi-runtime, by the format.",
    ),
]
Interpreter = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="CPython for --format bundled, e.g. /opt/python3.13/bin/python3.13.",
    ),
]
CheckedZip = Annotated[
    Path | None,
    typer.Option(
        "--check", metavar="ZIP", help="Check a zip that exists instead, e.g. function.zip."
    ),
]

Sbom = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write the package's SBOM (CycloneDX), e.g. function.cdx.json.",
    ),
]


def package(
    handler: PackageHandler = None,
    python: TargetPython = None,
    arch: Architecture = None,
    format: Format = "managed",  # noqa: A002 - the option's name
    interpreter: Interpreter = None,
    output: PackageFile = None,
    record: Record = True,
    sbom: Sbom = None,
    check: CheckedZip = None,
) -> int:
    """Build the package of the current folder's function for Lambda.

    The requirements come from uv.lock, pyproject.toml or requirements.txt. A table of sizes goes to
    stdout.

    \b
    Formats:
      managed  a zip for Lambda's own Python
      bundled  a zip with a Python in it, for provided.al2023
      layer    a zip with okibi and the requirements, without a function
      image    a folder for docker build: a container image
      runtime  a folder for docker build: your own runtime, without a function

    Exit code: 0 if the package is good, 1 if a zip given to --check would not work, 2 if no package
    can be built.
    """
    from .. import build_package as build
    from ..until_signal import run_command

    def prepare() -> Callable[[], Awaitable[int]]:
        plan = build.plan_package(handler, python, arch, format, interpreter)
        if check is not None:
            return partial(build.check_package, check, plan.target)
        build.check_format(plan)
        destination = build.choose_output(plan.folder, output, plan.target)
        return partial(build.build_package, plan, destination, record=record, sbom=sbom)

    return run_command(build.OUTPUT, prepare)
