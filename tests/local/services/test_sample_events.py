"""Sample events of AWS services, and the changes that they take."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from okibi.local import Invocation
from okibi.local.platform.invocation import check_headers
from okibi.local.services import sample_events
from okibi.local.services.sample_events import SAMPLES, SampleError, describe_samples, sample_event

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
REQUESTS = ["http-api", "rest-api", "function-url", "alb"]


def test_all_events_but_requests_are_files() -> None:
    assert {*FILES} == {*SAMPLES} - {*REQUESTS}


@pytest.mark.parametrize("name", sorted({*FILES} - {"cloudwatch-logs"}))
def test_an_event_without_changes_is_its_file(name: str) -> None:
    assert changed(name) == json.loads(FILES[name].read_text())


# -- the body


def body_of(name: str, event: dict[str, Any]) -> Any:
    """The content of the first record of an event."""
    match name:
        case "sqs":
            return event["Records"][0]["body"]
        case "sns":
            return event["Records"][0]["Sns"]["Message"]
        case "kinesis":
            return base64.b64decode(event["Records"][0]["kinesis"]["data"]).decode()
        case "kafka":
            return base64.b64decode(event["records"]["sample-topic-0"][0]["value"]).decode()
        case "firehose":
            return base64.b64decode(event["records"][0]["data"]).decode()
        case "cloudwatch-logs":
            log = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
            return log["logEvents"][0]["message"]
        case _:
            return event["body"]


TEXT_BODIES = ["sqs", "sns", "kinesis", "kafka", "firehose", "cloudwatch-logs", "websocket-message"]


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


def test_a_message_has_the_checksum_of_its_body() -> None:
    record = changed("sqs", body="hello")["Records"][0]

    assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"


def test_a_key_of_s3_is_encoded_as_s3_does() -> None:
    def key(path: str) -> str:
        name: str = changed("s3", path=path)["Records"][0]["s3"]["object"]["key"]
        return name

    assert key("/photos/a cat+dog.jpg") == "photos/a+cat%2Bdog.jpg"


# -- the number of records


@pytest.mark.parametrize("name", [name for name, item in SAMPLES.items() if "count" in item.takes])
def test_a_batch_has_records_with_ids_of_their_own(name: str) -> None:
    event = changed(name, count=3)

    if name == "cloudwatch-logs":
        event = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    records = event.get("Records") or event.get("records") or event["logEvents"]
    records = records["sample-topic-0"] if isinstance(records, dict) else records
    assert len({json.dumps(record) for record in records}) == 3


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

    http = event["requestContext"].get("http", {"method": event.get("httpMethod")})
    assert (event.get("rawPath") or event["path"], http["method"]) == ("/x", "PUT")
    assert event["headers"]["x-key"] == "v"
    content_type = event["headers"].get("content-type") or event["headers"]["Content-Type"]
    assert content_type == "application/json"
    assert event["queryStringParameters"]["a"] == "1"
    assert event["queryStringParameters"]["b"] in ("2,3", "3")


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
        ({"name": "sqs", "body": b"\xff"}, "body: must be text in UTF-8 ("),
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
    assert "sqs " in lines[4]
