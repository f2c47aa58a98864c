"""boto3's own client, against the server of `okibi dev`."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from okibi.local.dev.dev_function import Cors, FunctionUrl
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


def padded(size: int, **fields: object) -> bytes:
    """Return an event of that many bytes."""
    return event(**fields, pad="x" * (size - len(event(**fields, pad=""))))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def payload(answer: Any) -> Any:
    with answer["Payload"] as body:
        return json.loads(body.read())


def log_of(answer: Any) -> list[str]:
    return base64.b64decode(answer["LogResult"]).decode().splitlines()


def runtime_headers(client: Any, **fields: Any) -> dict[str, str]:
    """Invoke; return the headers of the /next that the runtime got."""
    answer = client.invoke(Payload=event(do="headers"), **fields)
    headers: dict[str, str] = payload(answer)["event"]["headers"]
    return headers


# -- Invoke


def test_invoke_returns_the_response(client: Any) -> None:
    answer = client.invoke(FunctionName="greet", Payload=event(name="Ada"))

    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert "LogResult" not in answer
    told = payload(answer)
    assert told["event"] == {"name": "Ada"}
    assert told["id"] == answer["ResponseMetadata"]["RequestId"]


def test_invoke_without_a_payload_sends_an_empty_object(client: Any) -> None:
    assert payload(client.invoke(FunctionName="greet"))["event"] == {}


def test_an_error_of_the_function_is_a_function_error(client: Any) -> None:
    answer = client.invoke(FunctionName="greet", Payload=event(do="raise", text="no"))

    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorMessage"] == "no"


def test_a_time_out_is_a_function_error(client: Any) -> None:
    answer = client.invoke(FunctionName="short", Payload=event(do="sleep", seconds=60))

    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorType"] == "Sandbox.Timedout"


def test_a_response_beyond_6_mb_is_a_function_error(client: Any) -> None:
    answer = client.invoke(FunctionName="greet", Payload=event(do="size", size=6 * MB + 100))

    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_event_of_6_mb_arrives(client: Any) -> None:
    largest = padded(6 * MB, do="raise", text="arrived")

    answer = client.invoke(FunctionName="greet", Payload=largest)

    assert payload(answer)["errorMessage"] == "arrived"


def test_log_type_tail_returns_the_log(client: Any) -> None:
    answer = client.invoke(
        FunctionName="greet", LogType="Tail", Payload=event(do="print", text="mine")
    )

    request_id = answer["ResponseMetadata"]["RequestId"]
    *lines, report = log_of(answer)
    assert lines == [
        f"START RequestId: {request_id} Version: $LATEST",
        "mine",
        f"END RequestId: {request_id}",
    ]
    assert report.startswith(f"REPORT RequestId: {request_id}")


def test_the_client_context_reaches_the_function(client: Any) -> None:
    headers = runtime_headers(
        client, FunctionName="greet", ClientContext=encoded('{"custom":{"a":"b"}}')
    )

    assert headers["lambda-runtime-client-context"] == '{"custom":{"a":"b"}}'


def test_the_tenant_id_reaches_the_function(client: Any) -> None:
    headers = runtime_headers(client, FunctionName="greet", TenantId="blue")

    assert headers["lambda-runtime-aws-tenant-id"] == "blue"


NAMES = {
    "greet": ARN,
    "greet:live": f"{ARN}:live",
    "function:greet": ARN,
    "012345678912:function:greet:$LATEST": f"{ARN}:$LATEST",
    "123456789012:function:greet": ARN.replace("012345678912", "123456789012"),
    ARN: ARN,
    f"{ARN}:live": f"{ARN}:live",
}


def test_a_function_is_found_by_every_form_of_its_name(client: Any) -> None:
    for name, arn in NAMES.items():
        headers = runtime_headers(client, FunctionName=name)

        assert headers["lambda-runtime-invoked-function-arn"] == arn, name


def test_a_qualifier_is_part_of_the_arn_that_the_function_gets(client: Any) -> None:
    headers = runtime_headers(client, FunctionName="greet", Qualifier="live")

    assert headers["lambda-runtime-invoked-function-arn"] == f"{ARN}:live"


def test_a_dry_run_runs_nothing(client: Any) -> None:
    answer = client.invoke(FunctionName="closed", InvocationType="DryRun")

    assert answer["StatusCode"] == 204


def test_an_event_is_queued(client: Any) -> None:
    answer = client.invoke(
        FunctionName="greet", InvocationType="Event", LogType="Tail", Payload=event(a=1)
    )

    assert answer["StatusCode"] == 202
    assert "LogResult" not in answer
    assert answer["Payload"].read() == b""


def test_invoke_async_queues_an_event(client: Any) -> None:
    answer = client.invoke_async(FunctionName="greet", InvokeArgs=event(a=1))

    assert answer["Status"] == 202


# -- InvokeWithResponseStream


def read_stream(answer: Any) -> tuple[bytes, dict[str, str]]:
    """Return the chunks together, and the last frame."""
    *chunks, end = answer["EventStream"]
    answer["EventStream"].close()
    assert all(list(chunk) == ["PayloadChunk"] for chunk in chunks)
    complete: dict[str, str] = end["InvokeComplete"]
    return b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks), complete


def test_a_stream_arrives_in_frames(client: Any) -> None:
    answer = client.invoke_with_response_stream(
        FunctionName="streams:live", Payload=event(do="stream", pieces=3, size=4)
    )

    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert read_stream(answer) == (b"x" * 12, {})


def test_a_buffered_response_arrives_as_a_stream(client: Any) -> None:
    answer = client.invoke_with_response_stream(FunctionName="streams", Payload=event(a=1))

    body, end = read_stream(answer)
    assert (json.loads(body)["event"], end) == ({"a": 1}, {})


def test_the_end_of_a_stream_has_the_log(client: Any) -> None:
    answer = client.invoke_with_response_stream(
        FunctionName="streams", LogType="Tail", Payload=event(do="print", text="mine")
    )

    assert "mine" in log_of(read_stream(answer)[1])


def test_an_error_midway_is_in_the_last_frame(client: Any) -> None:
    answer = client.invoke_with_response_stream(
        FunctionName="streams", Payload=event(do="stream", pieces=2, size=1, fail=True)
    )

    body, end = read_stream(answer)
    assert body == b"xx"
    assert end == {"ErrorCode": "Function.Broke", "ErrorDetails": '{"a":1}'}


def test_an_error_before_a_stream_is_in_the_last_frame(client: Any) -> None:
    answer = client.invoke_with_response_stream(
        FunctionName="streams", Payload=event(do="raise", text="no")
    )

    end = read_stream(answer)[1]
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "no"


def test_a_dry_run_of_a_stream_runs_nothing(client: Any) -> None:
    answer = client.invoke_with_response_stream(FunctionName="closed", InvocationType="DryRun")

    assert answer["StatusCode"] == 204
    answer["EventStream"].close()


# -- errors


def test_an_unknown_function_is_not_found(client: Any) -> None:
    calls = [client.invoke, client.invoke_with_response_stream, client.get_function]
    for call in [*calls, client.get_function_configuration, client.list_versions_by_function]:
        with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"{ARN}er"):
            call(FunctionName="greeter")


def test_an_unknown_version_is_not_found(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"{ARN}:7"):
        client.invoke(FunctionName="greet", Qualifier="7")


def test_two_qualifiers_are_an_invalid_parameter(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.invoke(FunctionName="greet:live", Qualifier="next")


def test_an_event_that_is_not_json_is_invalid_content(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidRequestContentException) as raised:
        client.invoke(FunctionName="greet", Payload=b"{")

    assert raised.value.response["Error"]["Message"].startswith("Could not parse request body")
    assert raised.value.response["Type"] == "User"


def test_a_client_context_that_is_no_object_is_invalid_content(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="greet", ClientContext=encoded("[]"))


def test_an_event_beyond_6_mb_is_too_large(client: Any) -> None:
    for call in (client.invoke, client.invoke_with_response_stream):
        with pytest.raises(client.exceptions.RequestTooLargeException) as raised:
            call(FunctionName="greet", Payload=padded(6 * MB + 1))

        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_an_asynchronous_event_beyond_1_mb_is_too_large(client: Any) -> None:
    with pytest.raises(client.exceptions.RequestTooLargeException, match="limit 1048576 bytes"):
        client.invoke(FunctionName="greet", InvocationType="Event", Payload=padded(MB + 1))


def test_a_throttled_call_says_why_and_when_to_retry(client: Any) -> None:
    for call in (client.invoke, client.invoke_with_response_stream):
        with pytest.raises(client.exceptions.TooManyRequestsException) as raised:
            call(FunctionName="closed")

        answer = raised.value.response
        assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert int(answer["retryAfterSeconds"]) > 0


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
