"""cfn-lint and SAM accept each template; what they do not know yet is listed, and checked against
the service models of boto3."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.validate import validate_parameters  # type: ignore[import-untyped]
from cfnlint.config import ConfigMixIn, ManualArgs
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

from okibi.cli.deploy.package_bucket import build_bucket_template
from okibi.cli.project_reader import RUNTIMES
from okibi.cli.project_settings import ProjectFunction
from okibi.cli.template.cloudformation import build_template
from okibi.cli.template.command import write_template
from okibi.cli.template.sam import build_sam_template
from tests.cli.template.features import FUNCTIONS, NEWER_THAN_THE_TOOLS
from tests.cli.template.test_cloudformation import actions_in

REGION = "eu-central-1"
UNKNOWN_TO_CFN_LINT = {
    "half an hour": {"E3717"},
    "customer-managed runtime": {"E3002", "E3030"},
}
"""The rules of cfn-lint 1.58 that refuse what is newer than cfn-lint."""


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


def translate(template: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # It changes what it is given, and its loader would ask IAM for AWS's policies.
    content = json.loads(json.dumps(template))
    content["Resources"]["Function"]["Properties"].pop("CodeUri", None)
    if "ImageUri" not in content["Resources"]["Function"]["Properties"]:
        content["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/function.zip"
    return transform(content, {}, type("Loader", (), {"load": lambda _self: {}})())


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_cfn_lint_accepts_a_cloudformation_template(function: ProjectFunction) -> None:
    assert lint(build_template(function, "hash")) == []


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_sam_translates_a_sam_template_that_cfn_lint_accepts(
    function: ProjectFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = build_sam_template(function)

    translated = translate(template, monkeypatch)

    assert translated["Resources"]["Function"]["Type"] == "AWS::Lambda::Function"
    assert not [action for action in actions_in(translated) if "*" in action]
    assert lint(template) == []


@pytest.mark.parametrize(
    ("name", "scheme"), [("routes for tokens", "HttpApiAuthorizer"), ("routes for iam", "AWS_IAM")]
)
def test_sam_puts_the_authorizer_before_each_route_but_options(
    name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    translated = translate(build_sam_template(FUNCTIONS[name]), monkeypatch)

    api = translated["Resources"]["ServerlessHttpApi"]["Properties"]["Body"]
    methods = [each for path in api["paths"].values() for each in path.items()]
    assert len(methods) > 1
    for method, operation in methods:
        expected: object = None if method == "options" else [{scheme: []}]
        assert operation.get("security") == expected
    assert scheme in api["components"]["securitySchemes"]


def test_cfn_lint_accepts_the_template_of_the_bucket() -> None:
    assert lint(build_bucket_template()) == []


@pytest.mark.parametrize("name", NEWER_THAN_THE_TOOLS)
def test_cfn_lint_refuses_only_what_is_newer_than_itself(name: str) -> None:
    found = lint(build_template(NEWER_THAN_THE_TOOLS[name], "hash"))

    assert {match.rule.id for match in found} == UNKNOWN_TO_CFN_LINT[name]
    assert all(match.path[:2] == ["Resources", "Function"] for match in found)


def test_sam_refuses_only_what_is_newer_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    custom = NEWER_THAN_THE_TOOLS["customer-managed runtime"]

    assert translate(build_sam_template(NEWER_THAN_THE_TOOLS["half an hour"]), monkeypatch)
    with pytest.raises(InvalidDocumentException) as caught:
        translate(build_sam_template(custom), monkeypatch)

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
    properties: Any = build_template(NEWER_THAN_THE_TOOLS["customer-managed runtime"])
    given = properties["Resources"]["Function"]["Properties"]
    config = member("CreateFunctionRequest", "RuntimeConfig")

    assert given["Runtime"] in member("CreateFunctionRequest", "Runtime").enum
    assert given["RuntimeConfig"].keys() <= config.members.keys()
    assert {*config.required_members} <= given["RuntimeConfig"].keys()


def test_the_model_has_each_runtime() -> None:
    enum = member("CreateFunctionRequest", "Runtime").enum

    assert {*RUNTIMES} - {"managed"} <= {*enum}
    assert {"python3.11", "python3.12", "python3.13", "python3.14"} <= {*enum}


@pytest.mark.parametrize("name", [*FUNCTIONS, *NEWER_THAN_THE_TOOLS])
def test_the_model_accepts_the_properties_of_a_function(name: str) -> None:
    """CloudFormation passes them to CreateFunction under the same names."""
    template: Any = build_template({**FUNCTIONS, **NEWER_THAN_THE_TOOLS}[name])
    properties = resolve(template["Resources"]["Function"]["Properties"])
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
