"""Find a function on Lambda: one of this project by its stack, or any by its name."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from okibi.cli.remote_invoke import _invoke  # pyright: ignore[reportPrivateUsage]
from okibi.cli.remote_logs import find_log_group
from okibi.deployment.aws import Aws, AwsError
from okibi.deployment.remote_function import find_function
from okibi.deployment.stacks import MANAGED, PROJECT
from okibi.project.bad_input import BadInput
from okibi.project.settings import AliasSettings, ProjectFunction, ProjectSettings
from tests.support.answering_aws import answering_aws

SHOP = ProjectSettings(
    "shop",
    functions={
        "visits": ProjectFunction("visits", "app.visits"),
        "fast": ProjectFunction("fast", "app.fast", snapstart=True),
        "slow": ProjectFunction("slow", "app.slow", alias=AliasSettings("blue")),
    },
)
OWN = {MANAGED: "true", PROJECT: "shop"}


def stack(name: str, tags: Mapping[str, str] = OWN, handler: str = "app.visits") -> dict[str, Any]:
    return {
        "StackName": name,
        "StackStatus": "CREATE_COMPLETE",
        "Description": f"{handler} on okibi",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "Outputs": [{"OutputKey": "FunctionName", "OutputValue": name}],
    }


def account(stacks: Sequence[dict[str, Any]]) -> Aws:
    """An account with some stacks, one a page, and without functions."""

    def answer(operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        if operation != "describe_stacks":
            raise AwsError("ResourceNotFoundException", "Function not found: arn:aws:...")
        name = parameters.get("StackName")
        if name is None:
            begin = int(parameters.get("NextToken", 0))
            more = {"NextToken": str(begin + 1)} if begin + 1 < len(stacks) else {}
            return {"Stacks": stacks[begin : begin + 1], **more}
        found = [each for each in stacks if each["StackName"] == name]
        if not found:
            raise AwsError("ValidationError", f"Stack with id {name} does not exist")
        return {"Stacks": found}

    return answering_aws(answer)


@pytest.mark.parametrize(
    ("asked", "deployed"),
    [
        ("visits", "visits"),
        ("app.visits", "visits"),
        ("fast", "fast:live"),
        ("slow", "slow:blue"),
        ("visits-test", "visits-test"),
        ("arn:aws:lambda:a:1:function:f.g", "arn:aws:lambda:a:1:function:f.g"),
    ],
)
def test_a_name_is_of_the_project_or_of_lambda(asked: str, deployed: str) -> None:
    aws = account([stack("visits"), stack("fast"), stack("slow")])

    assert find_function(aws, SHOP, asked) == deployed


def test_a_handler_without_a_table_has_the_project_s_stack() -> None:
    aws = account([stack("shop", handler="other.handler")])

    assert find_function(aws, SHOP, "other.handler") == "shop"


def test_without_a_name_the_only_function_is_meant() -> None:
    one = ProjectSettings("shop", functions={"visits": SHOP.functions["visits"]})

    assert find_function(account([stack("visits")]), one, None) == "visits"


def test_a_stack_of_the_project_may_have_another_name() -> None:
    aws = account([stack("visits"), stack("visits-test")])

    assert find_function(aws, SHOP, "visits", "visits-test") == "visits-test"


def test_a_stack_of_another_tool_is_used_if_named() -> None:
    assert find_function(account([stack("visits", {})]), SHOP, "visits", "visits") == "visits"


@pytest.mark.parametrize(
    ("stacks", "asked", "named", "said"),
    [
        ([], "visits", None, "no stack visits in eu-central-1; run okibi deploy visits first"),
        ([stack("fast"), stack("visits-test")], "visits", None,
         "no stack visits .*; project shop has visits-test: add --stack visits-test"),
        ([stack("visits", {MANAGED: "true", PROJECT: "zoo"})], "visits", None,
         "stack visits belongs to project zoo, not to shop"),
        ([stack("visits", {MANAGED: "true", PROJECT: "zoo"})], "visits", "visits",
         "stack visits belongs to project zoo, not to shop"),
        ([stack("visits", {})], "visits", None, "was not made by okibi deploy; .*--stack visits"),
        ([stack("shop")], "other.handler", None,
         "stack shop has the function app.visits, not other.handler"),
        ([{**stack("visits"), "Outputs": []}], "visits", None, "has no function"),
        ([stack("visits-test")], "nothing", "visits-test", "nothing is no function of this"),
    ],
)  # fmt: skip
def test_any_other_stack_is_refused_with_the_cure(
    stacks: list[dict[str, Any]], asked: str, named: str | None, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        find_function(account(stacks), SHOP, asked, named)


def test_without_the_right_to_read_stacks_the_arn_is_the_way() -> None:
    def refuse(_operation: str, _parameters: object) -> Mapping[str, Any]:
        raise AwsError("AccessDenied", "User bob is not authorized")

    with pytest.raises(BadInput, match="cloudformation:DescribeStacks, or give the function's ARN"):
        find_function(answering_aws(refuse), SHOP, "visits")


def test_a_function_that_lambda_does_not_have_is_told_with_the_cure() -> None:
    said = "function gone does not exist in eu-central-1; run okibi deploy first"

    with pytest.raises(BadInput, match=said):
        find_log_group(account([]), "gone")
    with pytest.raises(BadInput, match=said):
        _invoke(account([]), "gone", b"{}")
