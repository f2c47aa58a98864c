"""Read [tool.okibi] of pyproject.toml.

A mistake is one sentence that names the table, the key, and what was expected; one run reports all
mistakes.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..local.dev.dev_function import RouteKind
from ..local.limits import (
    MAX_MANAGED_MEMORY,
    MAX_MANAGED_TIMEOUT,
    MAX_MEMORY,
    MAX_TIMEOUT,
    MIN_MEMORY,
)
from .bad_input import BadInput
from .input_files import read_text
from .project_settings import (
    PolicySettings,
    ProjectFunction,
    ProjectSettings,
    RuntimeSettings,
    as_stack_name,
    check_handler,
    is_module_and_name,
)
from .project_tables import (
    ARN,
    read_alarms,
    read_alias,
    read_authorizer,
    read_capacity_provider,
    read_dynamodb_table,
    read_queue,
    read_schedule,
    read_url,
    read_vpc,
)
from .pythons import ARCHITECTURES, default_python
from .pythons import PYTHONS as VERSIONS
from .toml_table import TomlTable

__all__ = ["PYTHONS", "RUNTIMES", "parse_project", "read_project", "read_pyproject"]

PYTHONS = tuple("{}.{}".format(*version) for version in VERSIONS)
RUNTIMES = ("managed", "provided.al2023", "custom")
# As CloudWatch Logs allows them.
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192),
    *(2557, 2922, 3288, 3653),
)
METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|ANY"


def read_project(folder: Path) -> ProjectSettings:
    """Read pyproject.toml of a folder; a folder without one is a project without functions.

    Raises:
        BadInput: the file cannot be read, or has mistakes: one line each.
    """
    path = folder / "pyproject.toml"
    content = read_pyproject(path) if path.exists() else {}
    project, mistakes = parse_project(content, folder.resolve().name, default_python())
    if mistakes:
        raise BadInput("\nokibi: ".join(f"{path.name}: {mistake}" for mistake in mistakes))
    return project


def read_pyproject(path: Path) -> dict[str, Any]:
    """Read a pyproject.toml.

    Raises:
        BadInput: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path, str(path)))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not TOML ({error}); correct the file there") from error
    except RecursionError as error:
        raise BadInput(f"{path}: nested too deeply; correct the file") from error


def parse_project(
    content: Mapping[str, object], folder: str, python: str = "3.13"
) -> tuple[ProjectSettings, list[str]]:
    """Parse the content of pyproject.toml.

    Args:
        content: as `tomllib` reads it.
        folder: the name of a project without one.
        python: of functions that name none.

    Returns:
        The settings, and a sentence for each mistake.
    """
    mistakes = list[str]()
    project, tool = (
        cast("dict[str, object]", content.get(key) or {}) for key in ("project", "tool")
    )
    table = TomlTable("tool.okibi", cast("dict[str, object]", tool.get("okibi") or {}), mistakes)
    python = table.choice("python", PYTHONS, python)
    architecture = table.choice("architecture", ARCHITECTURES, "x86_64")
    functions = dict[str, ProjectFunction]()
    tables = table.table("functions")
    for name in tables.values if tables is not None else ():
        assert tables is not None
        function = tables.table(name)
        if function is not None:
            functions[name] = _read_function(function, name, python, architecture)
    settings = ProjectSettings(
        python=python,
        architecture=architecture,
        name=as_stack_name(str(project.get("name") or folder)),
        region=table.text(
            "region", pattern=r"[a-z]{2,}(-[a-z]+)+-\d", expected="as in 'eu-central-1'"
        ),
        bucket=table.text(
            "bucket", pattern=r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", expected="a bucket's name"
        ),
        functions=functions,
    )  # fmt: skip
    table.table("package")  # see okibi.cli.package.project
    table.refuse_unknown()
    return settings, mistakes


# -- one function


def _read_function(table: TomlTable, name: str, python: str, architecture: str) -> ProjectFunction:
    if name != as_stack_name(name):
        table.add("a function's name has at most 60 letters, digits and hyphens, a letter first")
    capacity = read_capacity_provider(table)
    # Lambda: 30 minutes; 90 on Managed Instances for asynchronous and event-source invocations.
    longest, most = (
        (MAX_MANAGED_TIMEOUT, MAX_MANAGED_MEMORY) if capacity else (MAX_TIMEOUT, MAX_MEMORY)
    )
    policies = [_read_policy(each) for each in table.tables("policies")]
    function = ProjectFunction(
        in_project=True,
        name=name,
        handler=_read_handler(table),
        python=table.choice("python", PYTHONS, python),
        architecture=table.choice("architecture", ARCHITECTURES, architecture),
        runtime=_read_runtime(table),
        memory=table.integer("memory", 2048 if capacity else 512, MIN_MEMORY, most, "MB"),
        timeout=table.integer("timeout", 10, 1, longest, "seconds"),
        environment=table.variables("environment"),
        log_retention=_read_retention(table),
        log_format=table.choice("log_format", ("text", "json"), "json" if capacity else "text"),
        tracing=table.flag("tracing"),
        layers=table.texts("layers", pattern=ARN, expected="a list of ARNs of layer versions"),
        policies=[each for each in policies if each is not None],
        url=read_url(table),
        routes=table.texts(
            "routes",
            pattern=rf"({METHODS}) /\S*|\$default",
            expected="a list of routes, as in 'GET /visits/{name}' or '$default'",
        ),
        route_kind=cast(
            "RouteKind", table.choice("route_kind", ("http-api", "rest-api", "alb"), "http-api")
        ),
        authorizer=read_authorizer(table),
        schedule=read_schedule(table),
        queue=read_queue(table),
        table=read_dynamodb_table(table),
        vpc=read_vpc(table),
        capacity_provider=capacity,
        snapstart=table.flag("snapstart"),
        alias=read_alias(table),
        alarms=read_alarms(table),
    )
    table.refuse_unknown()
    _check_combinations(table, function)
    return function


def _check_combinations(table: TomlTable, function: ProjectFunction) -> None:
    """Add the mistakes of keys that do not go together."""
    capacity, runtime = function.capacity_provider, function.runtime
    if capacity and not capacity.arn and not function.vpc:
        table.add("capacity_provider: needs vpc, with the subnets of its instances")
    if capacity and function.memory < 2048:
        table.add("memory: Managed Instances need at least 2048 MB")
    if capacity and function.memory < 1024 * capacity.memory_gib_per_vcpu:
        table.add(
            "capacity_provider.memory_gib_per_vcpu: more than the function's memory; an instance"
            " has at least one vCPU"
        )
    if capacity and function.log_format != "json":
        table.add("log_format: Managed Instances write JSON logs only; write 'json'")
    if capacity and function.snapstart:
        table.add("snapstart: not with capacity_provider; remove one of them")
    if function.authorizer and not function.routes:
        table.add("authorizer: is for routes; url has auth = 'aws_iam'")
    if function.snapstart and runtime.kind != "managed":
        table.add("snapstart: needs a managed Python or an image; remove runtime, or snapstart")
    if function.snapstart and not runtime.image and function.python == "3.11":
        table.add("snapstart: needs Python 3.12 or newer")
    if function.queue and function.queue.fifo and function.queue.batching_window:
        table.add("queue.batching_window: a FIFO queue has none; remove it")


def _read_handler(table: TomlTable) -> str:
    handler = table.text("handler", expected="module.name, as in 'app.handler'")
    if not handler and "handler" not in table.values:
        table.add("handler: missing; write it as in handler = 'app.handler'")
    if handler:
        try:
            check_handler(handler)
        except BadInput as error:
            table.add(str(error))
            return ""
        if is_module_and_name(handler):
            return handler
        table.refuse("handler", "module.name, as in 'app.handler'")
    return ""


def _read_runtime(table: TomlTable) -> RuntimeSettings:
    kind = table.choice("runtime", RUNTIMES, "managed")
    image = table.text("image", expected="the URI of a container image")
    config = table.table("runtime_config")
    arn = alias = ""
    if config is not None:
        arn = config.text(
            "arn", pattern=r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:runtime/.+",
            expected="as in 'arn:aws:lambda:REGION:ACCOUNT:runtime/NAME'",
        )  # fmt: skip
        alias = config.text(
            "alias", pattern=r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?",
            expected="the name of a runtime alias",
        )  # fmt: skip
        config.refuse_unknown()
    if kind == "custom" and not (arn and alias):
        table.add("runtime = 'custom': needs runtime_config = {arn = '...', alias = '...'}")
    if kind != "custom" and config is not None:
        table.add("runtime_config: needs runtime = 'custom'")
    if image and "runtime" in table.values:
        table.add("image: an image has its own runtime; remove runtime, or image")
    return RuntimeSettings(kind, arn, alias, image)


def _read_retention(table: TomlTable) -> int:
    days = table.integer("log_retention", 30, 1, 3653, "days")
    if days not in RETENTION_DAYS:
        table.refuse("log_retention", f"one of {', '.join(map(str, RETENTION_DAYS))} (days)")
    return days


def _read_policy(parent: TomlTable) -> PolicySettings | None:
    actions = parent.texts(
        "actions", pattern=r"[a-z0-9-]+:\w+", expected="a list of IAM actions without a wildcard"
    )
    resources = parent.texts("resources", expected="a list of ARNs")
    parent.refuse_unknown()
    if actions and resources:
        return PolicySettings(actions, resources)
    if not {"actions", "resources"} <= {*parent.values}:
        parent.add("a policy needs actions and resources")
    return None
