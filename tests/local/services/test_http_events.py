"""The events of HTTP requests. The rules are documented by AWS or observed on it."""

import base64
from typing import Any

import pytest

from okibi.local.services.http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_http_api_event_1,
    make_load_balancer_event,
    make_rest_api_event,
)

VISIT = ("GET /visits/{name}", {"name": "bob"})

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
    return make_function_url_event(
        IncomingRequest(**{"method": "GET", "raw_path": "/", **changes}), "visits"
    )


def api_event(**changes: Any) -> dict[str, Any]:
    return make_http_api_event(
        IncomingRequest(**{"method": "GET", "raw_path": "/", **changes}), *VISIT
    )


# -- payload format 2.0


def test_a_function_url_sends_each_field_as_aws_does() -> None:
    assert make_function_url_event(REQUEST, "visits") == {
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
    event = make_http_api_event(REQUEST, *VISIT)

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
    # Its other path is decoded, as observed.
    assert url_event(raw_path=sent)["requestContext"]["http"]["path"] == api
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


# -- payload format 1.0

REST_REQUEST = IncomingRequest(
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
    event = make_rest_api_event(REST_REQUEST, "/{proxy+}", {"proxy": "a%20b"}, stage="live")
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
    assert context["requestId"] == REST_REQUEST.request_id
    assert context["requestTimeEpoch"] == 1_600_000_000_500
    assert context["resourcePath"] == "/{proxy+}"
    assert (context["path"], context["stage"]) == ("/a%20b", "live")


def test_an_http_api_with_format_1_decodes_path_and_parameters() -> None:
    event = make_http_api_event_1(REST_REQUEST, "/{proxy+}", {"proxy": "a b"})
    rest = make_rest_api_event(REST_REQUEST)
    context, rest_context = event.pop("requestContext"), rest.pop("requestContext")

    assert event.pop("version") == "1.0"
    length = event["multiValueHeaders"].pop("content-length")
    assert (event["headers"].pop("content-length"), length) == ("2", ["2"])
    assert event == rest | {"path": "/a b", "pathParameters": {"proxy": "a b"}}
    assert {*rest_context} - {*context} == {"deploymentId"}
    assert (context["path"], context["stage"], context["resourceId"]) == ("/a b", "$default", None)
    assert len(context["requestId"]) == len("LV7fzho-PHcEJPw=")


def test_an_http_api_with_format_1_sends_other_bodies_in_base64() -> None:
    headers = [("content-type", "application/x-www-form-urlencoded")]
    event = make_http_api_event_1(IncomingRequest("POST", "/", headers=headers, body=b"a=1"))

    assert (event["body"], event["isBase64Encoded"]) == ("YT0x", True)


def test_absent_parts_of_a_rest_request_are_null() -> None:
    event = make_rest_api_event(IncomingRequest("GET", "/"), "/")

    assert {name for name, value in event.items() if value is None} == {
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
        "stageVariables",
        "body",
    }


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
    request = IncomingRequest("POST", "/", "", [("content-type", content_type)], b"\xff")
    event = make_rest_api_event(request, binary_media_types=binary)

    assert (event["body"], event["isBase64Encoded"]) == (body, body == "/w==")


# -- load balancers

ALB_REQUEST = IncomingRequest(
    "GET",
    "/x%20y",
    "a=1&a=%2F+2&b",
    [("host", "localhost"), ("x-many", "1"), ("x-many", "2")],
    source_ip="127.0.0.2",
    trace_id="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
)


def test_single_values_are_the_last_and_parameters_stay_encoded() -> None:
    event = make_load_balancer_event(ALB_REQUEST)

    assert list(event["requestContext"]) == ["elb"]
    assert (event["httpMethod"], event["path"]) == ("GET", "/x%20y")
    assert event["queryStringParameters"] == {"a": "%2F+2", "b": ""}
    assert event["headers"] == {
        "host": "localhost",
        "x-many": "2",
        "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "x-forwarded-for": "127.0.0.2",
        "x-forwarded-port": "9000",
        "x-forwarded-proto": "http",
    }
    assert (event["body"], event["isBase64Encoded"]) == ("", False)


def test_a_target_group_may_send_all_values() -> None:
    event = make_load_balancer_event(ALB_REQUEST, multi_value=True)

    assert event["multiValueQueryStringParameters"] == {"a": ["1", "%2F+2"], "b": [""]}
    assert event["multiValueHeaders"]["x-many"] == ["1", "2"]
    assert {"headers", "queryStringParameters"}.isdisjoint(event)
