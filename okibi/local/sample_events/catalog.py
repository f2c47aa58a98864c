"""The sample events by name."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from . import messages, requests, services, streams, websockets
from .sample import Changes, Event, SampleError, SampleEvent

__all__ = ["SAMPLES", "SampleError", "describe_samples", "sample_event"]

Texts: TypeAlias = Mapping[str, str | Sequence[str]]
"""Names, and the value or values of each."""

NO_TEXTS: Texts = MappingProxyType({})

MOST_RECORDS = 10_000
"""Records in an event at most (Lambda: batch size)."""

BATCH = ("body", "count")
URL = ("path", "method", "headers", "query", "body")
REQUEST = (*URL, "route")

_SAMPLES = (
    SampleEvent(
        "http-api", "a request to an HTTP API of API Gateway", requests.http_api_event, REQUEST
    ),
    SampleEvent(
        "rest-api", "a request to a REST API of API Gateway", requests.rest_api_event, REQUEST
    ),
    SampleEvent("function-url", "a request to a function URL", requests.function_url_event, URL),
    SampleEvent("alb", "a request to a load balancer", requests.alb_event, URL),
    SampleEvent("sqs", "messages of an SQS queue", messages.sqs, BATCH),
    SampleEvent("sns", "a message of an SNS topic", messages.sns, ("body",)),
    SampleEvent("s3", "an object stored in a bucket", services.s3, ("path", "count")),
    SampleEvent("dynamodb", "a new item, from a DynamoDB stream", streams.dynamodb, BATCH),
    SampleEvent("kinesis", "records of a Kinesis stream", streams.kinesis, BATCH),
    SampleEvent("kafka", "records of a Kafka topic (MSK)", streams.kafka, BATCH),
    SampleEvent("firehose", "records that Firehose wants transformed", streams.firehose, BATCH),
    SampleEvent("cloudwatch-logs", "lines of a log group", streams.cloudwatch_logs, BATCH),
    SampleEvent("eventbridge", "an event of an event bus", messages.eventbridge, ("body",)),
    SampleEvent("schedule", "the event of a scheduled rule", messages.schedule),
    SampleEvent("ses", "a received e-mail", messages.ses),
    SampleEvent(
        "websocket-connect",
        "a new connection of a WebSocket API",
        websockets.websocket_connect,
        ("headers", "query"),
    ),
    SampleEvent(
        "websocket-message",
        "a message of a WebSocket API",
        websockets.websocket_message,
        ("body",),
    ),
    SampleEvent(
        "websocket-disconnect",
        "a closed connection of a WebSocket API",
        websockets.websocket_disconnect,
    ),
    SampleEvent("appsync", "a field of a GraphQL API", services.appsync, ("body",)),
    SampleEvent("cognito-pre-sign-up", "a user signs up", services.cognito_pre_sign_up),
    SampleEvent(
        "cognito-post-confirmation",
        "a user's address is confirmed",
        services.cognito_post_confirmation,
    ),
    SampleEvent(
        "cognito-pre-token",
        "a user gets a token (version 2)",
        services.cognito_pre_token_generation,
    ),
    SampleEvent(
        "cognito-custom-message",
        "a user gets a message with a code",
        services.cognito_custom_message,
    ),
    SampleEvent(
        "lambda-destination", "the record of a failed event", services.lambda_destination, ("body",)
    ),
    SampleEvent(
        "cloudformation", "a custom resource of a stack", services.cloudformation, ("body",)
    ),
    SampleEvent("secrets-rotation", "a secret's rotation", services.secrets_rotation),
)

SAMPLES: Mapping[str, SampleEvent] = {sample.name: sample for sample in _SAMPLES}
"""The samples by name, in the order of a list."""


def sample_event(
    name: str,
    *,
    body: Any = None,
    path: str = "",
    method: str = "",
    headers: Texts = NO_TEXTS,
    query: Texts = NO_TEXTS,
    route: str = "",
    count: int = 1,
) -> Event:
    """Make a sample event of an AWS service.

    Args:
        name: a name in SAMPLES, such as "sqs".
        body: the content: a message, a request's body, an item. Text and bytes are used as they
            are, everything else as JSON.
        path: the path of a request, or the key of an S3 object.
        method: the method of a request, such as "POST".
        headers: headers of a request, added to the sample's. A value may be a list.
        query: query parameters of a request. A value may be a list.
        route: the route of a request, such as `/visits/{name}`: the event gets its path parameters
            from it. Default: a route of the path itself.
        count: the number of records, such as messages of a queue.

    Raises:
        SampleError: there is no sample of that name, or a value does not fit it. The message names
            the argument and what to write.

    Example:
        >>> sample_event("sqs", body="hello")["Records"][0]["body"]
        'hello'
    """
    sample = SAMPLES.get(name)
    if sample is None:
        raise SampleError(_unknown(name))
    text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
    changes = Changes(text, path, method.upper(), _pairs(headers), _pairs(query), route, count)
    _check_changes(sample, changes)
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


def _pairs(values: Texts) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, given in values.items()
        for value in ((given,) if isinstance(given, str) else given)
    )


def _check_changes(sample: SampleEvent, changes: Changes) -> None:
    for field in attrs.fields(Changes):
        if getattr(changes, field.name) != field.default and field.name not in sample.takes:
            takes = " and ".join(sample.takes) if sample.takes else "no changes"
            raise SampleError(f"{field.name}: an event {sample.name!r} has none; it takes {takes}")
    if not 1 <= changes.count <= MOST_RECORDS:
        raise SampleError(
            f"count: must be an integer from 1 to {MOST_RECORDS:,}, got {changes.count}"
        )
