"""The role of a function: each right that the function's settings need, and no other.

No action has a wildcard. A resource is `*` only for actions for which AWS accepts no other.
"""

from ...project.settings import ProjectFunction
from .dead_letters import OF_QUEUE, list_dead_letter_queues
from .entities import list_entity_statements
from .intrinsics import Resource, Resources, get_att, make_role, make_statement, sub
from .kafka_mapping import list_kafka_statements
from .stream_mapping import list_stream_statements

READ_AND_WRITE_ITEMS = (
    *("dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem"),
    *("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"),
    *("dynamodb:Scan", "dynamodb:UpdateItem"),
)
RECEIVE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
CHANGE_INTERFACES = (
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
)
# EC2 accepts no resource for these.
DESCRIBE_INTERFACES = ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets")
TRACE = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")


def build_role(function: ProjectFunction) -> Resources:
    """Build the role that Lambda assumes to run the function."""
    return {"FunctionRole": make_role("lambda", _list_statements(function))}


def _list_statements(function: ProjectFunction) -> list[Resource]:
    # The ARN of a log group ends with `:*`, which covers its streams.
    statements = [
        make_statement(("logs:CreateLogStream", "logs:PutLogEvents"), get_att("LogGroup", "Arn"))
    ]
    if function.queue:
        statements.append(make_statement(RECEIVE, get_att("Queue", "Arn")))
    statements += list_stream_statements(function)
    statements += list_kafka_statements(function)
    # SQS itself moves the messages of a queue to their dead-letter queue; here Lambda does.
    statements += [
        make_statement(("sqs:SendMessage",), get_att(queue, "Arn"))
        for queue in list_dead_letter_queues(function)
        if queue != OF_QUEUE
    ]
    if function.table:
        statements.append(make_statement(READ_AND_WRITE_ITEMS, get_att("Table", "Arn")))
    statements += list_entity_statements(function)
    if function.vpc and not function.capacity_provider:
        # Lambda's documentation: all resource ids. With fewer, Lambda may fail to attach the
        # function to its VPC. A shared subnet belongs to another account.
        interfaces = sub("arn:${AWS::Partition}:ec2:${AWS::Region}:*:*/*")
        statements.append(make_statement(CHANGE_INTERFACES, interfaces))
        statements.append(make_statement(DESCRIBE_INTERFACES, "*"))
    if function.tracing:
        # X-Ray accepts no resource.
        statements.append(make_statement(TRACE, "*"))
    statements += [
        make_statement(policy.actions, [_as_resource(each) for each in policy.resources])
        for policy in function.policies
    ]
    return statements


def _as_resource(text: str) -> object:
    """Let a resource of the user's refer to the account or region: `${AWS::AccountId}`."""
    return sub(text) if "${" in text else text
