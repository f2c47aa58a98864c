"""Payload format 2.0: the events of function URLs and HTTP APIs, and what their results become."""

import base64
import json
from typing import Any

import pytest

from okibi.local.dev.dev_function import Route
from okibi.local.dev.http.function_url import (
    FUNCTION_URL,
    PreludeReader,
    stream_without_prelude,
)
from okibi.local.dev.http.http_api import HTTP_API
from okibi.local.dev.http.incoming_request import IncomingRequest
from okibi.local.dev.http.outgoing_response import MalformedResult, OutgoingResponse
from okibi.local.dev.http.route_table import RouteMatch

URL = RouteMatch("visits", Route("ANY", "/{proxy+}"))
VISIT = RouteMatch("visits", Route("GET", "/visits/{name}"), {"name": "bob"})

REQUEST = IncomingRequest(
    "GET",
    "/visits/bob",
    "a=1&a=2&b=x%2Fy+z&c=",
    [
        ("host", "localhost:9000"),
        ("user-agent", "curl/8"),
        ("x-many", "1"),
        ("x-many", "2"),
        ("cookie", "a=b; c=d"),
        ("connection", "keep-alive"),
    ],
    source_ip="127.0.0.2",
    port=9000,
    received_at=1_600_000_000.5,
    request_id="2b1c8e0e-9b3f-4f7a-8b68-0a8e3c1d2e3f",
    trace_id="Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0;Sampled=0",
)


def url_event(**changes: Any) -> dict[str, Any]:
    fields = {"method": "GET", "raw_path": "/", **changes}
    return FUNCTION_URL.make_event(IncomingRequest(**fields), URL)


def api_event(**changes: Any) -> dict[str, Any]:
    fields = {"method": "GET", "raw_path": "/", **changes}
    return HTTP_API.make_event(IncomingRequest(**fields), VISIT)


def url_response(result: object) -> OutgoingResponse:
    return FUNCTION_URL.make_response(json.dumps(result).encode(), REQUEST)


def api_response(result: object) -> OutgoingResponse:
    return HTTP_API.make_response(json.dumps(result).encode(), REQUEST)


# -- events


def test_a_function_url_sends_each_field_as_aws_does() -> None:
    assert FUNCTION_URL.make_event(REQUEST, URL) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/visits/bob",
        "rawQueryString": "a=1&a=2&b=x%2Fy+z&c=",
        "cookies": ["a=b", "c=d"],
        "headers": {
            "host": "localhost:9000",
            "user-agent": "curl/8",
            "x-many": "1,2",
            "cookie": "a=b; c=d",
            "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
            "x-forwarded-for": "127.0.0.2",
            "x-forwarded-port": "9000",
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {"a": "1,2", "b": "x/y z", "c": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "visits",
            "domainName": "localhost:9000",
            "domainPrefix": "visits",
            "http": {
                "method": "GET",
                "path": "/visits/bob",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.2",
                "userAgent": "curl/8",
            },
            "requestId": "2b1c8e0e-9b3f-4f7a-8b68-0a8e3c1d2e3f",
            "routeKey": "$default",
            "stage": "$default",
            "time": "13/Sep/2020:12:26:40 +0000",
            "timeEpoch": 1_600_000_000_500,
        },
        "isBase64Encoded": False,
    }


def test_an_http_api_sends_each_field_as_aws_does() -> None:
    event = HTTP_API.make_event(REQUEST, VISIT)

    assert (event["routeKey"], event["pathParameters"]) == ("GET /visits/{name}", {"name": "bob"})
    assert event["cookies"] == ["a=b", "c=d"]
    assert "cookie" not in event["headers"]
    context = event["requestContext"]
    assert (context["accountId"], context["apiId"]) == ("012345678912", "local")
    assert context["routeKey"] == "GET /visits/{name}"
    assert len(context["requestId"]) == len("LV7fzho-PHcEJPw=")


def test_absent_parts_of_a_request_have_no_field() -> None:
    absent = {"cookies", "queryStringParameters", "pathParameters", "stageVariables", "body"}

    assert absent.isdisjoint(url_event())
    assert absent - {"pathParameters"} == absent - {"pathParameters"} - set(api_event())


@pytest.mark.parametrize(
    ("sent", "url", "api"),
    [
        ("/a%20b", "/a%20b", "/a b"),
        ("/a%2Fb", "/a%2Fb", "/a/b"),
        ("/a+b", "/a+b", "/a+b"),
        ("/%C3%A9", "/%C3%A9", "/é"),
        ("/a%25b", "/a%25b", "/a%b"),
        ("/a//b/", "/a//b/", "/a//b/"),
    ],
)
def test_an_http_api_decodes_the_path_and_a_function_url_does_not(
    sent: str, url: str, api: str
) -> None:
    assert url_event(raw_path=sent)["rawPath"] == url
    assert api_event(raw_path=sent)["rawPath"] == api


@pytest.mark.parametrize(
    ("content_type", "encoded"),
    [
        ("application/json", False),
        ("application/json; charset=utf-8", False),
        ("Application/JSON", False),
        ("application/xml", False),
        ("application/javascript", False),
        ("text/plain", False),
        ("text/csv; charset=utf-8", False),
        ("application/x-www-form-urlencoded", True),
        ("multipart/form-data; boundary=x", True),
        ("application/octet-stream", True),
        ("image/png", True),
        ("", True),
    ],
)
def test_the_media_type_decides_whether_a_body_is_in_base64(
    content_type: str, encoded: bool
) -> None:
    headers = [("content-type", content_type)] if content_type else []
    event = url_event(method="POST", headers=headers, body=b"a=1")

    assert event["isBase64Encoded"] is encoded
    assert event["body"] == (base64.b64encode(b"a=1").decode() if encoded else "a=1")


def test_text_that_is_not_utf_8_is_sent_in_base64() -> None:
    event = url_event(method="POST", headers=[("content-type", "text/plain")], body=b"\xff")

    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)


def test_an_earlier_proxy_stays_in_x_forwarded_for() -> None:
    event = url_event(headers=[("x-forwarded-for", "10.0.0.1")], source_ip="127.0.0.1")

    assert event["headers"]["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"


# -- results


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ({"hello": "world"}, b'{"hello":"world"}'),
        (["hello", 3, True], b'["hello",3,true]'),
        ("hello", b"hello"),
        ("", b""),
        (3, b"3"),
        (3.1, b"3.1"),
        (True, b"true"),
        (None, b"null"),
    ],
)
def test_a_result_without_status_is_the_body_of_a_json_answer(result: object, body: bytes) -> None:
    expected = OutgoingResponse(200, (("content-type", "application/json"),), body)

    assert url_response(result) == api_response(result) == expected


def test_a_response_carries_status_headers_cookies_and_body() -> None:
    response = url_response(
        {
            "statusCode": 201,
            "headers": {"X-One": "1", "x-number": 5, "x-flag": True, "x-none": None},
            "cookies": ["a=b; HttpOnly", "c=d"],
            "body": "é",
        }
    )

    assert response.status == 201
    assert list(response.headers) == [
        ("content-type", "application/json"),
        ("X-One", "1"),
        ("x-number", "5"),
        ("x-flag", "true"),
        ("set-cookie", "a=b; HttpOnly"),
        ("set-cookie", "c=d"),
    ]
    assert response.body == "é".encode()


def test_the_default_media_type_differs_between_url_and_api() -> None:
    assert dict(url_response({"statusCode": 200}).headers) == {"content-type": "application/json"}
    assert dict(api_response({"statusCode": 200}).headers) == {
        "content-type": "text/plain; charset=utf-8"
    }
    named = {"statusCode": 200, "headers": {"Content-Type": "text/html"}}
    assert list(url_response(named).headers) == [("Content-Type", "text/html")]


def test_a_base64_body_is_decoded() -> None:
    response = url_response({"statusCode": 200, "body": "AAH/", "isBase64Encoded": True})

    assert response.body == b"\x00\x01\xff"


def test_digits_in_a_string_are_a_status() -> None:
    assert url_response({"statusCode": "418", "body": "teapot"}).status == 418


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"statusCode": "two"}, "statusCode must be an integer from 200 to 599, got 'two'"),
        ({"statusCode": 100}, "statusCode must be"),
        ({"statusCode": True}, "statusCode must be"),
        ({"statusCode": None}, "statusCode must be"),
        ({"body": {"a": 1}}, "body must be a string, got an object; write json.dumps(body)"),
        ({"body": "?", "isBase64Encoded": True}, "isBase64Encoded is true, but body is not Base64"),
        ({"headers": ["a"]}, "headers must be an object, got a list"),
        ({"headers": {"a": ["b"]}}, "headers: 'a' must be a string, got a list"),
        ({"headers": {"a b": "c"}}, "headers: 'a b' is no name of a header"),
        ({"headers": {"a": "b\r\nSet-Cookie: c"}}, "headers: 'a' contains a control character"),
        ({"cookies": "a=b"}, "cookies must be a list, got a string"),
    ],
)
def test_a_malformed_response_is_refused_with_what_is_wrong(
    fields: dict[str, object], complaint: str
) -> None:
    for service in (FUNCTION_URL, HTTP_API):
        with pytest.raises(
            MalformedResult, match=complaint.replace("(", r"\(").replace(")", r"\)")
        ):
            service.make_response(json.dumps({"statusCode": 200, **fields}).encode(), REQUEST)


def test_multi_value_headers_are_ignored_with_a_remark() -> None:
    response = api_response({"statusCode": 200, "multiValueHeaders": {"a": ["b"]}})

    assert "multiValueHeaders is ignored" in response.remark
    assert "a" not in dict(response.headers)


def test_the_front_writes_the_framing_headers_itself() -> None:
    result = {
        "statusCode": 200,
        "headers": {"Content-Length": "99", "Transfer-Encoding": "chunked", "Date": "now"},
    }

    assert dict(api_response(result).headers).keys() == {"content-type"}
    assert dict(url_response(result).headers).keys() == {
        "content-type",
        "x-amzn-remapped-content-length",
        "x-amzn-remapped-date",
    }


def test_a_url_that_buffers_sends_the_prelude_as_body() -> None:
    payload = b'{"statusCode":200}' + b"\0" * 8 + b"hello"
    response = FUNCTION_URL.make_response(payload, REQUEST)

    assert response.body == payload
    assert "streaming = true" in response.remark
    with pytest.raises(MalformedResult, match="the response was streamed"):
        HTTP_API.make_response(payload, REQUEST)


# -- streamed responses


def test_a_whole_result_on_a_streaming_url_has_a_remark() -> None:
    whole = stream_without_prelude("application/json", b'{"statusCode":200}')

    assert (whole.status, whole.body) == (200, b'{"statusCode":200}')
    assert "set streaming = false" in whole.remark
    assert stream_without_prelude("application/json", b'{"a":1}').remark == ""
    assert stream_without_prelude("text/csv", b"a,b").headers == (("content-type", "text/csv"),)


def test_a_prelude_may_come_in_any_pieces() -> None:
    prelude = {"statusCode": 201, "headers": {"content-type": "text/plain"}, "cookies": ["a=b"]}
    stream = json.dumps(prelude).encode() + b"\0" * 8 + b"hello\0world"
    expected = (("content-type", "text/plain"), ("set-cookie", "a=b"))

    for cut in range(len(stream)):
        reader = PreludeReader()
        response = reader.feed(stream[:cut])
        rest = b""
        if response is None:
            response = reader.feed(stream[cut:])
        else:
            rest = stream[cut:]
        assert response is not None
        assert (response.status, tuple(response.headers)) == (201, expected)
        assert response.body + rest == b"hello\0world"


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (b"x" * 16385, "no prelude that ends within 16 KB"),
        (b"{" + b"\0" * 8, "the prelude of the stream is not JSON"),
        (b"[]" + b"\0" * 8, "the prelude of the stream must be an object, got a list"),
        (b'{"statusCode":1}' + b"\0" * 8, "statusCode must be"),
    ],
)
def test_a_bad_prelude_is_refused(stream: bytes, complaint: str) -> None:
    with pytest.raises(MalformedResult, match=complaint):
        PreludeReader().feed(stream)
