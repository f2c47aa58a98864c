"""Find the functions that `okibi dev` serves, and change them as its options say."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from ..actors.safe_repr import CRASH_REPORTS
from ..local.settings import REGION
from ..project.arguments import find_current_folder
from ..project.bad_input import BadInput
from ..project.reader import read_project
from ..project.settings import ProjectSettings, as_stack_name
from .aws_identity import AwsIdentity
from .dev_function import DevFunction
from .http.route_table import RouteTable
from .left_out import LeftOut
from .project_functions import from_project

# The templates that SAM finds by itself.
TEMPLATES = ("template.yaml", "template.yml", "template.json")


def add_variables(
    functions: Sequence[DevFunction], variables: Mapping[str, str]
) -> list[DevFunction]:
    """Add the variables of --env-file; they win over a function's own."""
    return [
        _with_settings(function, environment={**function.settings.environment, **variables})
        for function in functions
    ]


def find_functions(
    asked: str | None, template: Path | None, parameters: Sequence[str], unpacked: Path
) -> tuple[Path, list[DevFunction], list[LeftOut]]:
    """Find the functions to serve, of pyproject.toml or of a template.

    Args:
        asked: a handler or a function's name; None for all functions.
        template: the file of --template.
        parameters: parameters of the template, each as NAME=VALUE.
        unpacked: the parent folder of a template's unpacked inline code and zips.

    Returns:
        The file that describes the functions, the functions, and the features that are ignored.

    Raises:
        BadInput: there is no such function, or pyproject.toml or the template is wrong.
    """
    folder = find_current_folder()
    project = read_project(folder) if template is None else ProjectSettings(folder.name)
    # A handler, and functions of pyproject.toml, win over a template that no option asks for.
    if template is None and "." not in (asked or "") and (parameters or not project.functions):
        template = next((Path(name) for name in TEMPLATES if (folder / name).is_file()), None)
    if template is None:
        if parameters:
            raise BadInput("--parameter: needs a template, as in --template template.yaml")
        return folder / "pyproject.toml", *from_project(project, asked, folder)
    values = dict[str, str]()
    for each in parameters:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise BadInput(f"--parameter {name}: must be NAME=VALUE, as in --parameter Stage=dev")
        values[name] = value
    # PyYAML is imported for a template only.
    from .templates.functions import from_template

    # The name that `sam deploy` would ask for.
    stack = as_stack_name(template.resolve().parent.name)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    return template, *from_template(template, values, asked, stack, region, unpacked)


def change_functions(
    functions: Sequence[DevFunction],
    identity: AwsIdentity,
    *,
    timeout: float | None = None,
    max_concurrency: int | None = None,
    concurrency: int = 10,
    freeze: bool = True,
    attach: str | None = None,
) -> list[DevFunction]:
    """Change functions as the options say, and check that they can be served together.

    Args:
        functions: the functions.
        identity: the AWS identity of their sandboxes.
        timeout: seconds in place of their own.
        max_concurrency: events at once in one sandbox, in place of their own.
        concurrency: sandboxes of each function at most.
        freeze: whether idle sandboxes are stopped.
        attach: the function whose runtime the user starts.

    Raises:
        BadInput: an option does not fit a function, or two functions have one name or route.
    """
    # On their own machine, users may see the state of their actors in crash reports.
    inherited = {**identity.variables}
    inherited[CRASH_REPORTS] = inherited.get(CRASH_REPORTS) or "full"
    changes: dict[str, object] = {"inherited": inherited}
    if timeout is not None:
        changes["timeout"] = timeout
    if max_concurrency is not None:
        changes["max_concurrency"] = max_concurrency
    changed = list[DevFunction]()
    for function in functions:
        try:
            own = _with_settings(function, **changes)
        except ValueError as error:
            raise BadInput(f"{function.name}: {error}") from error
        changed.append(attrs.evolve(own, concurrency=concurrency, freeze=freeze))
    _check_names(changed)
    _check_routes(changed)
    return changed if attach is None else _attach(changed, attach)


def _attach(functions: Sequence[DevFunction], name: str) -> list[DevFunction]:
    names = [function.name for function in functions]
    if name not in names:
        raise BadInput(f"--attach {name}: no such function; served: {', '.join(names)}")
    try:
        return [
            attrs.evolve(function, attach=True) if function.name == name else function
            for function in functions
        ]
    except ValueError as error:
        raise BadInput(f"--attach {name}: {error}") from error


def _with_settings(function: DevFunction, **changes: object) -> DevFunction:
    settings = attrs.evolve(function.settings, **changes)  # type: ignore[arg-type]
    return attrs.evolve(function, settings=settings)


def _check_names(functions: Sequence[DevFunction]) -> None:
    names = [function.name for function in functions]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two functions have the name {name!r}; give one of them another")


def _check_routes(functions: Sequence[DevFunction]) -> None:
    try:
        RouteTable(functions)
    except ValueError as error:
        raise BadInput(str(error)) from error
