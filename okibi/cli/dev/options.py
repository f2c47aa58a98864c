"""The options of `okibi dev`, parsed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from ...actors.safe_repr import CRASH_REPORTS
from ...local.dev.dev_function import DevFunction
from ...local.dev.dev_server import DevServerOptions
from ...local.dev.http.route_table import RouteTable
from ...local.settings import REGION
from ..arguments import (
    check_platform,
    find_current_folder,
    parse_integer,
    parse_seconds,
)
from ..bad_input import BadInput
from ..project_reader import read_project
from ..project_settings import ProjectSettings, as_stack_name
from .aws_identity import AwsIdentity, choose_identity
from .env_file import read_env_file
from .left_out import LeftOut
from .project_functions import from_project

__all__ = ["DevOptions", "RawDevOptions", "add_variables", "parse_dev_options"]

TEMPLATES = ("template.yaml", "template.yml", "template.json")
"""The templates that SAM finds by itself."""


@attrs.frozen
class RawDevOptions:
    """The options of `okibi dev` as typed; the subcommand describes them."""

    function: str | None = None
    template: str | None = None
    parameters: Sequence[str] = ()
    port: str = "9000"
    host: str = "127.0.0.1"
    allow_hosts: Sequence[str] = ()
    env_file: str | None = None
    concurrency: str = "10"
    managed_instances: str | None = None
    timeout: str | None = None
    freeze: bool = True
    reload: bool = True
    watch: Sequence[str] = ()
    attach: str | None = None
    data: str | None = None
    retry_delay: str = "1"
    aws: bool = False
    profile: str | None = None


@attrs.frozen
class DevOptions:
    """The options of `okibi dev`.

    Args:
        functions: without the variables of --env-file.
        left_out: what is not done.
        server: how they are served.
        identity: of the sandboxes.
        reload: whether saved files are reloaded.
        watch: patterns of files that are reloaded besides Python's.
        env_file: the file of --env-file.
        variables: its content.
        source: the file that describes the functions: pyproject.toml or the template.
    """

    functions: Sequence[DevFunction]
    left_out: Sequence[LeftOut]
    server: DevServerOptions
    identity: AwsIdentity
    reload: bool
    watch: Sequence[str]
    env_file: Path | None
    variables: Mapping[str, str] = attrs.field(repr=False)
    source: Path


def parse_dev_options(raw: RawDevOptions, unpacked: Path) -> DevOptions:
    """Parse the options, and read the functions.

    Args:
        raw: the options as typed.
        unpacked: where folders are made for the inline code and the zips of a template.

    Raises:
        BadInput: an option, the project or the template is wrong.
    """
    check_platform()
    identity = choose_identity(os.environ, aws=raw.aws, profile=raw.profile)
    server = DevServerOptions(
        port=parse_integer("--port", raw.port, 0, 65_535, example=9001),
        host=raw.host,
        allowed_hosts=tuple(raw.allow_hosts),
        data=None if raw.data is None else Path(raw.data),
        retry_delay=parse_seconds("--retry-delay", raw.retry_delay, example="3", zero=True),
        temporary=unpacked,
    )
    variables = {} if raw.env_file is None else read_env_file(raw.env_file)
    source, functions, left_out = _read_functions(raw, unpacked)
    served = [_apply(raw, function, identity) for function in functions]
    _check_names(served)
    _check_routes(served)
    if raw.attach is not None:
        served = _attach(served, raw.attach)
    return DevOptions(
        functions=served,
        left_out=left_out,
        server=server,
        identity=identity,
        reload=raw.reload,
        watch=raw.watch,
        env_file=None if raw.env_file is None else Path(raw.env_file),
        variables=variables,
        source=source,
    )


def add_variables(
    functions: Sequence[DevFunction], variables: Mapping[str, str]
) -> list[DevFunction]:
    """Add the variables of --env-file; they win over a function's own."""
    return [
        _with_settings(function, environment={**function.settings.environment, **variables})
        for function in functions
    ]


def _read_functions(
    raw: RawDevOptions, unpacked: Path
) -> tuple[Path, list[DevFunction], list[LeftOut]]:
    folder = find_current_folder()
    project = read_project(folder) if raw.template is None else ProjectSettings(folder.name)
    path = _find_template(raw, project, folder)
    if path is None:
        if raw.parameters:
            raise BadInput("--parameter: needs a template, as in --template template.yaml")
        return folder / "pyproject.toml", *from_project(project, raw.function, folder)
    parameters = dict[str, str]()
    for each in raw.parameters:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise BadInput(f"--parameter {name}: must be NAME=VALUE, as in --parameter Stage=dev")
        parameters[name] = value
    # PyYAML is imported for a template only.
    from .template_functions import from_template

    # The name that `sam deploy` would ask for.
    stack = as_stack_name(path.resolve().parent.name)
    region = os.environ.get("AWS_REGION") or REGION
    return path, *from_template(path, parameters, raw.function, stack, region, unpacked)


def _find_template(raw: RawDevOptions, project: ProjectSettings, folder: Path) -> Path | None:
    """Find the template: --template, or as SAM finds one; None if pyproject.toml is asked.

    A handler, and functions of pyproject.toml, win over a template that no option asks for.
    """
    if raw.template is not None:
        return Path(raw.template)
    if "." in (raw.function or "") or (project.functions and not raw.parameters):
        return None
    return next((Path(name) for name in TEMPLATES if (folder / name).is_file()), None)


def _apply(raw: RawDevOptions, function: DevFunction, identity: AwsIdentity) -> DevFunction:
    """Apply the options that change each function."""
    # On their own machine, users may see the state of their actors in crash reports.
    inherited = {**identity.variables}
    inherited[CRASH_REPORTS] = inherited.get(CRASH_REPORTS) or "full"
    changes: dict[str, object] = {"inherited": inherited}
    if raw.timeout is not None:
        changes["timeout"] = parse_seconds("--timeout", raw.timeout, example="3")
    if raw.managed_instances is not None:
        many = parse_integer("--managed-instances", raw.managed_instances, 1, 1600, example=16)
        changes["max_concurrency"] = many
    concurrency = parse_integer("--concurrency", raw.concurrency, 1, 1000, example=8)
    try:
        changed = _with_settings(function, **changes)
    except ValueError as error:
        raise BadInput(f"{function.name}: {error}") from error
    return attrs.evolve(changed, concurrency=concurrency, freeze=raw.freeze)


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
