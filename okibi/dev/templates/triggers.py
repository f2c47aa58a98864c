"""Read what invokes the functions of a template: routes, schedules, URLs.

SAM writes them as `Events` of a function, CloudFormation and the CDK as resources.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ..dev_function import Schedule
from ..scheduler import scheduled_event
from .load_balancer import read_listener, read_listener_rule
from .open_api import read_definition
from .routes import (
    NO_AUTHORIZER,
    ApiSettings,
    add_route,
    find_function,
    find_resource,
    read_preflight,
)
from .sam_template import TemplateFunction, TemplateReader, merge_globals
from .template_file import FUNCTIONS, as_mapping, as_text

NO_SOURCE = "nothing polls or sends here; try okibi event, or okibi invoke --sample"
WEBSOCKET = "a WebSocket API; try okibi event websocket-message"
# Resources whose content a function on this machine does not see, or that others read.
SILENT = (
    *("AWS::IAM::", "AWS::Logs::", "AWS::CloudWatch::", "AWS::CodeDeploy::", "AWS::CDK::"),
    *("AWS::Lambda::LayerVersion", "AWS::Serverless::LayerVersion"),
    *("AWS::Lambda::Permission", "AWS::Lambda::Version", "AWS::Lambda::Alias"),
    *("AWS::Lambda::CapacityProvider", "AWS::Serverless::CapacityProvider", "AWS::EC2::"),
    *("AWS::ApiGatewayV2::", "AWS::ApiGateway::", "AWS::Serverless::Api"),
    *("AWS::Serverless::HttpApi", "AWS::KMS::", "AWS::Route53::", "AWS::CertificateManager::"),
    "AWS::ElasticLoadBalancingV2::",
)
NOT_DONE: Mapping[str, str] = {
    "AWS::CloudFormation::Stack": "a nested stack; serve its own template",
    "AWS::Serverless::Application": "a nested application; serve its own template",
    "AWS::Lambda::EventSourceMapping": NO_SOURCE,
    "AWS::ApiGatewayV2::Authorizer": NO_AUTHORIZER,
    "AWS::ApiGateway::Authorizer": NO_AUTHORIZER,
}

STAGES = ("AWS::ApiGateway::Stage", "AWS::ApiGateway::Deployment")
# Properties of an API of SAM that change what a client or a function sees.
API_REASONS: Mapping[str, str] = {
    "Auth": NO_AUTHORIZER,
    "Variables": "events have no stage variables",
    "StageVariables": "events have no stage variables",
    "GatewayResponses": "errors have API Gateway's own text",
}


def read_triggers(reader: TemplateReader) -> None:
    """Read the triggers of all functions, and list what is not done."""
    for section in ("Api", "HttpApi"):
        _check_api(reader, f"Globals.{section}", reader.globals_of(section))
    for function in reader.functions.values():
        events = reader.mapping(function.logical_id, function.properties, "Events")
        for name, event in events.items():
            _read_event(reader, function, f"{function.logical_id}.{name}", as_mapping(event))
    readers: Mapping[str, Callable[[TemplateReader, str, dict[str, Any]], None]] = {
        "AWS::Lambda::Url": _read_url,
        "AWS::Lambda::EventInvokeConfig": _read_invoke_config,
        "AWS::Events::Rule": _read_rule,
        "AWS::Scheduler::Schedule": _read_schedule,
        "AWS::ApiGatewayV2::Api": _read_http_api,
        "AWS::ApiGatewayV2::Route": _read_http_route,
        "AWS::ApiGateway::Method": _read_rest_method,
        "AWS::ApiGateway::RestApi": _read_rest_api,
        "AWS::Serverless::Api": _read_sam_rest_api,
        "AWS::Serverless::HttpApi": _read_sam_http_api,
        "AWS::ElasticLoadBalancingV2::Listener": read_listener,
        "AWS::ElasticLoadBalancingV2::ListenerRule": read_listener_rule,
    }
    for logical_id, condition in reader.values.conditions_not_met.items():
        if as_mapping(reader.values.template["Resources"][logical_id]).get("Type") in FUNCTIONS:
            reader.leave_out(logical_id, f"its condition {condition} is false")
    not_made = list[str]()
    for logical_id, resource in reader.values.resources().items():
        kind = as_text(resource.get("Type", ""))
        if kind in readers:
            readers[kind](reader, logical_id, as_mapping(resource.get("Properties")))
        elif kind in NOT_DONE:
            reader.leave_out(logical_id, NOT_DONE[kind])
        elif kind == "AWS::ApiGatewayV2::Integration":
            pass  # Its routes are read.
        elif logical_id.startswith("Fn::"):
            reader.leave_out(logical_id, "expanded on AWS only")
        elif kind not in FUNCTIONS and logical_id in reader.values.stand_ins:
            name = reader.values.stand_ins[logical_id]
            reader.leave_out(logical_id, f"{kind} is not made; functions get the name {name!r}")
        elif kind not in FUNCTIONS and not kind.startswith(SILENT):
            not_made.append(logical_id)
    for function in reader.functions.values():
        function.routes = [
            attrs.evolve(route, cors=reader.preflights.get(route.path))
            if route.kind == "rest-api" and route.cors is None
            else route
            for route in function.routes
        ]
    if not_made:
        reader.leave_out(", ".join(not_made), "not made on this machine")


# -- events of a SAM function


def _read_event(
    reader: TemplateReader, function: TemplateFunction, where: str, event: Mapping[str, Any]
) -> None:
    kind, properties = as_text(event.get("Type", "")), as_mapping(event.get("Properties"))
    match kind:
        case "Api" | "HttpApi":
            _read_api_event(reader, function, where, kind, properties)
        case "Schedule" | "ScheduleV2":
            # A rule of EventBridge without an input sends an event of its own.
            rule = kind == "Schedule"
            if rule:
                properties = {"Input": scheduled_event(where.replace(".", "")), **properties}
            key = "Schedule" if rule else "ScheduleExpression"
            _add_schedule(reader, function, where, key, properties)
        case _:
            reader.leave_out(where, f"{kind}: {NO_SOURCE}")


def _read_api_event(
    reader: TemplateReader,
    function: TemplateFunction,
    where: str,
    event_type: str,
    properties: Mapping[str, Any],
) -> None:
    api = _find_api(reader, event_type, properties)
    # SAM's event without a path is the route $default. An unknown path is listed.
    path = reader.text(where, properties, "Path") if "Path" in properties else "$default"
    method = reader.text(where, properties, "Method") if "Method" in properties else "ANY"
    if not path or not method:
        return
    if as_mapping(properties.get("Auth")).get("Authorizer", "NONE") != "NONE":
        reader.leave_out(f"{where}.Auth", NO_AUTHORIZER)
    for key in ("RequestModel", "RequestParameters"):
        if key in properties:
            reader.leave_out(f"{where}.{key}", "requests are not validated")
    if event_type == "Api":
        described = _describe_rest_api(reader, where, api)
    else:
        described = attrs.evolve(
            _describe_http_api(reader, where, api),
            payload_format=reader.text(where, properties, "PayloadFormatVersion", "2.0"),
        )
    add_route(reader, function, where, method, path, described)


def _find_api(
    reader: TemplateReader, event_type: str, properties: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Find the properties of the API of an event, with those of Globals."""
    globals_ = reader.globals_of(event_type)
    reference = properties.get("RestApiId" if event_type == "Api" else "ApiId")
    return merge_globals(globals_, find_resource(reader, reference))


def _check_api(reader: TemplateReader, where: str, properties: Mapping[str, Any]) -> None:
    for key, reason in API_REASONS.items():
        if key in properties:
            reader.leave_out(f"{where}.{key}", reason)


def _describe_rest_api(
    reader: TemplateReader, where: str, api: Mapping[str, Any], logical_id: str = ""
) -> ApiSettings:
    """Describe a REST API by its properties. Without SAM, its stage is another resource."""
    described = [api]
    for resource in reader.values.resources().values():
        if resource.get("Type") in STAGES:
            properties = as_mapping(resource.get("Properties"))
            if as_mapping(properties.get("RestApiId")).get("Ref") == logical_id:
                described.append(properties)
    stages = [reader.text(where, each, "StageName") for each in described]
    return ApiSettings(
        "rest-api",
        reader.cors(f"{where}.Cors", api.get("Cors")),
        reader.get(where, api, "BinaryMediaTypes") or (),
        next(filter(None, stages), "Prod"),
    )


def _describe_http_api(reader: TemplateReader, where: str, api: Mapping[str, Any]) -> ApiSettings:
    cors = reader.cors(f"{where}.CorsConfiguration", api.get("CorsConfiguration"))
    return ApiSettings("http-api", cors)


def _read_sam_rest_api(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    _check_api(reader, logical_id, properties)
    _read_rest_api(reader, logical_id, properties)


def _read_sam_http_api(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    _check_api(reader, logical_id, properties)
    _read_definition(
        reader, logical_id, properties, _describe_http_api(reader, logical_id, properties)
    )


def _read_rest_api(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    api = _describe_rest_api(reader, logical_id, properties, logical_id)
    _read_definition(reader, logical_id, properties, api)


def _read_definition(
    reader: TemplateReader, logical_id: str, properties: Mapping[str, Any], api: ApiSettings
) -> None:
    for key in ("DefinitionBody", "DefinitionUri", "Body"):
        if key in properties:
            read_definition(reader, f"{logical_id}.{key}", properties[key], api)
    if "BodyS3Location" in properties:
        reader.leave_out(f"{logical_id}.BodyS3Location", "an OpenAPI definition in a bucket")


# -- resources


def _read_url(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    function = find_function(reader, logical_id, properties, "TargetFunctionArn")
    if function is not None:
        reader.read_url(function, logical_id, properties)


def _read_invoke_config(
    reader: TemplateReader, logical_id: str, properties: dict[str, Any]
) -> None:
    function = find_function(reader, logical_id, properties, "FunctionName")
    if function is not None:
        reader.read_invoke_config(function, logical_id, properties)


def _read_rule(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    if "EventPattern" in properties:
        reader.leave_out(f"{logical_id}.EventPattern", NO_SOURCE)
    if "ScheduleExpression" not in properties:
        return
    for target in map(as_mapping, properties.get("Targets", ())):
        function = find_function(reader, logical_id, target, "Arn")
        if function is not None:
            for key in ("InputPath", "InputTransformer"):
                if key in target:
                    reader.leave_out(f"{logical_id}.{key}", "the event is sent unchanged")
            own = {**properties, "Input": target.get("Input", scheduled_event(logical_id))}
            _add_schedule(reader, function, logical_id, "ScheduleExpression", own)


def _read_schedule(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    target = as_mapping(properties.get("Target"))
    function = find_function(reader, logical_id, target, "Arn")
    if function is not None:
        own = {**properties, "Input": target.get("Input", "{}")}
        _add_schedule(reader, function, logical_id, "ScheduleExpression", own)


def _read_http_api(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    if properties.get("ProtocolType") == "WEBSOCKET":
        reader.leave_out(logical_id, WEBSOCKET)
    # The short form of an API with one function.
    elif "Target" in properties:
        function = find_function(reader, logical_id, properties, "Target")
        if function is not None:
            method, _, path = reader.text(
                logical_id, properties, "RouteKey", "$default"
            ).rpartition(" ")
            described = _describe_http_api(reader, logical_id, properties)
            add_route(reader, function, logical_id, method or "ANY", path, described)
    else:
        _read_definition(
            reader, logical_id, properties, _describe_http_api(reader, logical_id, properties)
        )


def _read_http_route(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    resources = reader.values.resources()
    api = find_resource(reader, properties.get("ApiId"))
    if api.get("ProtocolType") == "WEBSOCKET":
        return  # The API itself is listed.
    key = reader.text(logical_id, properties, "RouteKey")
    if key != "$default" and " /" not in key:
        reader.leave_out(f"{logical_id} {key}", WEBSOCKET)
        return
    # "integrations/" and the id of the integration, by !Sub or !Join.
    target = reader.text(logical_id, properties, "Target").rpartition("/")[2]
    integration = as_mapping(resources.get(target, {}).get("Properties"))
    function = find_function(reader, f"{logical_id} {key}", integration, "IntegrationUri")
    if as_text(properties.get("AuthorizationType", "NONE")) != "NONE":
        reader.leave_out(f"{logical_id}.AuthorizationType", NO_AUTHORIZER)
    if function is not None:
        method, _, path = key.rpartition(" ")
        described = attrs.evolve(
            _describe_http_api(reader, logical_id, api),
            payload_format=reader.text(target, integration, "PayloadFormatVersion", "2.0"),
        )
        add_route(reader, function, logical_id, method or "ANY", path, described)


def _read_rest_method(reader: TemplateReader, logical_id: str, properties: dict[str, Any]) -> None:
    integration = as_mapping(properties.get("Integration"))
    kind = as_text(integration.get("Type", ""))
    path = _rest_path(reader, properties.get("ResourceId"))
    if path is None:
        reader.leave_out(logical_id, "its path is known on AWS only")
        return
    if kind == "MOCK" and properties.get("HttpMethod") == "OPTIONS":
        responses = map(as_mapping, integration.get("IntegrationResponses", ()))
        parameters = [as_mapping(each.get("ResponseParameters")) for each in responses]
        reader.preflights[path] = reader.cors(logical_id, read_preflight(parameters))
        return
    if kind != "AWS_PROXY":
        reader.leave_out(logical_id, f"integration {kind}; only AWS_PROXY is served")
        return
    function = find_function(reader, logical_id, integration, "Uri")
    if as_text(properties.get("AuthorizationType", "NONE")) != "NONE":
        reader.leave_out(f"{logical_id}.AuthorizationType", NO_AUTHORIZER)
    if function is not None:
        method = reader.text(logical_id, properties, "HttpMethod", "ANY")
        reference = properties.get("RestApiId")
        api = _describe_rest_api(
            reader,
            logical_id,
            find_resource(reader, reference),
            as_text(as_mapping(reference).get("Ref", "")),
        )
        add_route(reader, function, logical_id, method, path, api)


def _rest_path(reader: TemplateReader, reference: object) -> str | None:
    """Join the path parts of a resource of a REST API with those of its parents."""
    parts = list[str]()
    resources = reader.values.resources()
    while (logical_id := as_mapping(reference).get("Ref")) and len(parts) < len(resources):
        properties = as_mapping(resources.get(as_text(logical_id), {}).get("Properties"))
        parts.insert(0, as_text(properties.get("PathPart", "")))
        reference = properties.get("ParentId")
    attribute = as_mapping(reference).get("Fn::GetAtt", ())
    return "/" + "/".join(parts) if "RootResourceId" in attribute else None


# -- schedules


def _add_schedule(
    reader: TemplateReader,
    function: TemplateFunction,
    where: str,
    key: str,
    properties: Mapping[str, Any],
) -> None:
    disabled = (
        reader.text(where, properties, "State") == "DISABLED"
        or reader.text(where, properties, "Enabled").lower() == "false"
    )
    if disabled:
        reader.leave_out(where, "the schedule is disabled")
        return
    expression = reader.text(where, properties, key)
    if not expression and key in properties:
        return  # Its value is not known on this machine, and listed.
    try:
        function.schedules.append(
            Schedule(
                expression,
                reader.text(where, properties, "ScheduleExpressionTimezone", "UTC"),
                reader.text(where, properties, "Input", "{}"),
            )
        )
    except ValueError as error:
        reader.mistakes.append(f"{where}: {error}")
