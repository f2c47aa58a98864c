"""The CloudFormation templates of `make aws`."""

import json
from typing import Any

import attrs
import pytest

from benchmarks.aws.routes import (
    CUSTOM,
    IMAGE,
    LAYER,
    MANAGED,
    OFFICIAL,
    ROUTES,
    SNAPSTART,
    DeploymentRoute,
)
from benchmarks.aws.templates import Built, Settings, as_text, route_template, shared_template

SETTINGS = Settings("okibi-aws-1a2b", "3.13", "arm64", 512)
HANDLERS = ("check.function", "plain.handler", "stream.handler")
IMAGES = "1234.dkr.ecr.eu-central-1.amazonaws.com/okibi"
BUILT = Built(
    keys={handler: f"{handler}.zip" for handler in HANDLERS},
    images={handler: f"{IMAGES}:{handler}" for handler in HANDLERS},
)


def template(route: DeploymentRoute, layer: str = "", runtime: str = "") -> dict[str, Any]:
    built = attrs.evolve(BUILT, layer=layer, runtime=runtime)
    return route_template(SETTINGS, route, built, role="arn:role", bucket="bucket")


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources.values() if each["Type"] == kind]


def test_the_role_may_only_write_the_logs_of_the_run() -> None:
    made = shared_template(SETTINGS, repository=False)

    (role,) = of_type(made["Resources"], "AWS::IAM::Role")
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert statement["Resource"]["Fn::Sub"].endswith(":/aws/lambda/okibi-aws-1a2b-*")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_function_has_a_log_group_that_its_stack_removes(route: DeploymentRoute) -> None:
    resources = template(route)["Resources"]

    functions = of_type(resources, "AWS::Lambda::Function")
    groups = of_type(resources, "AWS::Logs::LogGroup")
    assert len(functions) == len(route.handlers)
    assert [f"/aws/lambda/{each['FunctionName']}" for each in functions] == [
        each["LogGroupName"] for each in groups
    ]
    assert json.loads(as_text(template(route)))["Resources"] == resources


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_names_begin_with_the_run_and_are_short_enough(route: DeploymentRoute) -> None:
    for function in of_type(template(route)["Resources"], "AWS::Lambda::Function"):
        assert function["FunctionName"].startswith("okibi-aws-1a2b-")
        assert len(function["FunctionName"]) <= 64


def test_a_function_url_needs_a_signature_and_streams() -> None:
    (url,) = of_type(template(MANAGED)["Resources"], "AWS::Lambda::Url")

    assert (url["AuthType"], url["InvokeMode"]) == ("AWS_IAM", "RESPONSE_STREAM")


def test_the_official_client_gets_neither_wrapper_nor_url() -> None:
    resources = template(OFFICIAL)["Resources"]

    (function,) = of_type(resources, "AWS::Lambda::Function")
    assert "AWS_LAMBDA_EXEC_WRAPPER" not in function["Environment"]["Variables"]
    assert function["Runtime"] == "python3.13"
    assert "Url" not in resources


def test_a_wrapper_is_named_where_lambda_unpacks_it() -> None:
    for route, path in ((MANAGED, "/var/task/bootstrap"), (LAYER, "/opt/okibi-bootstrap")):
        function = of_type(template(route)["Resources"], "AWS::Lambda::Function")[0]
        assert function["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"] == path


def test_the_functions_of_a_layer_are_zips_of_their_own_code() -> None:
    resources = template(LAYER, layer="layer.zip")["Resources"]

    (layer,) = of_type(resources, "AWS::Lambda::LayerVersion")
    assert layer["Content"]["S3Key"] == "layer.zip"
    for function in of_type(resources, "AWS::Lambda::Function"):
        assert function["Code"]["S3Key"] == f"{function['Handler']}.zip"
        assert function["Layers"] == [{"Ref": "Layer"}]


def test_snapstart_has_a_version_for_each_function() -> None:
    resources = template(SNAPSTART)["Resources"]

    functions = of_type(resources, "AWS::Lambda::Function")
    assert all(each["SnapStart"] == {"ApplyOn": "PublishedVersions"} for each in functions)
    assert len(of_type(resources, "AWS::Lambda::Version")) == len(functions)


def test_an_image_names_its_handler_as_command() -> None:
    function = of_type(template(IMAGE)["Resources"], "AWS::Lambda::Function")[0]

    assert function["PackageType"] == "Image"
    assert function["ImageConfig"] == {"Command": ["check.function"]}
    assert "Handler" not in function


def test_a_customer_managed_runtime_is_made_in_the_stack_that_uses_it() -> None:
    resources = template(CUSTOM, runtime=f"{IMAGES}:runtime")["Resources"]

    (runtime,) = of_type(resources, "AWS::Lambda::Runtime")
    (version,) = of_type(resources, "AWS::Lambda::RuntimeVersion")
    (alias,) = of_type(resources, "AWS::Lambda::RuntimeAlias")
    function = of_type(resources, "AWS::Lambda::Function")[0]
    assert version["RuntimeName"] == alias["RuntimeName"] == runtime["Name"]
    assert alias["RuntimeVersion"] == version["Name"]
    assert (function["Runtime"], function["Handler"]) == ("custom", "check.function")
    assert function["RuntimeConfig"]["RuntimeAlias"] == alias["Name"]
    assert function["RuntimeConfig"]["RuntimeArn"]["Fn::Sub"].endswith(f":runtime/{SETTINGS.run}")


def test_the_resources_of_a_runtime_have_what_the_service_requires() -> None:
    """CloudFormation's properties are those of the service `lambda-core`, in newer boto3."""
    session = pytest.importorskip("botocore.session").get_session()
    if "lambda-core" not in session.get_available_services():
        pytest.skip("this botocore does not know the service")
    service = session.get_service_model("lambda-core")
    resources = template(CUSTOM, runtime=f"{IMAGES}:runtime")["Resources"]

    for kind in ("Runtime", "RuntimeVersion", "RuntimeAlias"):
        shape = service.operation_model(f"Create{kind}").input_shape
        (properties,) = of_type(resources, f"AWS::Lambda::{kind}")
        assert {*shape.required_members} <= {*properties} <= {*shape.members}
