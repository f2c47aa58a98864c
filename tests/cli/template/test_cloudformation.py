"""The templates' rules that no linter knows."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from okibi.cli.project_settings import (
    AliasSettings,
    KeySettings,
    PolicySettings,
    ProjectFunction,
    TableSettings,
    UrlSettings,
)
from okibi.cli.template.cloudformation import build_template
from okibi.cli.template.command import write_template
from okibi.cli.template.sam import build_sam_template
from tests.cli.template.features import FUNCTIONS, NEWER_THAN_THE_TOOLS, make

ALL = {**FUNCTIONS, **NEWER_THAN_THE_TOOLS}


def resources_of(function: ProjectFunction, code_hash: str = "") -> Any:
    return build_template(function, code_hash)["Resources"]


def properties_of(function: ProjectFunction, name: str = "Function") -> Any:
    return resources_of(function)[name]["Properties"]


def statements_in(content: object) -> Iterator[Mapping[str, Any]]:
    """Every IAM statement of a template."""
    if isinstance(content, Mapping):
        if "Effect" in content:
            yield content
        for value in content.values():
            yield from statements_in(value)
    elif isinstance(content, list):
        for value in content:
            yield from statements_in(value)


def actions_in(content: object) -> list[str]:
    """Every IAM action of a template."""
    found = [statement["Action"] for statement in statements_in(content)]
    return [action for each in found for action in ([each] if isinstance(each, str) else each)]


@pytest.mark.parametrize("build", [build_template, build_sam_template])
@pytest.mark.parametrize("function", ALL.values(), ids=ALL.keys())
def test_no_right_has_an_action_with_a_wildcard(function: ProjectFunction, build: Any) -> None:
    actions = actions_in(build(function))

    assert len(actions) > 2
    assert not [action for action in actions if "*" in action]


def test_only_actions_without_resources_are_allowed_on_all_resources() -> None:
    wide = {
        action
        for function in ALL.values()
        for statement in statements_in(build_template(function))
        if statement.get("Resource") == "*"
        for action in statement["Action"]
    }

    assert wide == {
        *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
        *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
    }


def test_a_plain_function_may_write_its_log_and_nothing_else() -> None:
    (statement,) = properties_of(make(), "FunctionRole")["Policies"][0]["PolicyDocument"][
        "Statement"
    ]

    assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert statement["Resource"] == {"Fn::GetAtt": ["LogGroup", "Arn"]}


def test_a_function_may_use_a_subnet_that_another_account_shares() -> None:
    (statement,) = [
        each
        for each in statements_in(build_template(ALL["vpc with own groups"]))
        if "ec2:CreateNetworkInterface" in each["Action"]
    ]

    assert statement["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:ec2:${AWS::Region}:*:*/*"}


def test_a_managed_python_starts_okibi_as_its_wrapper() -> None:
    properties = properties_of(make(python="3.14", environment={"LEVEL": "info"}))

    assert properties["Runtime"] == "python3.14"
    assert properties["Environment"]["Variables"] == {
        "LEVEL": "info",
        "AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap",
    }


def test_the_wrapper_of_a_layer_takes_the_place_of_the_package_s() -> None:
    own = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/okibi-bootstrap"}

    assert properties_of(make(environment=own))["Environment"]["Variables"] == own


@pytest.mark.parametrize("name", ["provided", "image", "customer-managed runtime"])
def test_other_runtimes_need_no_wrapper(name: str) -> None:
    assert "Environment" not in properties_of(ALL[name])


def test_a_right_of_the_users_may_name_the_account() -> None:
    policy = PolicySettings(("sns:Publish",), ("arn:aws:sns:*:${AWS::AccountId}:t",))

    (*_, statement) = properties_of(make(policies=(policy,)), "FunctionRole")["Policies"][0][
        "PolicyDocument"
    ]["Statement"]

    assert statement["Resource"] == [{"Fn::Sub": "arn:aws:sns:*:${AWS::AccountId}:t"}]


@pytest.mark.parametrize("name", ["snapstart", "managed instances", "alias"])
def test_triggers_invoke_the_alias_where_a_version_serves(name: str) -> None:
    function = attrs.evolve(ALL[name], url=UrlSettings(), routes=("$default",))

    resources = resources_of(function)

    assert resources["FunctionUrl"]["Properties"]["Qualifier"] == "live"
    integration = resources["HttpApiIntegration"]["Properties"]
    assert integration["IntegrationUri"] == {"Ref": "FunctionAlias"}


def version_of(function: ProjectFunction, code_hash: str = "a") -> str:
    """The logical id of a function's version."""
    (name,) = [name for name in resources_of(function, code_hash) if name.startswith("Version")]
    return str(name)


def test_another_package_or_setting_publishes_another_version() -> None:
    function = make(alias=AliasSettings())

    first = version_of(function)
    assert version_of(function) == first
    assert version_of(function, "b") != first
    assert version_of(attrs.evolve(function, memory=256)) != first


def test_a_replaced_table_or_capacity_provider_publishes_another_version() -> None:
    table = make(alias=AliasSettings(), table=TableSettings(KeySettings("id")))
    busy = ALL["managed instances"]
    assert busy.vpc is not None

    moved = attrs.evolve(busy, vpc=attrs.evolve(busy.vpc, subnets=("subnet-1",)))
    assert version_of(moved) != version_of(busy)
    replaced = attrs.evolve(table, table=TableSettings(KeySettings("id", "N")))
    assert version_of(replaced) != version_of(table)
    # Lambda publishes no second version of what has not changed.
    kept = attrs.evolve(table, table=TableSettings(KeySettings("id"), ttl="expires"))
    assert version_of(kept) == version_of(table)


def test_a_version_goes_when_the_alias_has_moved() -> None:
    for name in ("alias", "snapstart", "managed instances"):
        version = resources_of(ALL[name], "a")[version_of(ALL[name])]
        assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_a_removed_route_leaves_the_others_as_they_were() -> None:
    routes = ("GET /a", "GET /b", "$default")

    before, after = resources_of(make(routes=routes)), resources_of(make(routes=routes[1:]))

    removed = before.keys() - after.keys()
    assert [before[name]["Properties"]["RouteKey"] for name in removed] == ["GET /a"]
    assert {name: before[name] for name in after} == after


@pytest.mark.parametrize(
    ("name", "kind"), [("routes for tokens", "JWT"), ("routes for iam", "AWS_IAM")]
)
def test_an_authorizer_stands_before_each_route_but_options(name: str, kind: str) -> None:
    resources = resources_of(ALL[name])
    routes = {
        each["Properties"]["RouteKey"]: each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::ApiGatewayV2::Route"
    }

    kinds = {key: each.get("AuthorizationType") for key, each in routes.items()}

    assert kinds == {key: None if key.startswith("OPTIONS") else kind for key in routes}
    assert ("HttpApiAuthorizer" in resources) == (kind == "JWT")
    assert (routes["$default"].get("AuthorizerId") is not None) == (kind == "JWT")


def test_a_queue_hides_a_message_for_six_time_outs() -> None:
    function = attrs.evolve(ALL["queue"], timeout=30)

    assert properties_of(function, "Queue")["VisibilityTimeout"] == 180
    mapping = properties_of(function, "QueueMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_alarm_on_deadlines_watches_what_the_filter_counts() -> None:
    resources = resources_of(ALL["alarms"])

    metric = resources["DeadlineMetric"]["Properties"]
    assert metric["LogGroupName"] == {"Ref": "LogGroup"}
    alarm = resources["DeadlineAlarm"]["Properties"]
    (transformation,) = metric["MetricTransformations"]
    assert alarm["MetricName"] == transformation["MetricName"]
    assert alarm["Namespace"] == transformation["MetricNamespace"]


def test_a_table_stays_when_its_stack_is_removed() -> None:
    table = resources_of(ALL["table"])["Table"]

    # Not the empty one of a stack that could not be created.
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("function", ALL.values(), ids=ALL.keys())
def test_a_template_fits_into_a_request(function: ProjectFunction) -> None:
    assert len(json.dumps(build_template(function))) < 25_000


def test_yaml_and_json_have_the_same_content() -> None:
    import yaml

    content = build_template(ALL["everything"])

    text = write_template(content, as_json=False)
    assert yaml.safe_load(text) == json.loads(write_template(content, as_json=True))
    assert "&id" not in text
