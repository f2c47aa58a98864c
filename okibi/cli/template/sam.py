"""Build a SAM template: the function, its triggers and its alias in SAM's short form."""

from ..project_settings import ProjectFunction
from .alarms import build_alarms, list_rollback_alarms
from .cloudformation import build_shared_outputs
from .dynamodb_table import build_table
from .function_url import build_cors, name_auth, name_invoke_mode
from .http_api import build_sam_auth, build_sam_globals, check_route_kind
from .intrinsics import FUNCTION, Resource, Resources, get_output, ref, sub
from .lambda_function import (
    build_function_properties,
    build_log_group,
    capacity_provider_arn,
    find_alias,
)
from .network import build_capacity_provider, build_network
from .role import build_role
from .schedule import build_schedule_event
from .sqs_queue import build_queue_event, build_queues

__all__ = ["build_sam_template"]

# Logical ids that SAM makes.
HTTP_API = "ServerlessHttpApi"
API_URL = sub(f"https://${{{HTTP_API}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}")


def build_sam_template(function: ProjectFunction, package: str = "function.zip") -> Resource:
    """Build a SAM template.

    Args:
        function: the function.
        package: the package beside the template, which `sam deploy` uploads.
    """
    resources: Resources = {
        FUNCTION: {
            "Type": "AWS::Serverless::Function",
            "Properties": _build_properties(function, package),
        },
        **build_role(function),
        **build_log_group(function),
        **build_queues(function),
        **build_table(function),
        **build_network(function),
        **build_capacity_provider(function),
        **build_alarms(function),
    }
    outputs = build_shared_outputs(function)
    if function.routes:
        outputs["ApiUrl"] = get_output("The HTTP API.", API_URL)
    if find_alias(function):
        alias = ref(f"{FUNCTION}.Alias")
        outputs["FunctionAlias"] = get_output("The alias that triggers invoke.", alias)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": f"{function.handler} on okibi",
        **build_sam_globals(function.authorizer),
        "Resources": resources,
        "Outputs": outputs,
    }


def _build_properties(function: ProjectFunction, package: str) -> Resource:
    properties = build_function_properties(function)
    if function.runtime.image:
        properties["ImageUri"] = function.runtime.image
    else:
        properties["CodeUri"] = package
    if function.tracing:
        properties["Tracing"] = "Active"
    if capacity := function.capacity_provider:
        properties["CapacityProviderConfig"] = {
            "Arn": capacity_provider_arn(capacity),
            "PerExecutionEnvironmentMaxConcurrency": capacity.concurrency,
            "ExecutionEnvironmentMemoryGiBPerVCpu": capacity.memory_gib_per_vcpu,
        }
    if url := function.url:
        config: Resource = {"AuthType": name_auth(url), "InvokeMode": name_invoke_mode(url)}
        if url.cors:
            config["Cors"] = build_cors(url)
        properties["FunctionUrlConfig"] = config
    if alias := find_alias(function):
        properties["AutoPublishAlias"] = alias.name
        # Else a changed setting with the same package would publish no version.
        properties["AutoPublishAliasAllProperties"] = True
        properties["VersionDeletionPolicy"] = "Delete"
        if alias.is_gradual:
            preference: Resource = {"Type": alias.deployment}
            if alarms := list_rollback_alarms(function):
                preference["Alarms"] = [ref(name) for name in alarms]
            properties["DeploymentPreference"] = preference
    if events := _build_events(function):
        properties["Events"] = events
    return properties


def _build_events(function: ProjectFunction) -> Resource:
    events: Resource = {}
    check_route_kind(function)
    for number, route in enumerate(function.routes, 1):
        properties = build_sam_auth(function, route)
        # SAM's event without a path is the route $default.
        if route != "$default":
            method, path = route.split(" ", 1)
            properties |= {"Method": method, "Path": path}
        event: Resource = {"Type": "HttpApi"}
        events[f"Route{number}"] = {**event, "Properties": properties} if properties else event
    if function.queue:
        events["QueueMapping"] = build_queue_event(function)
    if function.schedule:
        events["Schedule"] = build_schedule_event(function)
    return events
