"""`okibi template`: write a template of a function, and nothing else."""

import importlib
import json
import os

import attrs
import trio

from ..deployment.template.exposure import describe_exposure
from ..deployment.template.intrinsics import Resource
from ..deployment.template.sam import build_template
from ..project.arguments import find_current_folder
from ..project.bad_input import BadInput
from ..project.reader import read_project
from ..project.settings import RuntimeSettings, choose_function
from .output import write_err, write_text
from .until_signal import run_command

OUTPUT = "the template"
PACKAGE = "function.zip"
PACKAGE_WITHOUT_SAM = (
    "--package: only a template for sam deploy names the package; add --sam, or leave --package"
    " out and give the template's parameters CodeBucket and CodeKey when you deploy it"
)
YAML_MISSING = (
    "YAML needs PyYAML; run: pip install 'okibi[deploy]', or write JSON, as in -o template.json"
)


def template(
    asked: str | None,
    *,
    sam: bool = False,
    runtime: str | None = None,
    package: str | None = None,
    output: str | None = None,
) -> int:
    """Write a template.

    Args:
        asked: a function's name or handler; None for the only function of the project.
        sam: whether `sam deploy` uploads the package; otherwise two parameters name the package.
        runtime: `managed`, `provided.al2023` or `custom`; None for the function's own.
        package: the package that `sam deploy` uploads; None for function.zip.
        output: the file to write, in JSON if its suffix is `.json`; None for YAML on stdout.

    Returns:
        The exit code: 0, or 2 for bad input.
    """

    async def write() -> int:
        function = choose_function(read_project(find_current_folder()), asked)
        function = attrs.evolve(function, runtime=choose_runtime(function.runtime, runtime))
        if package is not None and not sam:
            raise BadInput(PACKAGE_WITHOUT_SAM)
        if package is not None and not await trio.Path(package).is_file():
            raise BadInput(f"--package {package}: there is no such file; run okibi package first")
        content = build_template(function, _find_from_template(package, output) if sam else None)
        text = write_template(content, as_json=(output or "").endswith(".json"))
        if output is None:
            write_text(text, OUTPUT)
        else:
            await _write_file(output, text)
        for line in describe_exposure(function):
            write_err(line)
        return 0

    return run_command(OUTPUT, lambda: write)


def choose_runtime(own: RuntimeSettings, asked: str | None) -> RuntimeSettings:
    """Choose the runtime of --runtime.

    Args:
        own: the function's runtime in pyproject.toml.
        asked: `managed`, `provided.al2023`, or `custom`; None for the function's own.

    Raises:
        BadInput: there is no such runtime, or pyproject.toml does not say which custom one.
    """
    if asked is None or asked == own.kind:
        return own
    if asked in ("managed", "provided.al2023"):
        return RuntimeSettings(asked)
    if asked == "custom":
        raise BadInput(
            "--runtime custom: pyproject.toml has no runtime_config; write"
            " runtime = 'custom' and runtime_config = {arn = '...', alias = '...'}"
        )
    raise BadInput(f"--runtime {asked}: must be managed, provided.al2023 or custom")


def write_template(content: Resource, *, as_json: bool) -> str:
    """Write a template as text.

    Raises:
        BadInput: YAML is wanted, and PyYAML is not installed.
    """
    if as_json:
        return json.dumps(content, indent=2) + "\n"
    try:
        yaml = importlib.import_module("yaml")
    except ImportError as error:
        raise BadInput(YAML_MISSING) from error
    # A copy in which no value occurs twice: PyYAML would write an anchor for the second.
    copy = json.loads(json.dumps(content))
    return str(yaml.safe_dump(copy, sort_keys=False, width=100))


def _find_from_template(package: str | None, output: str | None) -> str:
    """Name the package as seen from the template's folder: so does SAM read CodeUri."""
    if package is None:
        return PACKAGE
    return os.path.relpath(package, os.path.dirname(output or "") or ".")


async def _write_file(output: str, text: str) -> None:
    try:
        await trio.Path(output).write_text(text, "utf-8")
    except OSError as error:
        raise BadInput(f"-o {output}: cannot be written ({error.strerror})") from error
    write_err(f"wrote {output}")
