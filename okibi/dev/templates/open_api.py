"""Read the routes of an OpenAPI definition with the extensions of API Gateway."""

import os
from collections.abc import Mapping
from typing import Any

import attrs

from ...project.bad_input import BadInput
from ...project.input_files import read_text
from ..dev_function import Cors
from .routes import NO_AUTHORIZER, ApiSettings, add_route, find_function, read_preflight
from .sam_template import TemplateReader
from .template_file import as_mapping, as_text, parse_document
from .values import UnknownValue

METHODS = frozenset({"delete", "get", "head", "options", "patch", "post", "put"})
ANY = "x-amazon-apigateway-any-method"


def read_definition(
    reader: TemplateReader, where: str, definition: object, api: ApiSettings
) -> None:
    """Read the routes of a definition.

    Args:
        where: the definition's name in a mistake.
        definition: a mapping, an `AWS::Include` of a file, or the path of a file.
        api: the settings of the API. Settings in the definition override these.
    """
    content = _load(reader, where, definition)
    if "x-amazon-apigateway-cors" in content:
        config = as_mapping(content["x-amazon-apigateway-cors"])
        cors = reader.cors(where, {f"{key[:1].upper()}{key[1:]}": config[key] for key in config})
        api = attrs.evolve(api, cors=cors)
    if "x-amazon-apigateway-binary-media-types" in content:
        binary = content["x-amazon-apigateway-binary-media-types"]
        api = attrs.evolve(api, binary_media_types=binary)
    for path, methods in as_mapping(content.get("paths")).items():
        for name, value in as_mapping(methods).items():
            if name.lower() not in METHODS and name != ANY:
                continue
            method = "ANY" if name == ANY else name.upper()
            place, operation = f"{where} {method} {path}", as_mapping(value)
            integration = as_mapping(operation.get("x-amazon-apigateway-integration"))
            integration_type = as_text(integration.get("type", "missing")).lower()
            if integration_type == "mock" and method == "OPTIONS":
                reader.preflights[path] = _read_preflight(reader, place, integration)
            elif integration_type != "aws_proxy":
                reader.leave_out(place, f"integration {integration_type}; only aws_proxy is served")
            elif function := find_function(reader, place, integration, "uri"):
                payload_format = as_text(integration.get("payloadFormatVersion", "2.0"))
                described = attrs.evolve(api, payload_format=payload_format)
                add_route(reader, function, place, method, path, described)
                if operation.get("security", content.get("security")):
                    reader.leave_out(f"{place} security", NO_AUTHORIZER)


def _read_preflight(
    reader: TemplateReader, where: str, integration: Mapping[str, Any]
) -> Cors | None:
    responses = map(as_mapping, as_mapping(integration.get("responses")).values())
    parameters = [as_mapping(each.get("responseParameters")) for each in responses]
    return reader.cors(where, read_preflight(parameters))


def _load(reader: TemplateReader, where: str, definition: object) -> Mapping[str, Any]:
    """Return the content of a definition; empty, and listed, if it is not on this machine."""
    content = as_mapping(definition)
    include = as_mapping(content.get("Fn::Transform"))
    if content and not include and "Bucket" not in content:
        return content
    location = as_mapping(include.get("Parameters")).get("Location") if include else definition
    try:
        path = reader.folder / reader.values.text(location)
        if not os.path.exists(path):
            reader.leave_out(where, f"there is no file {location}")
            return {}
        found, _ = parse_document(read_text(path, f"{where}: {location}"))
        return as_mapping(reader.values.choose(found))
    except UnknownValue as error:
        reader.leave_out(where, str(error))
    except BadInput as error:
        reader.mistakes.append(str(error))
    except ValueError as error:
        reader.mistakes.append(f"{where}: {location}: {error}")
    return {}
