"""The function itself, its log group, and where triggers reach it: function or alias."""

import hashlib

from ...project.settings import (
    AliasSettings,
    CapacityProviderSettings,
    ProjectFunction,
    VpcSettings,
)
from .alarms import list_rollback_alarms
from .entities import build_entity_variables
from .function_url import build_url_config
from .intrinsics import ALIAS, FUNCTION, STACK, Resource, Resources, get_att, ref, sub

# Makes a managed Python start okibi in place of AWS's client.
WRAPPER = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap"}


def find_alias(function: ProjectFunction) -> AliasSettings | None:
    """Find the alias that triggers invoke.

    SnapStart and Managed Instances serve published versions only, so they have an alias too.
    """
    if function.alias is None and (function.snapstart or function.capacity_provider):
        return AliasSettings()
    return function.alias


def target_arn(function: ProjectFunction) -> Resource:
    """The ARN that triggers invoke: of the alias if there is one."""
    return ref(ALIAS) if find_alias(function) else get_att(FUNCTION, "Arn")


def list_security_groups(vpc: VpcSettings) -> list[object]:
    """List the function's security groups: the user's, or the template's own."""
    return [*vpc.security_groups] or [get_att("SecurityGroup", "GroupId")]


def build_log_group(function: ProjectFunction) -> Resources:
    """Build the log group, which is removed with the stack."""
    return {
        "LogGroup": {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "LogGroupName": sub("/aws/lambda/${AWS::StackName}"),
                "RetentionInDays": function.log_retention,
            },
        }
    }


def build_function(function: ProjectFunction, code: object) -> Resources:
    """Build the function, with its URL, its versions and its alias.

    Args:
        function: the function.
        code: the CodeUri; unused if the function is an image.
    """
    runtime, capacity = function.runtime, function.capacity_provider
    properties: Resource = {"FunctionName": STACK}
    if runtime.image:
        properties["PackageType"] = "Image"
        properties["ImageUri"] = runtime.image
        properties["ImageConfig"] = {"Command": [function.handler]}
    else:
        managed = f"python{function.python}"
        properties["Runtime"] = managed if runtime.kind == "managed" else runtime.kind
        properties["Handler"] = function.handler
        properties["CodeUri"] = code
    if runtime.kind == "custom":
        properties["RuntimeConfig"] = {"RuntimeArn": runtime.arn, "RuntimeAlias": runtime.alias}
    properties |= {
        "Architectures": [function.architecture],
        "MemorySize": function.memory,
        "Timeout": function.timeout,
        "Role": get_att("FunctionRole", "Arn"),
        "LoggingConfig": {
            "LogGroup": ref("LogGroup"),
            "LogFormat": {"text": "Text", "json": "JSON"}[function.log_format],
        },
    }
    if variables := _build_environment(function):
        properties["Environment"] = {"Variables": variables}
    if function.layers:
        properties["Layers"] = [*function.layers]
    if function.tracing:
        properties["Tracing"] = "Active"
    if capacity:
        properties["CapacityProviderConfig"] = _build_capacity(capacity)
    elif function.vpc:
        properties["VpcConfig"] = {
            "SubnetIds": [*function.vpc.subnets],
            "SecurityGroupIds": list_security_groups(function.vpc),
        }
    if function.snapstart:
        properties["SnapStart"] = {"ApplyOn": "PublishedVersions"}
    if function.url:
        properties["FunctionUrlConfig"] = build_url_config(function.url)
    if alias := find_alias(function):
        properties |= _build_alias(function, alias)
    return {FUNCTION: {"Type": "AWS::Serverless::Function", "Properties": properties}}


def _build_environment(function: ProjectFunction) -> Resource:
    """Build the variables of the function; the user's own win, also a layer's wrapper."""
    variables: Resource = {}
    if function.runtime.kind == "managed" and not function.runtime.image:
        variables.update(WRAPPER)
    if function.table:
        variables["TABLE_NAME"] = ref("Table")
    variables |= build_entity_variables(function)
    if function.vpc and function.vpc.cache:
        variables["CACHE_HOST"] = get_att("Cache", "Endpoint.Address")
        variables["CACHE_PORT"] = get_att("Cache", "Endpoint.Port")
    return {**variables, **function.environment}


def _build_capacity(settings: CapacityProviderSettings) -> Resource:
    return {
        "Arn": settings.arn or get_att("CapacityProvider", "Arn"),
        "PerExecutionEnvironmentMaxConcurrency": settings.concurrency,
        "ExecutionEnvironmentMemoryGiBPerVCpu": settings.memory_gib_per_vcpu,
    }


def _build_alias(function: ProjectFunction, alias: AliasSettings) -> Resource:
    """Let SAM publish a version for each change, and move the alias to it."""
    properties: Resource = {
        "AutoPublishAlias": alias.name,
        # Else a changed setting with the same package would publish no version.
        "AutoPublishAliasAllProperties": True,
        # CloudFormation removes the old version after the alias has moved. A version that stays
        # keeps its snapshot or its Managed Instances; and after a roll-back, Lambda refuses to
        # publish the same package again.
        "VersionDeletionPolicy": "Delete",
    }
    if digest := _hash_replaced(function):
        properties["Description"] = f"{function.handler} on okibi, resources {digest}"
    if alias.is_gradual:
        preference: Resource = {"Type": alias.deployment}
        if alarms := list_rollback_alarms(function):
            preference["Alarms"] = [ref(name) for name in alarms]
        properties["DeploymentPreference"] = preference
    return properties


def _hash_replaced(function: ProjectFunction) -> str:
    """Hash the settings for which CloudFormation replaces the table or the capacity provider.

    The function's properties name both by their logical ids. SAM publishes a version only if a
    property changes, and the old version would go on to use what was replaced.
    """
    table, provider, vpc = function.table, function.capacity_provider, function.vpc
    replaced: list[object] = []
    if table is not None:
        replaced += [table.partition_key, table.sort_key]
    if provider is not None and not provider.arn and vpc is not None:
        replaced += [vpc.subnets, vpc.security_groups, provider.instance_types]
    return hashlib.sha256(repr(replaced).encode()).hexdigest()[:12] if replaced else ""
