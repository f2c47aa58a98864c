"""The sample events by name.

A new sample event is a JSON file in this folder and an entry of `_SAMPLES`. The comment of an entry
names AWS's documentation of the event.
"""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeAlias

from . import content
from .content import SampleError
from .http_samples import REQUEST_SAMPLES, RequestSample
from .sample import Changes, SampleEvent

# Names, and the value or values of each.
Texts: TypeAlias = Mapping[str, str | Sequence[str]]

NO_TEXTS: Texts = MappingProxyType({})

_SAMPLES: Sequence[SampleEvent | RequestSample] = (
    *REQUEST_SAMPLES,
    # Lambda: using Lambda with Amazon SQS.
    SampleEvent(
        "sqs",
        "messages of an SQS queue",
        {"body": {"Records.0.body": content.as_text, "Records.0.md5OfBody": content.as_md5}},
        records="Records",
        numbered=("messageId", "receiptHandle"),
    ),
    # Lambda: using Lambda with Amazon SQS. A batch of a FIFO queue has at most 10 messages.
    SampleEvent(
        "sqs-fifo",
        "messages of an SQS FIFO queue",
        {
            "body": {"Records.0.body": content.as_text, "Records.0.md5OfBody": content.as_md5},
            "group": {"Records.0.attributes.MessageGroupId": content.as_given},
        },
        records="Records",
        most_records=10,
        numbered=(
            *("messageId", "receiptHandle"),
            *("attributes.SequenceNumber", "attributes.MessageDeduplicationId"),
        ),
    ),
    # Lambda: using Lambda with Amazon SNS. An event of a topic has always one record.
    SampleEvent(
        "sns",
        "a message of an SNS topic",
        {"body": {"Records.0.Sns.Message": content.as_text}},
    ),
    # S3: event message structure.
    SampleEvent(
        "s3",
        "an object stored in a bucket",
        {"path": {"Records.0.s3.object.key": content.as_key}},
        records="Records",
        numbered=("s3.object.sequencer",),
    ),
    # Lambda: using Lambda with DynamoDB. The body is the new item as plain JSON; the first of its
    # fields is the key.
    SampleEvent(
        "dynamodb",
        "a new item, from a DynamoDB stream",
        {
            "body": {
                "Records.0.dynamodb.Keys": content.as_item_key,
                "Records.0.dynamodb.NewImage": content.as_item,
                "Records.0.dynamodb.SizeBytes": content.as_item_size,
            }
        },
        records="Records",
        numbered=("eventID", "dynamodb.SequenceNumber"),
    ),
    # The body is the new item. The old one is the sample's, under the same key.
    SampleEvent(
        "dynamodb-modify",
        "a changed item, from a DynamoDB stream",
        {
            "body": {
                "Records.0.dynamodb.Keys": content.as_item_key,
                "Records.0.dynamodb.NewImage": content.as_item,
                "Records.0.dynamodb.OldImage": content.as_old_item,
                "Records.0.dynamodb.SizeBytes": content.as_item_size,
            }
        },
        records="Records",
        numbered=("eventID", "dynamodb.SequenceNumber"),
    ),
    # The body is the item that was removed.
    SampleEvent(
        "dynamodb-remove",
        "a removed item, from a DynamoDB stream",
        {
            "body": {
                "Records.0.dynamodb.Keys": content.as_item_key,
                "Records.0.dynamodb.OldImage": content.as_item,
                "Records.0.dynamodb.SizeBytes": content.as_item_size,
            }
        },
        records="Records",
        numbered=("eventID", "dynamodb.SequenceNumber"),
    ),
    # Lambda: using Lambda with Kinesis.
    SampleEvent(
        "kinesis",
        "records of a Kinesis stream",
        {
            "body": {"Records.0.kinesis.data": content.as_base64},
            "key": {"Records.0.kinesis.partitionKey": content.as_given},
        },
        records="Records",
        numbered=("kinesis.sequenceNumber", "eventID"),
    ),
    # Lambda: using Lambda with Amazon MSK.
    SampleEvent(
        "kafka",
        "records of a Kafka topic (MSK)",
        {
            "body": {"records.sample-topic-0.0.value": content.as_base64},
            "key": {"records.sample-topic-0.0.key": content.as_base64},
        },
        records="records.sample-topic-0",
        numbered=("offset",),
    ),
    # Lambda: using Lambda with self-managed Apache Kafka.
    SampleEvent(
        "kafka-self-managed",
        "records of a Kafka topic (self-managed)",
        {
            "body": {"records.sample-topic-0.0.value": content.as_base64},
            "key": {"records.sample-topic-0.0.key": content.as_base64},
        },
        records="records.sample-topic-0",
        numbered=("offset",),
    ),
    # Lambda: using Lambda with Amazon MQ. AWS's pages name the source of ActiveMQ `aws:amq`, some
    # `aws:mq`.
    SampleEvent(
        "activemq",
        "messages of a queue of ActiveMQ (Amazon MQ)",
        {"body": {"messages.0.data": content.as_base64}},
        records="messages",
        numbered=("messageID",),
    ),
    SampleEvent(
        "rabbitmq",
        "messages of a queue of RabbitMQ (Amazon MQ)",
        {
            "body": {
                "rmqMessagesByQueue.sample-queue::/.0.data": content.as_base64,
                "rmqMessagesByQueue.sample-queue::/.0.basicProperties.bodySize": content.as_size,
            }
        },
        records="rmqMessagesByQueue.sample-queue::/",
        numbered=("basicProperties.messageId",),
    ),
    # Firehose: data transformation.
    SampleEvent(
        "firehose",
        "records that Firehose wants transformed",
        {"body": {"records.0.data": content.as_base64}},
        records="records",
        numbered=("recordId",),
    ),
    # CloudWatch Logs: subscription filters. The body is the text of each log line.
    SampleEvent(
        "cloudwatch-logs",
        "lines of a log group",
        {"body": {"awslogs.data.logEvents.0.message": content.as_text}},
        records="awslogs.data.logEvents",
        numbered=("id",),
        packed="awslogs.data",
    ),
    # EventBridge: event structure.
    SampleEvent("eventbridge", "an event of an event bus", {"body": {"detail": content.as_object}}),
    # EventBridge: scheduled events.
    SampleEvent("schedule", "the event of a scheduled rule"),
    # SES: Lambda function action. Lambda does not get the body of the e-mail.
    SampleEvent("ses", "a received e-mail"),
    # API Gateway: WebSocket APIs, `$connect`.
    SampleEvent(
        "websocket-connect",
        "a new connection of a WebSocket API",
        {
            "headers": {
                "headers": content.add_headers,
                "multiValueHeaders": content.add_header_lists,
            },
            "query": {
                "queryStringParameters": content.as_last_values,
                "multiValueQueryStringParameters": content.as_value_lists,
            },
        },
    ),
    # API Gateway: WebSocket APIs, `$default`.
    SampleEvent(
        "websocket-message", "a message of a WebSocket API", {"body": {"body": content.as_text}}
    ),
    # API Gateway: WebSocket APIs, `$disconnect`.
    SampleEvent("websocket-disconnect", "a closed connection of a WebSocket API"),
    # AppSync: direct Lambda resolvers. The body is the field's arguments.
    SampleEvent("appsync", "a field of a GraphQL API", {"body": {"arguments": content.as_object}}),
    # Cognito: Lambda triggers of user pools.
    SampleEvent("cognito-pre-sign-up", "a user signs up"),
    SampleEvent("cognito-post-confirmation", "a user's address is confirmed"),
    SampleEvent("cognito-pre-token", "a user gets a token (version 2)"),
    SampleEvent("cognito-custom-message", "a user gets a message with a code"),
    # Lambda: on-failure destinations. The body is the event of the failed invocation.
    SampleEvent(
        "lambda-destination",
        "the record of a failed event",
        {"body": {"requestPayload": content.as_object}},
    ),
    # CloudFormation: custom resource requests. The body is the resource's properties. The sample's
    # ResponseURL leads nowhere: a handler that answers harms nothing.
    SampleEvent(
        "cloudformation",
        "a custom resource of a stack",
        {"body": {"ResourceProperties": content.as_properties}},
    ),
    # Secrets Manager: rotation function.
    SampleEvent("secrets-rotation", "a secret's rotation"),
)

# The samples by name, in the order of a list.
SAMPLES: Mapping[str, SampleEvent | RequestSample] = {sample.name: sample for sample in _SAMPLES}


def sample_event(
    name: str,
    *,
    body: Any = None,
    bodies: Sequence[Any] = (),
    path: str = "",
    method: str = "",
    headers: Texts = NO_TEXTS,
    query: Texts = NO_TEXTS,
    route: str = "",
    key: str | Sequence[str] = "",
    group: str | Sequence[str] = "",
    count: int = 1,
) -> dict[str, Any]:
    """Make a sample event of an AWS service.

    Args:
        name: a name in SAMPLES, such as "sqs".
        body: the content: a message, a request's body, an item. Text and bytes are used as they
            are, everything else as JSON.
        bodies: the contents of several records, in place of `body`.
        path: the path of a request, or the key of an S3 object.
        method: the method of a request, such as "POST".
        headers: headers of a request, added to the sample's. A value may be a list.
        query: query parameters of a request. A value may be a list.
        route: the route of a request, such as `/visits/{name}`: the event gets its path parameters
            from it. Default: a route of the path itself.
        key: the partition key of a record of Kinesis or Kafka. A list has one for each record.
        group: the message group of a message of a FIFO queue. A list has one for each message.
        count: the number of records, such as messages of a queue. Default: 1, or as many as there
            are bodies, keys or groups.

    Raises:
        SampleError: there is no sample of that name, or a value does not fit it. The message names
            the argument and what to write.

    Example:
        >>> sample_event("sqs", body="hello")["Records"][0]["body"]
        'hello'
        >>> event = sample_event("sqs-fifo", bodies=["a", "b"], group=["red", "blue"])
        >>> [record["attributes"]["MessageGroupId"] for record in event["Records"]]
        ['red', 'blue']
    """
    sample = SAMPLES.get(name)
    if sample is None:
        raise SampleError(_unknown(name))
    if bodies and body is not None:
        raise SampleError("bodies: give body or bodies, not both")
    if bodies and "count" not in sample.takes:
        raise SampleError(f"bodies: an event {name!r} has no records; give one body")
    given = tuple(bodies) or (() if body is None else (body,))
    lists = {"bodies": given, "key": _listed(key), "group": _listed(group)}
    records = max(count, *map(len, lists.values()))
    changes = Changes(
        tuple(each if isinstance(each, (str, bytes)) else json.dumps(each) for each in given),
        path, method.upper(), _pairs(headers), _pairs(query), route,
        lists["key"], lists["group"], records,
    )  # fmt: skip
    for field in changes.given():
        if field not in sample.takes:
            takes = " and ".join(sample.takes) or "no changes"
            raise SampleError(f"{field}: an event {name!r} has none; it takes {takes}")
    limit = sample.most_records if isinstance(sample, SampleEvent) else 1
    if count < 1 or records > limit:
        got = count if count < 1 else records
        raise SampleError(f"count: must be an integer from 1 to {limit:,}, got {got}")
    for field, values in lists.items():
        if len(values) not in (0, 1, records):
            raise SampleError(
                f"{field}: {len(values)} values for {records} records; give one, or one for each"
            )
    return sample.build(changes)


def describe_samples() -> list[str]:
    """Return one line for each sample: its name and what it is."""
    width = max(map(len, SAMPLES))
    return [f"{sample.name:{width}}  {sample.description}" for sample in _SAMPLES]


def _unknown(name: str) -> str:
    close = get_close_matches(name, SAMPLES, 1)
    if close:
        return f"no sample event is called {name!r}; did you mean {close[0]!r}?"
    return f"no sample event is called {name!r}; okibi event lists them"


def _listed(values: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(filter(None, [values])) if isinstance(values, str) else tuple(values)


def _pairs(values: Texts) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, given in values.items()
        for value in ((given,) if isinstance(given, str) else given)
    )
