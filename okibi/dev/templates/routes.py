"""Find the function of a route in a template, and add the route to it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from ...local.services.route_path import RouteKind
from ..dev_function import Cors, Route
from .sam_template import TemplateFunction, TemplateReader
from .template_file import as_mapping, as_text
from .values import UnknownValue

# The name of a function in its ARN, also inside the URI of an integration.
FUNCTION_ARN = re.compile(r":function:([A-Za-z0-9_-]+)")
# SAM's other names of the method ANY.
ANY = ("*", "$default", "x-amazon-apigateway-any-method")
NO_AUTHORIZER = "every caller is let in"


@attrs.frozen
class ApiSettings:
    """The fields of Route that all routes of one API share."""

    kind: RouteKind
    cors: Cors | None = None
    binary_media_types: Sequence[str] = ()
    stage: str = "Prod"
    multi_value_headers: bool = False
    payload_format: str = "2.0"


def find_resource(reader: TemplateReader, reference: object) -> dict[str, Any]:
    """Return the properties of the resource that a `Ref` names; empty if there is none."""
    logical_id = as_text(as_mapping(reference).get("Ref", ""))
    return as_mapping(reader.values.resources().get(logical_id, {}).get("Properties"))


def find_function(
    reader: TemplateReader, where: str, properties: Mapping[str, Any], key: str
) -> TemplateFunction | None:
    """Find the function whose name or ARN is in a property."""
    try:
        text = reader.values.text(properties.get(key, ""))
    except UnknownValue as error:
        reader.leave_out(where, str(error))
        return None
    found = FUNCTION_ARN.search(text)
    name = found[1] if found else text
    for function in reader.functions.values():
        if function.settings.name == name:
            return function
    reader.leave_out(where, "it invokes no function that is served")
    return None


def add_route(
    reader: TemplateReader,
    function: TemplateFunction,
    where: str,
    method: str,
    path: str,
    api: ApiSettings,
) -> None:
    """Add a route, unless the function has it already.

    Args:
        where: the route's name in a mistake.
        method, path: the route's method and path, as a template writes them.
        api: the settings of the route's API.
    """
    # SAM writes ~1 for the slash of a media type.
    binary = [as_text(media_type).replace("~1", "/") for media_type in api.binary_media_types]
    if api.kind == "rest-api" and len(path) > 1:
        # A REST API has no resource with an empty name.
        path = path.removesuffix("/")
    try:
        method = "ANY" if method in ANY else method.upper()
        route = Route(
            method, path, api.kind, api.cors, binary, api.stage,
            api.multi_value_headers, api.payload_format,
        )  # fmt: skip
    except ValueError as error:
        reader.mistakes.append(f"{where}: {error}")
        return
    # A template may describe a route twice, in SAM's Events and in the API.
    if all((route.method, path, api.kind) != (r.method, r.path, r.kind) for r in function.routes):
        function.routes.append(route)


def read_preflight(parameters: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Read the CORS headers that a MOCK integration answers, as the CDK writes them.

    Args:
        parameters: the parameters of each response.

    >>> read_preflight([{"method.response.header.Access-Control-Allow-Origin": "'*'"}])
    {'AllowOrigin': '*'}
    """
    found = dict[str, str]()
    for each in parameters:
        for parameter, value in each.items():
            _, _, header = parameter.partition("Access-Control-")
            if header:
                found[header.replace("-", "")] = as_text(value).strip("'")
    return found
