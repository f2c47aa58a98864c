"""Make the functions that `okibi dev` serves from pyproject.toml."""

from pathlib import Path

from ..local.services.route_path import RouteKind
from ..project.bad_input import BadInput
from ..project.local_settings import function_settings
from ..project.settings import ProjectFunction, ProjectSettings, choose_functions
from .dev_function import Cors, DevFunction, FunctionUrl, Route, Schedule
from .left_out import LeftOut


def from_project(
    project: ProjectSettings, asked: str | None, folder: Path
) -> tuple[list[DevFunction], list[LeftOut]]:
    """Make the functions of a project.

    Args:
        project: the project.
        asked: a handler or a function's name; None for all functions of pyproject.toml.
        folder: the folder of the project.

    Returns:
        The functions, and what `okibi dev` does not do for them.

    Raises:
        BadInput: there is no such function, or it cannot be served.
    """
    chosen = choose_functions(project, asked)
    left_out = list[LeftOut]()
    for function in chosen:
        if function.queue is not None:
            left_out.append(
                LeftOut(f"{function.name}.queue", "nothing polls it; try okibi event sqs")
            )
        if function.stream is not None:
            sample = "dynamodb" if ":dynamodb:" in function.stream.arn else "kinesis"
            left_out.append(
                LeftOut(f"{function.name}.stream", f"nothing reads it; try okibi event {sample}")
            )
        if function.kafka is not None:
            left_out.append(
                LeftOut(f"{function.name}.kafka", "nothing reads it; try okibi event kafka")
            )
        if function.table is not None:
            left_out.append(LeftOut(f"{function.name}.table", "not made; set TABLE_NAME yourself"))
        if function.vpc is not None and function.vpc.cache:
            left_out.append(
                LeftOut(f"{function.name}.vpc.cache", "not made; set CACHE_HOST yourself")
            )
        if function.authorizer is not None:
            left_out.append(LeftOut(f"{function.name}.authorizer", "every caller is let in"))
        if function.layers:
            left_out.append(LeftOut(f"{function.name}.layers", "not added; install their packages"))
    return [make_dev_function(function, folder) for function in chosen], left_out


def make_dev_function(function: ProjectFunction, folder: Path) -> DevFunction:
    """Make a function from its table in pyproject.toml.

    Raises:
        BadInput: the function cannot be served.
    """
    settings = function_settings(function, folder)
    try:
        return DevFunction(
            settings,
            url=_make_url(function),
            routes=[_make_route(route, function.route_kind) for route in function.routes],
            schedules=[
                Schedule(each.expression, each.timezone, each.input)
                for each in (function.schedule,)
                if each is not None
            ],
            runtime=_name_runtime(function),
            architecture=function.architecture,
        )
    except ValueError as error:
        raise BadInput(f"pyproject.toml: [tool.okibi.functions.{function.name}] {error}") from error


def _name_runtime(function: ProjectFunction) -> str:
    kind = function.runtime.kind
    return f"python{function.python}" if kind == "managed" else kind


def _make_url(function: ProjectFunction) -> FunctionUrl:
    # Without a url in pyproject.toml, a local one still helps.
    if function.url is None:
        return FunctionUrl()
    cors = Cors(function.url.cors, ["*"], ["*"]) if function.url.cors else None
    return FunctionUrl(function.url.streaming, cors)


def _make_route(route: str, kind: RouteKind) -> Route:
    method, _, path = route.rpartition(" ")
    return Route(method or "ANY", path, kind)
