"""The template's rules that no linter knows."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from okibi.actors import logs
from okibi.cli.write_template import write_template
from okibi.deployment.template.sam import build_template
from okibi.project.settings import (
    AlarmSettings,
    PolicySettings,
    ProjectFunction,
    QueueSettings,
    ScheduleSettings,
)
from okibi.runtime.errors.error_response import LATE_ANSWERS
from tests.deployment.template.features import (
    CLUSTER,
    FUNCTIONS,
    NEWER_THAN_THE_TOOLS,
    SECRET,
    STREAM,
    TABLE_STREAM,
    make,
)

ALL = {**FUNCTIONS, **NEWER_THAN_THE_TOOLS}


def resources_of(function: ProjectFunction) -> Any:
    return build_template(function)["Resources"]


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


@pytest.mark.parametrize("function", ALL.values(), ids=ALL.keys())
def test_no_right_has_an_action_with_a_wildcard(function: ProjectFunction) -> None:
    actions = actions_in(build_template(function))

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
        *("ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"),
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
    function = attrs.evolve(
        ALL[name],
        routes=("$default",),
        queue=QueueSettings(),
        stream=ALL["kinesis stream"].stream,
        kafka=ALL["msk topic"].kafka,
        schedule=ScheduleSettings("rate(1 day)"),
    )

    resources = resources_of(function)

    alias = {"Ref": "Function.Alias"}
    assert resources["HttpApiIntegration"]["Properties"]["IntegrationUri"] == alias
    mappings = [
        each["Properties"]["FunctionName"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    assert mappings == [alias] * 3
    assert resources["Schedule"]["Properties"]["Target"]["Arn"] == alias
    assert properties_of(function)["AutoPublishAlias"] == "live"


def test_a_version_goes_when_the_alias_has_moved() -> None:
    for name in ("alias", "snapstart", "managed instances"):
        assert properties_of(ALL[name])["VersionDeletionPolicy"] == "Delete"


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


# -- batches

BATCHES = {
    "queue": "DeadLetterQueue",
    "fifo queue": "DeadLetterQueue",
    "kinesis stream": "StreamDeadLetterQueue",
    "stream of a table": "StreamDeadLetterQueue",
    "msk topic": "KafkaDeadLetterQueue",
    "msk topic with secret": "KafkaDeadLetterQueue",
    "self-managed topic": "KafkaDeadLetterQueue",
    "self-managed topic in vpc": "KafkaDeadLetterQueue",
    "self-managed topic in vpc with new group": "KafkaDeadLetterQueue",
}
"""Sources of batches, and the dead-letter queue of each."""


def mapping_of(function: ProjectFunction) -> Any:
    (mapping,) = [
        each["Properties"]
        for each in resources_of(function).values()
        if each["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    return mapping


@pytest.mark.parametrize("name", BATCHES)
def test_each_source_of_batches_takes_partial_failures(name: str) -> None:
    assert mapping_of(ALL[name])["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize(("name", "dead_letters"), BATCHES.items())
def test_each_source_of_batches_has_a_dead_letter_queue(name: str, dead_letters: str) -> None:
    template: Any = build_template(attrs.evolve(ALL[name], alarms=AlarmSettings()))
    resources = template["Resources"]
    target = {"Fn::GetAtt": [dead_letters, "Arn"]}

    if dead_letters == "DeadLetterQueue":
        queue = resources["Queue"]["Properties"]
        assert queue["RedrivePolicy"] == {"deadLetterTargetArn": target, "maxReceiveCount": 5}
        fifo = resources[dead_letters]["Properties"].get("FifoQueue")
        assert fifo == queue.get("FifoQueue") == (True if name == "fifo queue" else None)
    else:
        mapping = mapping_of(ALL[name])
        assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": target}}
        (send,) = [each for each in statements_in(template) if "sqs:SendMessage" in each["Action"]]
        assert send["Resource"] == target
    alarm = resources[f"{dead_letters.removesuffix('Queue')}Alarm"]["Properties"]
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": [dead_letters, "QueueName"]}}
    ]
    assert template["Outputs"][f"{dead_letters}Url"]["Value"] == {"Ref": dead_letters}


@pytest.mark.parametrize("name", [name for name in BATCHES if "queue" not in name])
def test_a_record_that_always_fails_does_not_block_its_stream(name: str) -> None:
    mapping = mapping_of(ALL[name])

    assert mapping["MaximumRetryAttempts"] == 10
    assert mapping["MaximumRecordAgeInSeconds"] == 604_800
    assert mapping["BisectBatchOnFunctionError"] is True


@pytest.mark.parametrize("name", [name for name in BATCHES if "topic" in name])
def test_a_topic_is_read_in_provisioned_mode(name: str) -> None:
    assert mapping_of(ALL[name])["ProvisionedPollerConfig"] == {"MinimumPollers": 1}


@pytest.mark.parametrize(
    ("name", "actions", "resource"),
    [
        ("kinesis stream", "kinesis:GetRecords", STREAM),
        ("stream of a table", "dynamodb:GetRecords", TABLE_STREAM),
        ("stream of a table", "dynamodb:ListStreams", f"{TABLE_STREAM.rpartition('/')[0]}/*"),
        ("msk topic", "kafka:GetBootstrapBrokers", CLUSTER),
        (
            "msk topic",
            "kafka-cluster:ReadData",
            f"{CLUSTER.replace(':cluster/', ':topic/')}/orders",
        ),
        ("msk topic", "kafka-cluster:AlterGroup", f"{CLUSTER.replace(':cluster/', ':group/')}/*"),
        ("msk topic with secret", "secretsmanager:GetSecretValue", SECRET),
        ("self-managed topic", "secretsmanager:GetSecretValue", SECRET),
    ],
)
def test_the_role_may_read_its_source_and_no_other(name: str, actions: str, resource: str) -> None:
    (statement,) = [
        each for each in statements_in(build_template(ALL[name])) if actions in each["Action"]
    ]

    assert statement["Resource"] == resource


def test_a_topic_with_a_secret_needs_no_right_in_the_cluster() -> None:
    actions = actions_in(build_template(ALL["msk topic with secret"]))

    assert not [action for action in actions if action.startswith("kafka-cluster:")]


def test_lambda_reaches_a_cluster_by_the_function_s_vpc() -> None:
    access = mapping_of(ALL["self-managed topic in vpc"])["SourceAccessConfigurations"]

    assert access == [
        {"Type": "VPC_SUBNET", "URI": "subnet:subnet-0123456789abcdef0"},
        {"Type": "VPC_SUBNET", "URI": "subnet:subnet-0123456789abcdef1"},
        {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-0123456789abcdef0"},
    ]
    assert "ec2:DescribeVpcs" in actions_in(build_template(ALL["self-managed topic in vpc"]))


def test_the_alarm_on_deadlines_watches_what_the_filter_counts() -> None:
    resources = resources_of(ALL["alarms"])

    metric = resources["DeadlineMetric"]["Properties"]
    assert metric["LogGroupName"] == {"Ref": "LogGroup"}
    alarm = resources["DeadlineAlarm"]["Properties"]
    (transformation,) = metric["MetricTransformations"]
    assert alarm["MetricName"] == transformation["MetricName"]
    assert alarm["Namespace"] == transformation["MetricNamespace"]


def test_with_metrics_alarms_watch_what_the_runtime_counts() -> None:
    resources = resources_of(ALL["alarms on metrics"])

    assert "DeadlineMetric" not in resources
    own = {
        name: each["Properties"]["MetricName"]
        for name, each in resources.items()
        if each["Properties"].get("Namespace") == "shop/tree"
    }
    assert own == {
        "DeadlineAlarm": LATE_ANSWERS, "RestartAlarm": logs.RESTARTS, "GiveUpAlarm": logs.GIVE_UPS,
    }  # fmt: skip
    for name in own:
        # As EmbeddedMetrics writes it.
        (dimension,) = resources[name]["Properties"]["Dimensions"]
        assert dimension == {"Name": "FunctionName", "Value": {"Ref": "Function"}}
    preference = resources["Function"]["Properties"]["DeploymentPreference"]
    assert {"Ref": "GiveUpAlarm"} in preference["Alarms"]


def test_a_table_stays_when_its_stack_is_removed() -> None:
    table = resources_of(ALL["table"])["Table"]

    # Not the empty one of a stack that could not be created.
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize(
    ("name", "value", "table"),
    [
        ("entities", {"Ref": "EntityTable"}, {"Fn::GetAtt": ["EntityTable", "Arn"]}),
        (
            "entities of another function",
            "shop-EntityTable-1A2B3C",
            {
                "Fn::Sub": "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}"
                ":table/shop-EntityTable-1A2B3C"
            },
        ),
    ],
)
def test_a_function_with_entities_has_their_table_and_no_other(
    name: str, value: object, table: object
) -> None:
    resources = resources_of(ALL[name])

    assert properties_of(ALL[name])["Environment"]["Variables"]["OKIBI_ENTITIES"] == value
    assert ("EntityTable" in resources) == isinstance(value, dict)
    (statement,) = [
        each
        for each in statements_in(resources["FunctionRole"])
        if "dynamodb:UpdateItem" in each["Action"]
    ]
    assert statement["Resource"] == table


def test_an_alarm_may_invoke_its_function_and_no_other() -> None:
    resources = resources_of(ALL["entities"])
    trust, invoke = statements_in(resources["EntityAlarmRole"])
    own = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}"

    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"] == {"StringEquals": account}
    assert invoke["Resource"] == [{"Fn::Sub": own}, {"Fn::Sub": f"{own}:*"}]
    # The function itself rings for mail that waits.
    assert invoke in [*statements_in(resources["FunctionRole"])]


def test_a_function_makes_alarms_of_its_group_with_the_role_of_alarms() -> None:
    statements = {
        each["Action"][0]: each
        for each in statements_in(resources_of(ALL["entities"])["FunctionRole"])
    }
    variables = properties_of(ALL["entities"])["Environment"]["Variables"]

    assert statements["scheduler:CreateSchedule"]["Resource"]["Fn::Sub"].endswith(
        ":schedule/${EntityAlarms}/*"
    )
    assert variables["OKIBI_ENTITIES_GROUP"] == {"Ref": "EntityAlarms"}
    role = {"Fn::GetAtt": ["EntityAlarmRole", "Arn"]}
    assert statements["iam:PassRole"]["Resource"] == variables["OKIBI_ENTITIES_ROLE"] == role
    only_to = {"iam:PassedToService": "scheduler.amazonaws.com"}
    assert statements["iam:PassRole"]["Condition"] == {"StringEquals": only_to}


@pytest.mark.parametrize("function", ALL.values(), ids=ALL.keys())
def test_a_template_fits_into_a_request(function: ProjectFunction) -> None:
    assert len(json.dumps(build_template(function))) < 25_000


def test_yaml_and_json_have_the_same_content() -> None:
    import yaml

    content = build_template(ALL["everything"])

    text = write_template(content, as_json=False)
    assert yaml.safe_load(text) == json.loads(write_template(content, as_json=True))
    assert "&id" not in text
