"""boto3's own client, against the server of `okibi dev`."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from okibi.dev.dev_function import Cors, FunctionUrl
from tests.support.dev_server import dev_function
from tests.support.dev_server_thread import serve_in_thread

boto3 = pytest.importorskip("boto3")
Config = pytest.importorskip("botocore.config").Config

REGION = "us-east-1"
ARN = f"arn:aws:lambda:{REGION}:012345678912:function:greet"
MB = 1024 * 1024

FUNCTIONS = [
    dev_function("greet", environment={"TOKEN": "secret"}, description="Says hello"),
    dev_function("short", timeout=0.2, memory=256, reserved_concurrency=7, url=None),
    dev_function("closed", reserved_concurrency=0),
    dev_function(
        "streams", url=FunctionUrl(streaming=True, cors=Cors(allow_origins=["*"], max_age=5))
    ),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_in_thread(FUNCTIONS) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    made = boto3.client(
        "lambda",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    yield made
    made.close()


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()


# -- operations that run functions


def test_invoke_returns_the_response_and_the_log(client: Any) -> None:
    answer = client.invoke(
        FunctionName=ARN,
        Qualifier="live",
        LogType="Tail",
        TenantId="blue",
        ClientContext=base64.b64encode(b'{"custom":{"a":"b"}}').decode(),
        Payload=event(do="headers"),
    )

    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    with answer["Payload"] as body:
        told = json.loads(body.read())
    assert told["id"] == answer["ResponseMetadata"]["RequestId"]
    headers = told["event"]["headers"]
    assert headers["lambda-runtime-invoked-function-arn"] == f"{ARN}:live"
    assert headers["lambda-runtime-client-context"] == '{"custom":{"a":"b"}}'
    assert headers["lambda-runtime-aws-tenant-id"] == "blue"
    *_, report = base64.b64decode(answer["LogResult"]).decode().splitlines()
    assert report.startswith(f"REPORT RequestId: {told['id']}")


def test_the_largest_event_arrives_and_its_error_is_a_function_error(client: Any) -> None:
    largest = event(do="raise", text="arrived", pad="")
    largest = largest.replace(b'""', b'"%b"' % (b"x" * (6 * MB - len(largest))))
    answer = client.invoke(FunctionName="greet", Payload=largest)

    assert answer["FunctionError"] == "Unhandled"
    with answer["Payload"] as body:
        assert json.loads(body.read())["errorMessage"] == "arrived"


def test_events_are_queued(client: Any) -> None:
    queued = client.invoke(FunctionName="greet", InvocationType="Event", Payload=event(a=1))
    later = client.invoke_async(FunctionName="greet", InvokeArgs=event(a=1))

    assert (queued["StatusCode"], queued["Payload"].read(), later["Status"]) == (202, b"", 202)


def test_a_stream_arrives_in_frames_and_ends_with_its_error(client: Any) -> None:
    answer = client.invoke_with_response_stream(
        FunctionName="streams:live", Payload=event(do="stream", pieces=3, size=4, fail=True)
    )

    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    *chunks, end = answer["EventStream"]
    answer["EventStream"].close()
    assert b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks) == b"x" * 12
    assert end["InvokeComplete"] == {"ErrorCode": "Function.Broke", "ErrorDetails": '{"a":1}'}


def test_a_dry_run_runs_nothing(client: Any) -> None:
    answer = client.invoke_with_response_stream(FunctionName="closed", InvocationType="DryRun")

    assert answer["StatusCode"] == 204
    answer["EventStream"].close()


def test_a_throttled_call_says_why_and_when_to_retry(client: Any) -> None:
    for call in (client.invoke, client.invoke_with_response_stream):
        with pytest.raises(client.exceptions.TooManyRequestsException) as raised:
            call(FunctionName="closed")

        answer = raised.value.response
        assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert int(answer["retryAfterSeconds"]) > 0


def test_an_unknown_function_is_not_found(client: Any) -> None:
    calls = [client.invoke, client.invoke_with_response_stream, client.get_function]
    for call in [*calls, client.get_function_configuration, client.list_versions_by_function]:
        with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"{ARN}er"):
            call(FunctionName="greeter")


def test_an_operation_that_is_not_implemented_says_so(client: Any) -> None:
    with pytest.raises(client.exceptions.ClientError, match="okibi dev does not implement DELETE"):
        client.delete_function(FunctionName="greet")


# -- operations that describe functions


def test_list_functions_comes_in_pages(client: Any) -> None:
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3})

    assert [[each["FunctionName"] for each in page["Functions"]] for page in pages] == [
        ["closed", "greet", "short"],
        ["streams"],
    ]


def test_an_unknown_marker_is_an_invalid_parameter(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="Marker"):
        client.list_functions(Marker="nowhere")


def test_get_function_describes_the_function(client: Any) -> None:
    answer = client.get_function(FunctionName=ARN)

    described = answer["Configuration"]
    assert described["FunctionArn"] == ARN
    assert described["Handler"] == "app.handler"
    assert (described["Timeout"], described["MemorySize"]) == (3, 128)
    assert described["Description"] == "Says hello"
    assert (described["State"], described["LastUpdateStatus"]) == ("Active", "Successful")
    assert answer["Code"]["Location"].startswith("file://")
    assert "Concurrency" not in answer


def test_get_function_has_the_reserved_concurrency(client: Any) -> None:
    answer = client.get_function(FunctionName="short")

    assert answer["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    assert (
        client.get_function_concurrency(FunctionName="short")["ReservedConcurrentExecutions"] == 7
    )


def test_values_of_environment_variables_are_hidden(client: Any) -> None:
    configuration = client.get_function_configuration(FunctionName="greet", Qualifier="live")

    assert configuration["Environment"]["Variables"] == {"TOKEN": "***"}
    assert configuration["FunctionArn"] == f"{ARN}:live"


WAITERS = [
    "function_active",
    "function_active_v2",
    "function_exists",
    "function_updated",
    "function_updated_v2",
    "published_version_active",
]


def test_every_waiter_ends_at_once(client: Any) -> None:
    assert sorted(client.waiter_names) == WAITERS
    for name in WAITERS:
        client.get_waiter(name).wait(FunctionName="greet", WaiterConfig={"MaxAttempts": 1})


def test_a_function_has_one_version_and_no_alias(client: Any) -> None:
    versions = client.list_versions_by_function(FunctionName="greet")["Versions"]

    assert [each["FunctionArn"] for each in versions] == [f"{ARN}:$LATEST"]
    assert client.list_aliases(FunctionName="greet")["Aliases"] == []
    assert client.list_tags(Resource=ARN)["Tags"] == {}


def test_the_function_url_is_that_of_the_server(client: Any, url: str) -> None:
    answer = client.get_function_url_config(FunctionName="streams")

    assert answer["FunctionUrl"] == f"{url}/lambda-url/streams/"
    assert (answer["AuthType"], answer["InvokeMode"]) == ("NONE", "RESPONSE_STREAM")
    assert (answer["Cors"]["AllowOrigins"], answer["Cors"]["MaxAge"]) == (["*"], 5)
    assert client.get_function_url_config(FunctionName="greet")["InvokeMode"] == "BUFFERED"


def test_a_function_without_url_has_no_url_config(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="no function URL"):
        client.get_function_url_config(FunctionName="short")


def test_account_settings_have_the_concurrency_of_a_new_account(client: Any) -> None:
    answer = client.get_account_settings()

    assert answer["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert answer["AccountUsage"]["FunctionCount"] == 4
