"""The CloudFormation templates of `make aws`. Everything a run makes is in its stacks.

One stack holds what the routes share; each route has a stack of its own, so that a route that fails
leaves the others. Nothing here reads or writes.
"""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from .routes import WRAPPER, DeploymentRoute

RUN_TAG = "okibi-aws-run"
TIMEOUT = 3
RUNTIME_ALIAS = "live"


@attrs.frozen
class Settings:
    """The settings that all functions of a run share.

    Args:
        run: the name of the run: the prefix of all its names.
        python: the version of Python, e.g. "3.13".
        architecture: "x86_64" or "arm64".
        memory: megabytes of each function.
    """

    run: str
    python: str
    architecture: str
    memory: int


@attrs.frozen
class Built:
    """The uploaded zips and images of a route.

    Args:
        keys: the key of each handler's zip in the run's bucket.
        images: the URI of each handler's container image.
        layer: the key of the zip of a layer, or "".
        runtime: the URI of the image of a customer-managed runtime, or "".
    """

    keys: Mapping[str, str] = attrs.Factory(dict[str, str])
    images: Mapping[str, str] = attrs.Factory(dict[str, str])
    layer: str = ""
    runtime: str = ""


def tags(run: str) -> list[dict[str, str]]:
    """Return the tags of each stack, by which `make aws-clean` finds it."""
    return [{"Key": RUN_TAG, "Value": run}]


def function_name(run: str, route: DeploymentRoute, handler: str) -> str:
    """Return the name of a function.

    >>> from .routes import MANAGED
    >>> function_name("okibi-aws-1a2b", MANAGED, "check.function")
    'okibi-aws-1a2b-managed-check'
    """
    return f"{run}-{route.name}-{handler.partition('.')[0]}"


def shared_template(settings: Settings, *, repository: bool) -> dict[str, Any]:
    """Return the template of the role, the bucket and, for images, the repository."""
    account = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}"
    logs = f"{account}:log-group:/aws/lambda/{settings.run}-*"
    resources: dict[str, Any] = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                },
                # Without logs:CreateLogGroup, Lambda cannot make a group again after the run.
                "Policies": [
                    {
                        "PolicyName": "logs",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                {
                                    "Effect": "Allow",
                                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                                    "Resource": {"Fn::Sub": logs},
                                }
                            ],
                        },
                    }
                ],
            },
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                }
            },
        },
    }
    outputs: dict[str, Any] = {
        "Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
        "Bucket": {"Value": {"Ref": "Bucket"}},
    }
    if repository:
        resources["Repository"] = {
            "Type": "AWS::ECR::Repository",
            "Properties": {"RepositoryName": settings.run, "EmptyOnDelete": True},
        }
        outputs["Repository"] = {"Value": {"Fn::GetAtt": ["Repository", "RepositoryUri"]}}
    return _template(resources, outputs)


def route_template(
    settings: Settings, route: DeploymentRoute, built: Built, *, role: str, bucket: str
) -> dict[str, Any]:
    """Return the template of one route.

    Args:
        settings: the settings that all functions share.
        route: the route.
        built: the uploaded zips and images of the route.
        role: the ARN of the role.
        bucket: the bucket of the zips.
    """
    resources: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    if built.layer:
        resources["Layer"] = {
            "Type": "AWS::Lambda::LayerVersion",
            "Properties": {
                "LayerName": f"{settings.run}-{route.name}",
                "Content": {"S3Bucket": bucket, "S3Key": built.layer},
            },
        }
    if built.runtime:
        resources.update(_runtime_resources(settings.run, built.runtime))
    for handler in route.handlers:
        word = handler.partition(".")[0].capitalize()
        name = function_name(settings.run, route, handler)
        resources[f"{word}Logs"] = {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": f"/aws/lambda/{name}", "RetentionInDays": 1},
        }
        resources[word] = {
            "Type": "AWS::Lambda::Function",
            "DependsOn": [f"{word}Logs", *(["RuntimeAlias"] if built.runtime else [])],
            "Properties": {
                "FunctionName": name,
                "Role": role,
                "Architectures": [settings.architecture],
                "MemorySize": settings.memory,
                "Timeout": TIMEOUT,
                "Environment": {"Variables": variables(route, 0)},
                **_code(settings, route, handler, built, bucket),
            },
        }
        if route.snapstart:
            resources[word]["Properties"]["SnapStart"] = {"ApplyOn": "PublishedVersions"}
            resources[f"{word}Version"] = {
                "Type": "AWS::Lambda::Version",
                "Properties": {"FunctionName": {"Ref": word}},
            }
        if handler.startswith("stream."):
            # Only callers that sign with AWS credentials of this account may use it.
            resources["Url"] = {
                "Type": "AWS::Lambda::Url",
                "Properties": {
                    "TargetFunctionArn": {"Ref": word},
                    "AuthType": "AWS_IAM",
                    "InvokeMode": "RESPONSE_STREAM",
                },
            }
            outputs["Url"] = {"Value": {"Fn::GetAtt": ["Url", "FunctionUrl"]}}
    return _template(resources, outputs)


def variables(route: DeploymentRoute, cold_round: int) -> dict[str, str]:
    """Return a function's environment. Another round's number makes the next start a cold one."""
    wrapper = {WRAPPER: route.wrapper} if route.wrapper else {}
    return {**wrapper, "OKIBI_CHECK_ROUND": str(cold_round)}


def _code(
    settings: Settings, route: DeploymentRoute, handler: str, built: Built, bucket: str
) -> dict[str, Any]:
    if not route.runtime:
        return {
            "PackageType": "Image",
            "Code": {"ImageUri": built.images[handler]},
            "ImageConfig": {"Command": [handler]},
        }
    code: dict[str, Any] = {
        "Handler": handler,
        "Runtime": route.runtime.format(python=settings.python),
        "Code": {"S3Bucket": bucket, "S3Key": built.keys[handler]},
    }
    if built.layer:
        code["Layers"] = [{"Ref": "Layer"}]
    if built.runtime:
        arn = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}"
        code["RuntimeConfig"] = {
            "RuntimeArn": {"Fn::Sub": f"{arn}:runtime/{settings.run}"},
            "RuntimeAlias": RUNTIME_ALIAS,
        }
    return code


def _runtime_resources(run: str, image: str) -> dict[str, Any]:
    """Return a customer-managed runtime with one version and an alias."""
    version = {"RuntimeName": run, "Name": "v1", "ImageUri": image}
    alias = {"RuntimeName": run, "Name": RUNTIME_ALIAS, "RuntimeVersion": "v1"}
    return {
        "Runtime": {"Type": "AWS::Lambda::Runtime", "Properties": {"Name": run}},
        "RuntimeVersion": {
            "Type": "AWS::Lambda::RuntimeVersion",
            "DependsOn": "Runtime",
            "Properties": version,
        },
        "RuntimeAlias": {
            "Type": "AWS::Lambda::RuntimeAlias",
            "DependsOn": "RuntimeVersion",
            "Properties": alias,
        },
    }


def _template(resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Made by okibi's `make aws`; `make aws-clean` removes it.",
        "Resources": resources,
    }
    return {**template, "Outputs": outputs} if outputs else template


def as_text(template: Mapping[str, Any]) -> str:
    """Return a template as JSON."""
    return json.dumps(template, indent=1)
