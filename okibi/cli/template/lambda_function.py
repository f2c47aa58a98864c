"""The function itself, its log group, and where triggers reach it: function or alias."""

import hashlib
import json

from ..project_settings import AliasSettings, CapacityProviderSettings, ProjectFunction, VpcSettings
from .intrinsics import ALIAS, FUNCTION, STACK, Resource, Resources, get_att, ref, sub

__all__ = [
    "CODE_PARAMETERS",
    "WRAPPER",
    "build_environment",
    "build_function",
    "build_function_properties",
    "build_log_group",
    "capacity_provider_arn",
    "find_alias",
    "list_security_groups",
    "name_runtime",
    "target_arn",
]

WRAPPER = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap"}
"""Makes a managed Python start okibi in place of AWS's client."""

CODE_PARAMETERS: Resources = {
    "CodeBucket": {"Type": "String", "Description": "The S3 bucket with the package."},
    "CodeKey": {"Type": "String", "Description": "The package in the bucket."},
}


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


def name_runtime(function: ProjectFunction) -> str:
    """The function's Runtime, as Lambda names it."""
    managed = f"python{function.python}"
    return managed if function.runtime.kind == "managed" else function.runtime.kind


def capacity_provider_arn(settings: CapacityProviderSettings) -> object:
    """The ARN of the capacity provider: the user's, or that of the template's own."""
    return settings.arn or get_att("CapacityProvider", "Arn")


def list_security_groups(vpc: VpcSettings) -> list[object]:
    """List the function's security groups: the user's, or the template's own."""
    return [*vpc.security_groups] or [get_att("SecurityGroup", "GroupId")]


def build_environment(function: ProjectFunction) -> Resource:
    """Build the variables of the function; the user's own win, also a layer's wrapper."""
    variables: Resource = {}
    if function.runtime.kind == "managed" and not function.runtime.image:
        variables.update(WRAPPER)
    if function.table:
        variables["TABLE_NAME"] = ref("Table")
    if function.vpc and function.vpc.cache:
        variables["CACHE_HOST"] = get_att("Cache", "Endpoint.Address")
        variables["CACHE_PORT"] = get_att("Cache", "Endpoint.Port")
    return {**variables, **function.environment}


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


def build_function_properties(function: ProjectFunction) -> Resource:
    """Build the properties that CloudFormation and SAM have in common."""
    runtime, capacity = function.runtime, function.capacity_provider
    properties: Resource = {"FunctionName": STACK}
    if runtime.image:
        properties["PackageType"] = "Image"
        properties["ImageConfig"] = {"Command": [function.handler]}
    else:
        properties["Runtime"] = name_runtime(function)
        properties["Handler"] = function.handler
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
    if variables := build_environment(function):
        properties["Environment"] = {"Variables": variables}
    if function.layers:
        properties["Layers"] = [*function.layers]
    if function.vpc and not capacity:
        properties["VpcConfig"] = {
            "SubnetIds": [*function.vpc.subnets],
            "SecurityGroupIds": list_security_groups(function.vpc),
        }
    if function.snapstart:
        properties["SnapStart"] = {"ApplyOn": "PublishedVersions"}
    return properties


def build_function(function: ProjectFunction, code_hash: str = "") -> Resources:
    """Build the function of a CloudFormation template; with an alias, version and alias too.

    Args:
        function: the function.
        code_hash: of the package. A version is immutable: another package or another setting
            makes another version.
    """
    properties = build_function_properties(function)
    if function.runtime.image:
        properties["Code"] = {"ImageUri": function.runtime.image}
    else:
        properties["Code"] = {"S3Bucket": ref("CodeBucket"), "S3Key": ref("CodeKey")}
    if function.tracing:
        properties["TracingConfig"] = {"Mode": "Active"}
    if capacity := function.capacity_provider:
        properties["CapacityProviderConfig"] = {
            "LambdaManagedInstancesCapacityProviderConfig": {
                "CapacityProviderArn": capacity_provider_arn(capacity),
                "PerExecutionEnvironmentMaxConcurrency": capacity.concurrency,
                "ExecutionEnvironmentMemoryGiBPerVCpu": capacity.memory_gib_per_vcpu,
            }
        }
    resources: Resources = {
        FUNCTION: {"Type": "AWS::Lambda::Function", "Properties": properties},
    }
    if alias := find_alias(function):
        version = _version_id(properties, function, code_hash)
        resources[version] = {
            "Type": "AWS::Lambda::Version",
            # CloudFormation removes the old version after the alias has moved. A version that stays
            # keeps its snapshot or its Managed Instances; and after a roll-back, Lambda refuses to
            # publish the same package again.
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {"FunctionName": ref(FUNCTION)},
        }
        resources[ALIAS] = {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": alias.name,
                "FunctionName": ref(FUNCTION),
                "FunctionVersion": get_att(version, "Version"),
            },
        }
    return resources


def _version_id(properties: Resource, function: ProjectFunction, code_hash: str) -> str:
    """Make the logical id of a version from everything that the version contains.

    The properties refer to the table and to the capacity provider by their logical ids. The hash
    includes the settings that make CloudFormation replace them by others.
    """
    table, provider, vpc = function.table, function.capacity_provider, function.vpc
    replaced: list[object] = []
    if table is not None:
        replaced += [table.partition_key, table.sort_key]
    if provider is not None and not provider.arn and vpc is not None:
        replaced += [vpc.subnets, vpc.security_groups, provider.instance_types]
    content = json.dumps([properties, repr(replaced), code_hash], sort_keys=True)
    return f"Version{hashlib.sha256(content.encode()).hexdigest()[:12]}"
