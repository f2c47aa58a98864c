"""The template of a customer-managed runtime, against boto3's service model (`lambda-core`).

CloudFormation's properties have the names of the API's parameters. No linter knows them yet.
"""

import re
from typing import Any

import pytest

from okibi.packaging.layouts.runtime import TEMPLATE

boto3: Any = pytest.importorskip("boto3")
yaml: Any = pytest.importorskip("yaml")
if "lambda-core" not in boto3.Session().get_available_services():
    pytest.skip("this boto3 has no lambda-core; 1.44.8 has", allow_module_level=True)

MODEL: Any = boto3.client("lambda-core", region_name="us-east-1").meta.service_model
IMAGE = "012345678912.dkr.ecr.us-east-1.amazonaws.com/okibi-runtime:v1"
GIVEN = {"ImageUri": IMAGE, "Version": "v1"}
OPERATIONS = {
    "AWS::Lambda::Runtime": "CreateRuntime",
    "AWS::Lambda::RuntimeVersion": "CreateRuntimeVersion",
    "AWS::Lambda::RuntimeAlias": "CreateRuntimeAlias",
}


def template() -> Any:
    return yaml.safe_load(TEMPLATE.format(python="3.13"))


def resolve(value: Any, parameters: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return parameters[value["Ref"]]
    return value


@pytest.mark.parametrize("kind", OPERATIONS)
def test_each_resource_is_a_valid_call_of_the_api(kind: str) -> None:
    whole = template()
    parameters = {
        name: GIVEN.get(name) or settings["Default"]
        for name, settings in whole["Parameters"].items()
    }
    (resource,) = [each for each in whole["Resources"].values() if each["Type"] == kind]
    call = {name: resolve(value, parameters) for name, value in resource["Properties"].items()}

    shape = MODEL.operation_model(OPERATIONS[kind]).input_shape

    assert {*shape.required_members} <= call.keys() <= {*shape.members}
    for name, value in call.items():
        limits = shape.members[name].metadata
        # botocore does not check patterns.
        pattern = MODEL._shape_resolver._shape_map[shape.members[name].name].get("pattern")
        assert limits.get("min", 0) <= len(value) <= limits.get("max", 9999), name
        assert pattern is None or "\\p" in pattern or re.fullmatch(pattern, value), name


def test_the_command_that_goes_back_is_one_of_the_api() -> None:
    shape = MODEL.operation_model("UpdateRuntimeAlias").input_shape

    assert [*shape.required_members] == ["RuntimeName", "Name", "RuntimeVersion"]
    assert "aws lambda-core update-runtime-alias --runtime-name" in TEMPLATE


def test_a_function_takes_the_outputs_as_its_runtime_config() -> None:
    model: Any = boto3.client("lambda", region_name="us-east-1").meta.service_model
    create = model.operation_model("CreateFunction").input_shape

    assert {*template()["Outputs"]} == {*create.members["RuntimeConfig"].required_members}
    assert "custom" in create.members["Runtime"].enum
