"""Make the functions that `okibi dev` serves from a SAM or CloudFormation template."""

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from ...project.bad_input import BadInput
from ...project.input_files import read_text
from ..dev_function import DevFunction, Route
from ..left_out import LeftOut
from .sam_template import TemplateReader, build_functions
from .template_file import read_template
from .triggers import read_triggers
from .values import TemplateValues, TooManySteps, check_parameters

# The begin of a variable in a path; its name does not matter to a route table.
VARIABLE = re.compile(r"\{[^+}]+")


def from_template(
    path: Path,
    parameters: Mapping[str, str],
    asked: str | None,
    stack_name: str,
    region: str,
    unpacked: Path,
) -> tuple[list[DevFunction], list[LeftOut]]:
    """Make the functions of a SAM or CloudFormation template.

    Args:
        path: the template.
        parameters: the values of --parameter.
        asked: a function's name or logical id; None for all.
        stack_name, region: the values of `AWS::StackName` and `AWS::Region`.
        unpacked: the parent folder of unpacked inline code and zips.

    Returns:
        The functions, and the features that `okibi dev` ignores.

    Raises:
        BadInput: the template is wrong, or no function in it can be served.
    """
    template, duplicates = read_template(path)
    check_parameters(template, parameters)
    values = TemplateValues(template, parameters, stack_name, region)
    reader = TemplateReader(path.resolve().parent, values, unpacked)
    for duplicate in duplicates:
        reader.leave_out(duplicate, "it is there twice; the last one counts, as on AWS")
    config = reader.folder / "samconfig.toml"
    if config.is_file() and "parameter_overrides" in read_text(config, config.name):
        reader.leave_out(config.name, "not read; give its parameter_overrides by --parameter")
    try:
        reader.read_functions()
        read_triggers(reader)
        functions = build_functions(reader)
    except TooManySteps as error:
        raise BadInput(f"--template {path}: {error}") from error
    if reader.mistakes:
        raise BadInput("\nokibi: ".join(f"{path}: {mistake}" for mistake in reader.mistakes))
    if not functions:
        reasons = "; ".join(f"{each.resource}: {each.reason}" for each in reader.left_out)
        raise BadInput(f"{path}: has no function that okibi dev can serve ({reasons or 'none'})")
    chosen = _choose_by_name(functions, reader, asked, path)
    return _drop_taken_routes(reader, chosen), _unique(reader, functions)


def _choose_by_name(
    functions: Sequence[DevFunction], reader: TemplateReader, asked: str | None, path: Path
) -> list[DevFunction]:
    if asked is None:
        return [*functions]
    logical = reader.functions.get(asked)
    names = {asked, logical.settings.name if logical else asked}
    chosen = [function for function in functions if function.name in names]
    if not chosen:
        has = ", ".join(function.name for function in functions)
        raise BadInput(f"{path}: no function {asked!r}; it has {has}")
    return chosen


def _drop_taken_routes(
    reader: TemplateReader, functions: Sequence[DevFunction]
) -> list[DevFunction]:
    """Drop routes that another has already: several APIs share the port of `okibi dev`."""
    taken, found = dict[tuple[str, str], str](), list[DevFunction]()
    for function in functions:
        routes = list[Route]()
        for route in function.routes:
            key = route.method, VARIABLE.sub("{", route.path)
            if key in taken:
                where = f"{function.name} {route.method} {route.path}"
                reader.leave_out(where, f"{taken[key]} has that route already")
            else:
                taken[key] = function.name
                routes.append(route)
        found.append(attrs.evolve(function, routes=routes))
    return found


def _unique(reader: TemplateReader, functions: Sequence[DevFunction]) -> list[LeftOut]:
    """Return each ignored feature once, with each Python version that okibi does not run."""
    ours = "python{}.{}".format(*platform.python_version_tuple())
    others = {f.runtime for f in functions if f.runtime.startswith("python")} - {ours}
    for runtime in sorted(others):
        reader.leave_out(f"Runtime {runtime}", f"served by the Python of okibi, {ours[6:]}")
    return list(dict.fromkeys(reader.left_out))
