"""cfn-lint and SAM accept each template; what they do not know yet is listed, and checked against
the service models of boto3."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import attrs
import boto3  # type: ignore[import-untyped]
import pytest
from botocore.validate import validate_parameters  # type: ignore[import-untyped]
from cfnlint.config import ConfigMixIn, ManualArgs
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

from okibi.cli.write_template import write_template
from okibi.deployment.package_bucket import build_bucket_template
from okibi.deployment.template.sam import build_template
from okibi.project.settings import (
    RUNTIMES,
    AliasSettings,
    KeySettings,
    ProjectFunction,
    TableSettings,
)
from tests.deployment.template.features import FUNCTIONS, NEWER_THAN_THE_TOOLS, make
from tests.deployment.template.test_sam import actions_in

REGION = "eu-central-1"
CUSTOM = NEWER_THAN_THE_TOOLS["customer-managed runtime"]
UNKNOWN_TO_SAM = (
    "Resource with id [Function] is invalid. property RuntimeConfig not defined for resource of"
    " type AWS::Serverless::Function"
)
"""What SAM's translator 1.115 says about a customer-managed runtime."""


@cache
def linter() -> Any:
    """One for all templates: it takes a second to make."""
    return Runner(ConfigMixIn(**ManualArgs(regions=[REGION])))


def lint_text(text: str) -> list[Any]:
    template, mistakes = decode_str(text)
    return mistakes or [*linter().validate_template(template)]


def lint(template: Mapping[str, object]) -> list[Any]:
    return lint_text(json.dumps(template))


def translate(template: Mapping[str, object], **parameters: str) -> Any:
    """Expand a template as CloudFormation does."""
    # The translator changes what it is given. Its loader would ask IAM for AWS's policies.
    loader = type("Loader", (), {"load": lambda _self: {}})()
    return transform(json.loads(json.dumps(template)), parameters, loader)


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_cfn_lint_accepts_a_template(function: ProjectFunction) -> None:
    assert lint(build_template(function)) == []


def test_cfn_lint_accepts_a_template_for_sam_deploy() -> None:
    assert lint(build_template(FUNCTIONS["everything"], "function.zip")) == []


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_sam_translates_a_template_without_a_wildcard_in_an_action(
    function: ProjectFunction,
) -> None:
    translated = translate(build_template(function))

    assert translated["Resources"]["Function"]["Type"] == "AWS::Lambda::Function"
    assert not [action for action in actions_in(translated) if "*" in action]


@pytest.mark.parametrize("name", ["snapstart", "public streaming url", "everything"])
def test_a_url_is_the_alias_s_where_a_version_serves(name: str) -> None:
    resources = translate(build_template(FUNCTIONS[name]))["Resources"]

    url = resources["FunctionUrl"]["Properties"]
    permissions = [
        each["Properties"]["Action"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::Permission" and each["Properties"]["Principal"] == "*"
    ]
    has_alias = name != "public streaming url"
    assert url["TargetFunctionArn"] == {"Ref": "FunctionAliaslive" if has_alias else "Function"}
    # Since October 2025 a public URL needs both.
    public = {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert {*permissions} == (public if url["AuthType"] == "NONE" else set())


def version_of(function: ProjectFunction, key: str = "a") -> str:
    """The logical id of the version that a package of this key makes."""
    resources = translate(build_template(function), CodeBucket="b", CodeKey=key)["Resources"]
    (name,) = [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Version"]
    assert resources[name]["DeletionPolicy"] == "Delete"
    return str(name)


def test_another_package_or_setting_publishes_another_version() -> None:
    function = make(alias=AliasSettings())

    first = version_of(function)
    assert version_of(function) == first
    assert version_of(function, "b") != first
    assert version_of(attrs.evolve(function, memory=256)) != first


def test_a_replaced_table_or_capacity_provider_publishes_another_version() -> None:
    table = make(alias=AliasSettings(), table=TableSettings(KeySettings("id")))
    busy = FUNCTIONS["managed instances"]
    assert busy.vpc is not None

    moved = attrs.evolve(busy, vpc=attrs.evolve(busy.vpc, subnets=("subnet-1",)))
    assert version_of(moved) != version_of(busy)
    replaced = attrs.evolve(table, table=TableSettings(KeySettings("id", "N")))
    assert version_of(replaced) != version_of(table)
    # Lambda publishes no second version of what has not changed.
    kept = attrs.evolve(table, table=TableSettings(KeySettings("id"), ttl="expires"))
    assert version_of(kept) == version_of(table)


def test_only_the_alarms_on_errors_and_deadlines_stop_a_gradual_deployment() -> None:
    resources = translate(build_template(FUNCTIONS["everything"]))["Resources"]

    (group,) = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::CodeDeploy::DeploymentGroup"
    ]
    alarms = [each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]]
    assert alarms == ["ErrorAlarm", "DeadlineAlarm"]
    assert "Canary10Percent5Minutes" in json.dumps(group["DeploymentConfigName"])


def test_cfn_lint_accepts_the_template_of_the_bucket() -> None:
    assert lint(build_bucket_template()) == []


def test_cfn_lint_refuses_only_what_is_newer_than_itself() -> None:
    (found,) = lint(build_template(CUSTOM))

    assert (found.rule.id, found.path[-1]) == ("E3002", "RuntimeConfig")


def test_sam_refuses_only_what_is_newer_than_itself() -> None:
    with pytest.raises(InvalidDocumentException) as caught:
        translate(build_template(CUSTOM))

    assert [cause.message for cause in caught.value.causes] == [UNKNOWN_TO_SAM]


# -- what the service's own model says


@cache
def boto3_model(service: str = "lambda") -> Any:
    return boto3.client(service, region_name=REGION).meta.service_model


def member(shape: str, *path: str) -> Any:
    found = boto3_model().shape_for(shape)
    for name in path:
        found = found.members[name]
    return found


def test_the_model_has_half_an_hour() -> None:
    timeout = member("CreateFunctionRequest", "Timeout")

    assert timeout.metadata["max"] >= 1800


def test_the_model_has_customer_managed_runtimes() -> None:
    template: Any = build_template(CUSTOM)
    given = template["Resources"]["Function"]["Properties"]
    config = member("CreateFunctionRequest", "RuntimeConfig")

    assert given["Runtime"] in member("CreateFunctionRequest", "Runtime").enum
    assert given["RuntimeConfig"].keys() <= config.members.keys()
    assert {*config.required_members} <= given["RuntimeConfig"].keys()


def test_the_model_has_each_runtime() -> None:
    enum = member("CreateFunctionRequest", "Runtime").enum

    assert {*RUNTIMES} - {"managed"} <= {*enum}
    assert {"python3.11", "python3.12", "python3.13", "python3.14"} <= {*enum}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_the_model_accepts_the_properties_of_a_function(function: ProjectFunction) -> None:
    """CloudFormation passes them to CreateFunction under the same names, but for the tags."""
    template = translate(build_template(function))
    properties = resolve(template["Resources"]["Function"]["Properties"])
    properties["Tags"] = {each["Key"]: each["Value"] for each in properties["Tags"]}
    request = boto3_model().operation_model("CreateFunction").input_shape

    validate_parameters(properties, request)


def resolve(content: Any) -> Any:
    """Put a text in the place of each function of CloudFormation."""
    if isinstance(content, dict):
        if len(content) == 1 and next(iter(content)).startswith(("Ref", "Fn::")):
            return "resolved"
        return {key: resolve(value) for key, value in content.items()}
    return [resolve(each) for each in content] if isinstance(content, list) else content


def test_lambda_core_knows_the_runtime_that_a_function_names() -> None:
    operations = {"CreateRuntime", "CreateRuntimeVersion", "CreateRuntimeAlias"}

    assert operations <= {*boto3_model("lambda-core").operation_names}


def test_cfn_lint_reads_the_yaml() -> None:
    text = write_template(build_template(FUNCTIONS["everything"]), as_json=False)

    assert lint_text(text) == []
