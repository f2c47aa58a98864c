"""REST APIs: payload format 1.0. The rules are those observed on API Gateway."""

import json
from typing import Any

import pytest

from okibi.local.dev.dev_function import Route
from okibi.local.dev.http.incoming_request import IncomingRequest
from okibi.local.dev.http.outgoing_response import MalformedResult, OutgoingResponse
from okibi.local.dev.http.rest_api import rest_api
from okibi.local.dev.http.route_table import RouteMatch

ROUTE = Route("ANY", "/{proxy+}", "rest-api", stage="live")
MATCH = RouteMatch("visits", ROUTE, {"proxy": "a%20b"})
REQUEST = IncomingRequest(
    "POST",
    "/a%20b",
    "n=1&n=2&q=x%2Fy+z",
    [
        ("host", "localhost:9000"),
        ("user-agent", "curl/8"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("x-api-key", "1"),
        ("x-many", "1"),
        ("x-many", "2"),
    ],
    b"{}",
    source_ip="127.0.0.2",
    received_at=1_600_000_000.5,
    request_id="2b1c8e0e-9b3f-4f7a-8b68-0a8e3c1d2e3f",
    trace_id="Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0;Sampled=0",
)


def respond(result: object, *binary: str, accept: str = "") -> OutgoingResponse:
    request = IncomingRequest("GET", "/", headers=[("accept", accept)])
    return rest_api(binary).make_response(json.dumps(result).encode(), request)


def send(*binary: str, **changes: Any) -> dict[str, Any]:
    fields = {"method": "POST", "raw_path": "/", **changes}
    return rest_api(binary).make_event(IncomingRequest(**fields), MATCH)


def test_a_rest_api_sends_each_field_as_aws_does() -> None:
    headers = {
        "Host": "localhost:9000",
        "User-Agent": "curl/8",
        "Content-Type": "application/json",
        "x-api-key": "1",
        "x-many": "2",
        "X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "X-Forwarded-For": "127.0.0.2",
        "X-Forwarded-Port": "9000",
        "X-Forwarded-Proto": "http",
    }
    event = rest_api().make_event(REQUEST, MATCH)
    context = event.pop("requestContext")

    assert event == {
        "resource": "/{proxy+}",
        "path": "/a%20b",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {
            **{name: [value] for name, value in headers.items()},
            "x-many": ["1", "2"],
        },
        "queryStringParameters": {"n": "2", "q": "x/y z"},
        "multiValueQueryStringParameters": {"n": ["1", "2"], "q": ["x/y z"]},
        "pathParameters": {"proxy": "a%20b"},
        "stageVariables": None,
        "body": "{}",
        "isBase64Encoded": False,
    }
    assert context["identity"]["sourceIp"] == "127.0.0.2"
    assert context["requestId"] == REQUEST.request_id
    assert context["requestTimeEpoch"] == 1_600_000_000_500
    assert context["resourcePath"] == "/{proxy+}"
    assert (context["path"], context["stage"]) == ("/a%20b", "live")


def test_absent_parts_of_a_rest_request_are_null() -> None:
    event = rest_api().make_event(
        IncomingRequest("GET", "/"), RouteMatch("visits", Route("GET", "/", "rest-api"))
    )

    assert {
        name: event[name]
        for name in (
            "queryStringParameters",
            "multiValueQueryStringParameters",
            "pathParameters",
            "stageVariables",
            "body",
        )
    } == dict.fromkeys(
        (
            "queryStringParameters",
            "multiValueQueryStringParameters",
            "pathParameters",
            "stageVariables",
            "body",
        )
    )


@pytest.mark.parametrize(
    ("binary", "content_type", "body"),
    [
        ((), "image/png", "\ufffd"),
        (("image/png",), "image/png", "/w=="),
        (("image/*",), "image/png; q=1", "/w=="),
        (("*/*",), "", "/w=="),
        (("image~1png",), "image/png", "/w=="),
        (("image/png",), "image/jpeg", "\ufffd"),
    ],
)
def test_only_a_binary_media_type_is_sent_in_base64(
    binary: tuple[str, ...], content_type: str, body: str
) -> None:
    headers = [("content-type", content_type)]
    event = send(*binary, headers=headers, body=b"\xff")
    remark = rest_api(binary).remark_on(IncomingRequest("POST", "/", "", headers, b"\xff"))

    assert ("damaged" in remark) is (body == "\ufffd")
    assert (event["body"], event["isBase64Encoded"]) == (body, body == "/w==")


@pytest.mark.parametrize(
    ("result", "headers"),
    [
        ({"statusCode": 200}, []),
        ({}, []),
        ({"headers": {"test-header": "value"}}, [("test-header", "value")]),
        ({"statusCode": 200, "headers": {"a": True}}, [("a", "true")]),
        ({"statusCode": 200, "headers": None}, []),
        (
            {"statusCode": 200, "multiValueHeaders": {"a": ["1", "2"]}, "headers": {"a": "3"}},
            [("a", "1"), ("a", "2"), ("a", "3")],
        ),
    ],
)
def test_a_valid_result_is_accepted(result: object, headers: list[tuple[str, str]]) -> None:
    expected = [("content-type", "application/json"), *headers]

    assert respond(result) == OutgoingResponse(200, expected)


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ("justAString", "the response must be an object, got a string"),
        (None, "the response must be an object, got null"),
        ({"statusCode": 200, "wrongValue": "value"}, "'wrongValue' is no field"),
        ({"statusCode": 200, "cookies": ["a=b"]}, "'cookies' is no field"),
        ({"statusCode": "test"}, "statusCode must be an integer"),
        ({"statusCode": 200, "body": {"a": 1}}, "body must be a string, got an object"),
        ({"multiValueHeaders": {"a": "b"}}, "multiValueHeaders: 'a' must be a list, got a string"),
        ({"headers": {"a": 5}}, "headers: 'a' must be a string, got a number"),
    ],
)
def test_a_malformed_result_is_refused(result: object, complaint: str) -> None:
    with pytest.raises(MalformedResult, match=complaint):
        respond(result)


def test_a_status_may_be_a_string_of_digits() -> None:
    assert respond({"statusCode": "201"}).status == 201


@pytest.mark.parametrize(
    ("binary", "accept", "decoded"),
    [
        ((), "image/png", False),
        (("image/png",), "image/png", True),
        (("image/png",), "image/png, */*", True),
        (("image/png",), "image/jpg", False),
        (("image/png",), "image/*", False),
        (("image/png",), "*/*", False),
        (("*/*",), "", True),
    ],
)
def test_a_base64_body_is_decoded_for_a_binary_accept(
    binary: tuple[str, ...], accept: str, decoded: bool
) -> None:
    response = respond({"body": "AAE=", "isBase64Encoded": True}, *binary, accept=accept)

    assert response.body == (b"\x00\x01" if decoded else b"AAE=")
    assert bool(response.remark) is not decoded
