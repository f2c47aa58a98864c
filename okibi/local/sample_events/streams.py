"""Events of Kinesis, DynamoDB Streams, Kafka, Firehose and CloudWatch Logs."""

import base64
import gzip
import json
from typing import Any

from .sample import ACCOUNT, REGION, TIME_MS, Changes, Event

__all__ = ["cloudwatch_logs", "dynamodb", "firehose", "kafka", "kinesis"]

ORDER = '{"order": 1}'


def kinesis(changes: Changes) -> Event:
    """Make an event of a Kinesis stream (Lambda: using Lambda with Kinesis)."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "sample-key",
                    "sequenceNumber": _sequence(number),
                    "data": _base64(changes.data(ORDER)),
                    "approximateArrivalTimestamp": TIME_MS / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000000:{_sequence(number)}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/sample-role",
                "awsRegion": REGION,
                "eventSourceARN": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/sample-stream",
            }
            for number in range(1, changes.count + 1)
        ]
    }


def dynamodb(changes: Changes) -> Event:
    """Make an event of a DynamoDB stream (Lambda: using Lambda with DynamoDB).

    The body is the new item as plain JSON; the first of its fields is the key.
    """
    item = changes.mapping({"id": "1", "name": "Ada", "visits": 3})
    image = {name: attribute_value(value) for name, value in item.items()}
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/sample-table"
    return {
        "Records": [
            {
                "eventID": f"{number:032x}",
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": REGION,
                "dynamodb": {
                    "ApproximateCreationDateTime": TIME_MS / 1000,
                    "Keys": dict(list(image.items())[:1]),
                    "NewImage": image,
                    "SequenceNumber": _sequence(number),
                    "SizeBytes": len(json.dumps(item)),
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "eventSourceARN": f"{table}/stream/2026-01-01T00:00:00.000",
            }
            for number in range(1, changes.count + 1)
        ]
    }


def kafka(changes: Changes) -> Event:
    """Make an event of an MSK cluster (Lambda: using Lambda with Amazon MSK)."""
    domain = f"sample.c1.kafka.{REGION}.amazonaws.com:9092"
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/sample-cluster/sample-1",
        "bootstrapServers": f"b-1.{domain},b-2.{domain}",
        "records": {
            "sample-topic-0": [
                {
                    "topic": "sample-topic",
                    "partition": 0,
                    "offset": number - 1,
                    "timestamp": TIME_MS,
                    "timestampType": "CREATE_TIME",
                    "key": _base64(b"sample-key"),
                    "value": _base64(changes.data(ORDER)),
                    "headers": [{"sample-header": list(b"sample value")}],
                }
                for number in range(1, changes.count + 1)
            ]
        },
    }


def firehose(changes: Changes) -> Event:
    """Make an event of a Firehose stream's transformation (Firehose: data transformation)."""
    return {
        "invocationId": "00000000-0000-4000-8000-000000000001",
        "deliveryStreamArn": f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/sample-stream",
        "region": REGION,
        "records": [
            {
                "recordId": f"sample-record-{number}",
                "approximateArrivalTimestamp": TIME_MS,
                "data": _base64(changes.data(ORDER)),
            }
            for number in range(1, changes.count + 1)
        ],
    }


def cloudwatch_logs(changes: Changes) -> Event:
    """Make an event of a log group's subscription (CloudWatch Logs: subscription filters).

    The body is the text of each log line. The log is compressed by gzip, in Base64.
    """
    log = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "/aws/lambda/sample",
        "logStream": "2026/01/01/[$LATEST]sample",
        "subscriptionFilters": ["sample-filter"],
        "logEvents": [
            {
                "id": f"{number:056}",
                "timestamp": TIME_MS,
                "message": changes.text("[ERROR] a sample line"),
            }
            for number in range(1, changes.count + 1)
        ],
    }
    return {"awslogs": {"data": _base64(gzip.compress(json.dumps(log).encode(), mtime=0))}}


def attribute_value(value: Any) -> dict[str, Any]:
    """Return a JSON value with its DynamoDB type (DynamoDB: AttributeValue)."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": json.dumps(value)}
        case str():
            return {"S": value}
        case [*items]:
            return {"L": [attribute_value(item) for item in items]}
        case _:
            return {"M": {name: attribute_value(item) for name, item in value.items()}}


def _sequence(number: int) -> str:
    return f"4950000000000000000000000000000000000000000000000{number:07}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
