"""The table of services beside botocore's models, requests and answers."""

import json
from decimal import Decimal
from typing import Any

import pytest
from botocore.awsrequest import prepare_request_dict  # type: ignore[import-untyped]
from botocore.loaders import create_loader  # type: ignore[import-untyped]
from botocore.model import ServiceModel  # type: ignore[import-untyped]
from botocore.serialize import create_serializer  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]

from okibi.aws.errors import CallFailed
from okibi.aws.services import REST, SERVICES, build_request, find_service, host_of, read_answer

LOADER = create_loader()
REGIONS = ("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1")
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("dynamodb", "GetItem", {"TableName": "a", "Key": {"k": {"S": "ä"}}}),
    ("kms", "Encrypt", {"KeyId": "k", "Plaintext": b"\x00secret"}),
    ("lambda", "Invoke", {"FunctionName": "arn:aws:lambda:eu-west-1:1:function:a", "Qualifier": "1",
                          "InvocationType": "Event", "Payload": b'{"a":1}'}),
    ("scheduler", "CreateSchedule", {"Name": "a.b", "ScheduleExpression": "rate(1 hour)",
                                     "FlexibleTimeWindow": {"Mode": "OFF"},
                                     "Target": {"Arn": "a", "RoleArn": "b"}, "ClientToken": "t"}),
    ("scheduler", "UpdateSchedule", {"Name": "a", "ScheduleExpression": "rate(1 hour)",
                                     "FlexibleTimeWindow": {"Mode": "OFF"},
                                     "Target": {"Arn": "a", "RoleArn": "b"}, "ClientToken": "t"}),
    ("scheduler", "GetSchedule", {"Name": "a", "GroupName": "b c"}),
    ("scheduler", "DeleteSchedule", {"Name": "a", "GroupName": "b", "ClientToken": "x/y"}),
]  # fmt: skip


def model_of(name: str) -> Any:
    return ServiceModel(LOADER.load_service_model(name, "service-2"), name)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_as_in_the_model_of_botocore(name: str) -> None:
    row, model = SERVICES[name], model_of(name)
    is_json = "json" in model.metadata["protocols"]

    assert row.signing_name == model.signing_name
    assert row.variable == model.service_id.replace(" ", "_").upper()
    assert row.target == (model.metadata["targetPrefix"] if is_json else "")
    assert row.version == (model.metadata["jsonVersion"] if is_json else "")


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVICES)
def test_the_host_of_a_service_is_that_of_botocore(name: str) -> None:
    session = Session()
    for region in REGIONS:
        client = session.create_client(
            name, region, aws_access_key_id="a", aws_secret_access_key="b"
        )
        assert client.meta.endpoint_url == f"https://{host_of(SERVICES[name], region)}"


@pytest.mark.parametrize(("name", "operation", "parameters"), CALLS)
def test_a_request_is_that_of_botocore(
    name: str, operation: str, parameters: dict[str, Any]
) -> None:
    model = model_of(name)
    serializer = create_serializer(model.metadata["protocol"], False)
    theirs = serializer.serialize_to_request(parameters, model.operation_model(operation))
    prepare_request_dict(theirs, "https://host")

    ours = build_request(name, operation, parameters)

    assert ours.method == theirs["method"]
    path, _, query = theirs["url"].removeprefix("https://host").partition("?")
    assert (ours.path, sorted(ours.query.split("&"))) == (path, sorted(query.split("&")))
    assert json.loads(ours.body or b"{}") == json.loads(theirs["body"] or b"{}")
    expected = {key.lower(): text for key, text in theirs["headers"].items()}
    expected.pop("user-agent", None)
    assert expected.items() <= {
        "content-type": "application/octet-stream",
        **ours.headers,
    }.items() | {("content-type", expected.get("content-type"))}


def test_each_rest_operation_is_compared() -> None:
    assert {*REST} <= {(name, operation) for name, operation, _ in CALLS}


@pytest.mark.parametrize(
    ("name", "operation", "parameters", "error", "text"),
    [
        ("s3", "GetObject", {}, ValueError, "does not call 's3'; .* boto3: await aws.in_thread"),
        ("lambda", "GetFunction", {}, ValueError, "calls Invoke of 'lambda'; use boto3"),
        ("lambda", "Invoke", {}, ValueError, "lambda Invoke needs the parameter 'FunctionName'"),
        ("lambda", "Invoke", {"FunctionName": "a", "Paylod": 1}, ValueError, "no parameter Paylod"),
        ("lambda", "Invoke", {"FunctionName": "a", "LogType": "a\r\nx:"}, ValueError, "printable"),
        ("dynamodb", "Get Item", {}, ValueError, "'Get Item' is no operation"),
        ("dynamodb", "scan", {}, ValueError, "'scan' is no operation; write it as in 'GetItem'"),
        ("dynamodb", "GetItem", {"a": Decimal(1)}, TypeError, "type Decimal; .* aws.to_item"),
        ("dynamodb", "GetItem", {"a": object()}, TypeError, "a value of type object"),
        ("dynamodb", "GetItem", {"a": float("nan")}, TypeError, "GetItem: a parameter is not JSON"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_refused_before_it_is_sent(
    name: str, operation: str, parameters: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        build_request(name, operation, parameters)


@pytest.mark.parametrize(
    ("given", "body"), [(b"[1]", b"[1]"), ("[1]", b"[1]"), ([1], b"[1]"), ({"a": 1}, b'{"a":1}')]
)
def test_a_payload_that_is_text_or_bytes_is_json_already(given: object, body: bytes) -> None:
    parameters = {"FunctionName": "a", "Payload": given}

    assert build_request("lambda", "Invoke", parameters).body == body


@pytest.mark.parametrize(
    ("headers", "body", "code", "text"),
    [
        ({}, b'{"__type":"a.b#NotFound","message":"no"}', "NotFound", "no"),
        ({}, b'{"__type":"NotFound","Message":"no"}', "NotFound", "no"),
        ({b"x-amzn-errortype": b"NotFound:http://a"}, b'{"message":"no"}', "NotFound", "no"),
        ({}, b"<html>", "NotAnAnswer", "the answer is not JSON: b'<html>'"),
        ({}, b"[]", "NotAnAnswer", "the answer is not JSON: b'[]'"),
    ],
)
def test_a_refusal_has_the_code_of_the_service(
    headers: dict[bytes, bytes], body: bytes, code: str, text: str
) -> None:
    headers = {**headers, b"x-amzn-requestid": b"r-7"}
    with pytest.raises(CallFailed) as caught:
        read_answer("ssm", "GetParameter", 400, headers, body)

    error = caught.value
    assert (error.code, error.message, error.status, error.request_id) == (code, text, 400, "r-7")
    assert str(error) == f"ssm GetParameter: {code}: {text} (HTTP 400, request r-7)"


def test_the_answer_to_invoke_has_the_payload_as_a_value() -> None:
    headers = {b"x-amz-executed-version": b"$LATEST"}

    answer = read_answer("lambda", "Invoke", 200, headers, b'["a"]')

    assert answer == {"StatusCode": 200, "Payload": ["a"], "ExecutedVersion": "$LATEST"}


def test_an_invoked_function_that_raised_is_a_failed_call() -> None:
    body = b'{"errorType":"KeyError","errorMessage":"\'id\'"}'
    with pytest.raises(CallFailed) as caught:
        read_answer("lambda", "Invoke", 200, {b"x-amz-function-error": b"Unhandled"}, body)

    assert (caught.value.code, caught.value.message) == ("KeyError", "'id'")
    assert caught.value.answer["FunctionError"] == "Unhandled"


def test_a_service_is_found_by_the_name_that_boto3_uses() -> None:
    assert find_service("stepfunctions").host == "states"
