"""Read the listeners and rules of load balancers in a template: each is a route or several."""

from collections.abc import Mapping
from typing import Any, cast

from .routes import NO_AUTHORIZER, ApiSettings, add_route, find_function, find_resource
from .sam_template import TemplateFunction, TemplateReader
from .template_file import as_mapping, as_text

PATH, METHOD, HOST = "path-pattern", "http-request-method", "host-header"
MULTI_VALUE = "lambda.multi_value_headers.enabled"


def read_listener(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    """Read the default actions of a listener: a route for all requests without a rule."""
    _add_routes(reader, logical_id, properties.get("DefaultActions"), ["/*"], ["ANY"])


def read_listener_rule(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    """Read a rule: a route for each of its paths and methods."""
    values = dict[str, list[str]]()
    for condition in map(as_mapping, _as_list(properties.get("Conditions"))):
        field = reader.text(logical_id, condition, "Field")
        if field not in (PATH, METHOD, HOST):
            reader.leave_out(
                f"{logical_id}.{field}", "no condition that is served; the rule is left out"
            )
            return
        if field == HOST:
            reader.leave_out(f"{logical_id}.{field}", "every host is served")
        # Values, or HttpRequestMethodConfig: {Values: ...}.
        config = as_mapping(condition.get(f"{field.title().replace('-', '')}Config")) or condition
        found = reader.get(f"{logical_id}.{field}", config, "Values")
        values[field] = [as_text(each) for each in _as_list(found)]
    paths, methods = values.get(PATH, ["/*"]), values.get(METHOD, ["ANY"])
    _add_routes(reader, logical_id, properties.get("Actions"), paths, methods)


def _add_routes(
    reader: TemplateReader, logical_id: str, actions: object, paths: list[str], methods: list[str]
) -> None:
    for action in map(as_mapping, _as_list(actions)):
        kind = reader.text(logical_id, action, "Type")
        if kind.startswith("authenticate-"):
            reader.leave_out(f"{logical_id}.{kind}", NO_AUTHORIZER)
        elif kind != "forward":
            reader.leave_out(f"{logical_id}.{kind}", "only forward to a function is served")
        else:
            groups = _as_list(as_mapping(action.get("ForwardConfig")).get("TargetGroups"))
            for group in map(as_mapping, groups or [action]):
                target = find_resource(reader, group.get("TargetGroupArn"))
                function = _find_target(reader, logical_id, target)
                if function is None:
                    continue
                api = ApiSettings("alb", multi_value_headers=_is_multi_value(target))
                for path in paths:
                    # All paths begin with a slash: /*.png matches what *.png does.
                    path = f"/{path}" if path.startswith("*") else path
                    for method in methods:
                        add_route(reader, function, logical_id, method, path, api)


def _find_target(
    reader: TemplateReader, logical_id: str, group: Mapping[str, Any]
) -> TemplateFunction | None:
    targets = _as_list(group.get("Targets"))
    return find_function(reader, logical_id, as_mapping(targets[0] if targets else None), "Id")


def _is_multi_value(group: Mapping[str, Any]) -> bool:
    attributes = map(as_mapping, _as_list(group.get("TargetGroupAttributes")))
    return any(
        each.get("Key") == MULTI_VALUE and as_text(each.get("Value", "")).lower() == "true"
        for each in attributes
    )


def _as_list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
