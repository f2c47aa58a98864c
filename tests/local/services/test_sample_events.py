"""Sample events of AWS services, and the changes that they take."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from okibi.local import Invocation
from okibi.local.platform.invocation import check_headers
from okibi.local.services import sample_events
from okibi.local.services.sample_events import SAMPLES, SampleError, describe_samples, sample_event
from okibi.runtime.adapters.http_request import read_request

# Names that a reader may take for real: only samples, and the documentation's addresses.
DOMAINS = re.compile(
    r"[\w.-]+\.(?:com|org|net|aws|invalid)\b",
)


def changed(name: str, **changes: Any) -> dict[str, Any]:
    return sample_event(name, **changes)


def leaves(value: Any) -> list[str]:
    """All texts in an event."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in leaves(item)]
    if isinstance(value, list):
        return [text for item in value for text in leaves(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_json_and_plainly_a_sample(name: str) -> None:
    event = changed(name)

    assert json.loads(json.dumps(event)) == event
    check_headers(Invocation(json.dumps(event).encode(), 3.0))
    for text in leaves(event):
        for domain in DOMAINS.findall(text):
            assert re.search(r"amazonaws\.com|on\.aws|example|sample", domain), text


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_a_new_value_each_time(name: str) -> None:
    changed(name).clear()

    assert changed(name)


FILES = {path.stem: path for path in Path(sample_events.__file__).parent.glob("*.json")}
REQUESTS = ["http-api", "http-api-1.0", "rest-api", "function-url", "alb", "alb-multi-value"]


def test_all_events_but_requests_are_files() -> None:
    assert {*FILES} == {*SAMPLES} - {*REQUESTS}


@pytest.mark.parametrize("name", sorted({*FILES} - {"cloudwatch-logs"}))
def test_an_event_without_changes_is_its_file(name: str) -> None:
    assert changed(name) == json.loads(FILES[name].read_text())


# -- the body


def records_of(name: str, event: dict[str, Any]) -> list[Any]:
    """The records of an event."""
    match name:
        case "kafka" | "kafka-self-managed":
            return list(event["records"]["sample-topic-0"])
        case "activemq":
            return list(event["messages"])
        case "rabbitmq":
            return list(event["rmqMessagesByQueue"]["sample-queue::/"])
        case "cloudwatch-logs":
            return list(unpacked(event)["logEvents"])
        case "firehose":
            return list(event["records"])
        case _:
            return list(event["Records"])


def unpacked(event: dict[str, Any]) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def content_of(record: dict[str, Any]) -> str:
    """The content of a record of a queue, a stream or a topic."""
    match record:
        case {"body": str(body)}:
            return body
        case {"kinesis": {"data": str(data)}} | {"data": str(data)} | {"value": str(data)}:
            return decoded(data)
        case _:
            return str(record["message"])


def body_of(name: str, event: dict[str, Any]) -> Any:
    """The content of the first record of an event."""
    match name:
        case "sns":
            return event["Records"][0]["Sns"]["Message"]
        case _ if "body" in event:
            return event["body"]
        case _:
            return content_of(records_of(name, event)[0])


BATCHES = [
    *("sqs", "sqs-fifo", "kinesis", "kafka", "kafka-self-managed", "activemq", "rabbitmq"),
    *("firehose", "cloudwatch-logs"),
]
TEXT_BODIES = [*BATCHES, "sns", "websocket-message"]


@pytest.mark.parametrize("name", [*TEXT_BODIES, *REQUESTS])
def test_a_body_may_be_text_or_a_value_of_json(name: str) -> None:
    assert body_of(name, changed(name, body="hello")) == "hello"
    assert body_of(name, changed(name, body={"a": 1})) == '{"a": 1}'


@pytest.mark.parametrize("name", TEXT_BODIES)
def test_the_content_of_a_sample_makes_the_sample(name: str) -> None:
    assert changed(name, body=body_of(name, changed(name))) == changed(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("eventbridge", "detail"),
        ("appsync", "arguments"),
        ("lambda-destination", "requestPayload"),
    ],
)
def test_a_body_may_be_the_event_s_own_object(name: str, path: str) -> None:
    assert changed(name, body={"a": 1})[path] == {"a": 1}
    assert changed(name, body='{"a": 1}')[path] == {"a": 1}
    with pytest.raises(SampleError, match="body: must be a JSON object, as in"):
        changed(name, body="hello")


def test_an_item_of_dynamodb_gets_its_types() -> None:
    item = {"id": "1", "n": 1.5, "on": True, "none": None, "list": ["a"], "map": {"b": 2}}

    record = changed("dynamodb", body=item)["Records"][0]["dynamodb"]

    assert record["Keys"] == {"id": {"S": "1"}}
    assert record["NewImage"] == {
        "id": {"S": "1"},
        "n": {"N": "1.5"},
        "on": {"BOOL": True},
        "none": {"NULL": True},
        "list": {"L": [{"S": "a"}]},
        "map": {"M": {"b": {"N": "2"}}},
    }


def test_the_item_of_a_sample_makes_the_sample() -> None:
    assert changed("dynamodb", body={"id": "1", "name": "Ada", "visits": 3}) == changed("dynamodb")


def test_a_changed_item_has_its_old_image_under_the_same_key() -> None:
    (record,) = changed("dynamodb-modify", body={"id": "7", "visits": 4})["Records"]

    assert record["eventName"] == "MODIFY"
    assert record["dynamodb"]["Keys"] == {"id": {"S": "7"}}
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "7"}, "visits": {"N": "4"}}
    assert record["dynamodb"]["OldImage"] == {
        "id": {"S": "7"}, "name": {"S": "Ada"}, "visits": {"N": "2"}
    }  # fmt: skip


def test_a_removed_item_has_its_old_image_alone() -> None:
    (record,) = changed("dynamodb-remove", body={"id": "7"})["Records"]

    assert record["eventName"] == "REMOVE"
    assert record["dynamodb"]["OldImage"] == {"id": {"S": "7"}}
    assert "NewImage" not in record["dynamodb"]


def test_a_message_of_rabbitmq_has_the_size_of_its_body() -> None:
    (message,) = records_of("rabbitmq", changed("rabbitmq", body="héllo"))

    assert message["basicProperties"]["bodySize"] == 6


@pytest.mark.parametrize("name", ["sqs", "sqs-fifo"])
def test_a_message_has_the_checksum_of_its_body(name: str) -> None:
    record = changed(name, body="hello")["Records"][0]

    assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"


def test_a_key_of_s3_is_encoded_as_s3_does() -> None:
    def key(path: str) -> str:
        name: str = changed("s3", path=path)["Records"][0]["s3"]["object"]["key"]
        return name

    assert key("/photos/a cat+dog.jpg") == "photos/a+cat%2Bdog.jpg"


# -- the number of records


@pytest.mark.parametrize("name", [name for name, item in SAMPLES.items() if "count" in item.takes])
def test_a_batch_has_records_with_ids_of_their_own(name: str) -> None:
    records = records_of(name, changed(name, count=3))

    assert len({json.dumps(record) for record in records}) == 3


@pytest.mark.parametrize("name", BATCHES)
def test_each_record_of_a_batch_may_have_a_body_of_its_own(name: str) -> None:
    records = records_of(name, changed(name, bodies=["a", {"b": 1}, b"c"]))

    assert [content_of(record) for record in records] == ["a", '{"b": 1}', "c"]


def test_each_record_of_a_stream_may_be_an_item_of_its_own() -> None:
    records = changed("dynamodb", bodies=[{"id": "1"}, {"id": "2"}])["Records"]

    keys = [record["dynamodb"]["Keys"]["id"]["S"] for record in records]
    assert keys == ["1", "2"]
    assert len({record["dynamodb"]["SequenceNumber"] for record in records}) == 2


@pytest.mark.parametrize(
    ("name", "field", "path"),
    [
        ("sqs-fifo", "group", ("attributes", "MessageGroupId")),
        ("kinesis", "key", ("kinesis", "partitionKey")),
        ("kafka", "key", ("key",)),
        ("kafka-self-managed", "key", ("key",)),
    ],
)
def test_records_share_a_key_or_have_one_each(name: str, field: str, path: Sequence[str]) -> None:
    def keys(**changes: Any) -> list[str]:
        records = records_of(name, changed(name, **changes))
        found = [reduce(getitem, path, record) for record in records]
        return [decoded(key) for key in found] if name.startswith("kafka") else found

    assert keys(**{field: "a"}, count=2) == ["a", "a"]
    assert keys(**{field: ["a", "b"]}) == ["a", "b"]
    assert keys(**{field: ["a", "b"]}, bodies=["1", "2"]) == ["a", "b"]


# -- requests


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_takes_path_method_headers_and_query(name: str) -> None:
    event = changed(
        name,
        path="/x",
        method="put",
        headers={"X-Key": "v"},
        query={"a": "1", "b": ["2", "3"]},
        body='{"a": 1}',
    )

    request = read_request(event)
    headers = dict(request.headers)
    assert (request.path, request.method) == ("/x", "PUT")
    assert (headers["x-key"], headers["content-type"]) == ("v", "application/json")
    # A load balancer without multi-value headers sends the last value.
    assert request.query == ("a=1&b=3" if name == "alb" else "a=1&b=2&b=3")


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_with_a_body_is_a_post(name: str) -> None:
    def method(**changes: Any) -> str:
        event = changed(name, **changes)
        http = event["requestContext"].get("http", {"method": event.get("httpMethod")})
        return str(http["method"])

    assert method() == "GET"
    assert method(body="x") == "POST"


def test_a_path_may_have_a_query() -> None:
    assert changed("http-api", path="/x?a=1", query={"b": "2"})["rawQueryString"] == "a=1&b=2"


@pytest.mark.parametrize("name", ["http-api", "rest-api"])
def test_a_route_gives_path_parameters(name: str) -> None:
    event = changed(name, path="/visits/Ada", route="/visits/{name}")

    assert event["pathParameters"] == {"name": "Ada"}
    assert (event.get("routeKey") or event["resource"]).endswith("/visits/{name}")


# -- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "sqss"}, "no sample event is called 'sqss'; did you mean 'sqs'?"),
        ({"name": "?"}, "no sample event is called '?'; okibi event lists them"),
        ({"name": "sqs", "path": "/x"}, "path: an event 'sqs' has none; it takes body and count"),
        ({"name": "ses", "body": "x"}, "body: an event 'ses' has none; it takes no changes"),
        ({"name": "sqs", "count": 0}, "count: must be an integer from 1 to 10,000, got 0"),
        ({"name": "sqs-fifo", "count": 11}, "count: must be an integer from 1 to 10, got 11"),
        ({"name": "sqs-fifo", "bodies": ["x"] * 11}, "count: must be an integer from 1 to 10,"),
        ({"name": "sqs", "body": b"\xff"}, "body: must be text in UTF-8 ("),
        ({"name": "sqs", "body": "x", "bodies": ["x"]}, "bodies: give body or bodies, not both"),
        ({"name": "sns", "bodies": ["x", "y"]}, "bodies: an event 'sns' has no records; give one"),
        ({"name": "sqs", "group": "a"}, "group: an event 'sqs' has none; it takes body and count"),
        ({"name": "kinesis", "key": ["a", "b"], "count": 3}, "key: 2 values for 3 records; give"),
        ({"name": "kinesis", "key": ["a", "b"], "bodies": "xyz"}, "key: 2 values for 3 records"),
        ({"name": "http-api", "method": "GO"}, "method must be one of ANY, "),
        ({"name": "http-api", "path": "x"}, "path must begin with '/'"),
        ({"name": "http-api", "route": "/x"}, "route: /x does not take the path /visits/Ada"),
    ],
)
def test_an_error_names_the_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SampleError) as refused:
        sample_event(**arguments)

    assert message in str(refused.value)


def test_each_sample_has_a_line_that_fits_a_terminal() -> None:
    lines = describe_samples()

    assert len(lines) == len(SAMPLES)
    assert max(map(len, lines)) <= 80
    assert "sqs " in lines[len(REQUESTS)]
