"""Requests read out of events: by example, and back from the events that `okibi dev` makes."""

import base64
import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given

from okibi.local.services.http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_http_api_event_1,
    make_load_balancer_event,
    make_rest_api_event,
)
from okibi.local.services.sample_events import sample_event
from okibi.runtime.adapters.http_request import (
    LOAD_BALANCER,
    LOAD_BALANCER_LISTS,
    PAYLOAD_1,
    PAYLOAD_2,
    EventFormat,
    HttpRequest,
    NoHttpRequest,
    read_request,
)
from tests.support.http_services import REQUESTS, SERVICES, by_name, last

API_DOMAIN = "abc.execute-api.eu-west-1.amazonaws.com"


def url_event(**changes: Any) -> dict[str, Any]:
    return make_function_url_event(
        IncomingRequest(**{"method": "GET", "raw_path": "/", **changes}), "web"
    )


def api_event(
    path: str, stage: str = "$default", domain: str = API_DOMAIN, version: str = "2.0"
) -> dict[str, Any]:
    """An event of an HTTP API; the path is the event's."""
    make = make_http_api_event if version == "2.0" else make_http_api_event_1
    event = make(IncomingRequest("GET", "/", headers=[("host", domain)]))
    event["requestContext"]["stage"] = stage
    event["rawPath" if version == "2.0" else "path"] = path
    return event


def rest_event(path: str, full: str, stage: str = "prod") -> dict[str, Any]:
    """An event of a REST API, with the path of the event and the path of its context."""
    event = make_rest_api_event(IncomingRequest("GET", path), stage=stage)
    event["requestContext"]["path"] = full
    return event


# -- paths


@pytest.mark.parametrize(
    ("event", "base_path", "path", "raw_path", "root_path"),
    [
        # REST API, default domain: only the path of the context has the stage.
        (rest_event("/a%20b", "/prod/a%20b"), "", "/prod/a b", "/prod/a%20b", "/prod"),
        (rest_event("/", "/prod"), "", "/prod/", "/prod/", "/prod"),
        (rest_event("/", "/prod/"), "", "/prod/", "/prod/", "/prod"),
        # The first part of the route has the name of the stage.
        (rest_event("/prod/a", "/prod/prod/a"), "", "/prod/prod/a", "/prod/prod/a", "/prod"),
        # REST API behind a custom domain: both paths are the URL's.
        (rest_event("/a", "/a"), "", "/a", "/a", ""),
        (rest_event("/prod/a", "/prod/a"), "", "/prod/a", "/prod/a", ""),
        (rest_event("/shop/a%2Fb", "/shop/a%2Fb"), "/shop", "/shop/a/b", "/shop/a%2Fb", "/shop"),
        (rest_event("/shop", "/shop"), "/shop", "/shop", "/shop", "/shop"),
        (rest_event("/shopping", "/shopping"), "/shop", "/shopping", "/shopping", ""),
        # HTTP API 2.0: the path is decoded, and has a named stage.
        (api_event("/a b%"), "", "/a b%", "/a%20b%25", ""),
        (api_event("/é/ü"), "", "/é/ü", "/%C3%A9/%C3%BC", ""),
        (api_event("/dev/a", "dev"), "", "/dev/a", "/dev/a", "/dev"),
        (api_event("/dev", "dev"), "", "/dev", "/dev", "/dev"),
        (api_event("/dev/shop/a", "dev"), "/shop", "/dev/shop/a", "/dev/shop/a", "/dev/shop"),
        # Behind a custom domain it has the stage, which the URL lacks, and lacks the base path.
        (api_event("/a", domain="example.com"), "", "/a", "/a", ""),
        (api_event("/dev/a", "dev", "example.com"), "", "/a", "/a", ""),
        (api_event("/dev", "dev", "example.com"), "", "/", "/", ""),
        (api_event("/a", domain="example.com"), "/shop", "/shop/a", "/shop/a", "/shop"),
        (api_event("/dev/a", "dev", "example.com"), "/shop", "/shop/a", "/shop/a", "/shop"),
        # Under okibi dev the URL may have the base path.
        (api_event("/shop/a", domain="localhost:9000"), "/shop", "/shop/a", "/shop/a", "/shop"),
        # HTTP API 1.0: the path is decoded, and is the URL's.
        (api_event("/a b", version="1.0"), "", "/a b", "/a%20b", ""),
        (api_event("/dev/a", "dev", version="1.0"), "", "/dev/a", "/dev/a", "/dev"),
        (api_event("/dev/a", "dev", "example.com", "1.0"), "", "/dev/a", "/dev/a", ""),
        (api_event("/shop/a", "dev", "example.com", "1.0"), "/shop", "/shop/a", "/shop/a", "/shop"),
        # Function URL and load balancer: the path is as sent.
        (url_event(raw_path="/a%2Fb%20c"), "", "/a/b c", "/a%2Fb%20c", ""),
        (url_event(raw_path="/%FF"), "", "/\ufffd", "/%FF", ""),
        (url_event(raw_path="/shop/a"), "/shop", "/shop/a", "/shop/a", "/shop"),
        (
            make_load_balancer_event(IncomingRequest("GET", "/shop/a%2Fb")),
            "/shop",
            "/shop/a/b",
            "/shop/a%2Fb",
            "/shop",
        ),
    ],
)
def test_a_path_is_whole_and_its_root_is_where_the_url_mounts_the_app(
    event: dict[str, Any], base_path: str, path: str, raw_path: str, root_path: str
) -> None:
    request = read_request(event, base_path)

    assert (request.path, request.raw_path, request.root_path) == (path, raw_path, root_path)


def test_a_function_url_with_iam_is_known_by_its_domain() -> None:
    event = url_event(raw_path="/a%20b", headers=[("host", "x.lambda-url.eu-west-1.on.aws")])
    event["requestContext"]["accountId"] = "012345678912"

    assert read_request(event).path == "/a b"


# -- query


@pytest.mark.parametrize(
    ("sent", "by_format"),
    [
        ("b=2&a=1&b=%20+%2F", ["b=2&a=1&b=%20+%2F", "b=2&b=++%2F&a=1", "b=2&b=%20+%2F&a=1"]),
        ("a", ["a", "a=", "a="]),
        ("", ["", "", ""]),
    ],
)
def test_a_query_keeps_what_the_event_has(sent: str, by_format: list[str]) -> None:
    request = IncomingRequest("GET", "/", sent)
    events = [
        make_http_api_event(request),
        make_rest_api_event(request),
        make_load_balancer_event(request, multi_value=True),
    ]

    assert [read_request(event).query for event in events] == by_format


def test_a_load_balancer_without_multi_values_sends_the_last_parameter() -> None:
    event = make_load_balancer_event(IncomingRequest("GET", "/", "a=1&b=%2F&a=2"))

    assert read_request(event).query == "a=2&b=%2F"


# -- headers


TWO_LINES = IncomingRequest("GET", "/", headers=[("cookie", "a=1; b=2"), ("cookie", "c=3")])


@pytest.mark.parametrize(
    "event",
    [
        make_function_url_event(TWO_LINES, "web"),
        make_http_api_event(TWO_LINES),
        make_http_api_event_1(TWO_LINES),
        make_rest_api_event(TWO_LINES),
        make_load_balancer_event(TWO_LINES, multi_value=True),
    ],
)
def test_several_lines_of_cookies_are_one_line_with_semicolons(event: dict[str, Any]) -> None:
    cookies = [value for name, value in read_request(event).headers if name == "cookie"]

    assert cookies == ["a=1; b=2; c=3"]


def test_names_of_headers_are_in_lower_case() -> None:
    event = url_event()
    event["headers"] = {"X-One": "A", "x-two": "B"}

    assert read_request(event).headers == [("x-one", "A"), ("x-two", "B")]


def test_reading_a_request_leaves_the_event_as_it_was() -> None:
    event = url_event(headers=[("cookie", "a=1;b=2")])
    before = json.dumps(event)

    read_request(event)

    assert json.dumps(event) == before


def test_a_load_balancer_names_the_client_last() -> None:
    headers = [("x-forwarded-for", "10.0.0.1, 10.0.0.2")]
    request = IncomingRequest("GET", "/", headers=headers, source_ip="2001:db8::7")

    assert read_request(make_load_balancer_event(request)).client == "2001:db8::7"
    assert read_request(make_rest_api_event(request)).client == "2001:db8::7"


@pytest.mark.parametrize(
    ("headers", "scheme", "server"),
    [
        ({"host": "example.com", "x-forwarded-proto": "https"}, "https", ("example.com", 443)),
        ({"host": "example.com", "x-forwarded-proto": "http"}, "http", ("example.com", 80)),
        ({"host": "example.com", "x-forwarded-port": "8443"}, "https", ("example.com", 8443)),
        ({"host": "example.com:81", "x-forwarded-port": "8443"}, "https", ("example.com", 81)),
        ({"host": "[2001:db8::1]"}, "https", ("2001:db8::1", 443)),
        ({"host": "[2001:db8::1]:81"}, "https", ("2001:db8::1", 81)),
        # The health check of a load balancer has no host.
        ({"user-agent": "ELB-HealthChecker/2.0"}, "https", ("lambda", 443)),
    ],
)
def test_host_and_forwarded_headers_name_the_server(
    headers: dict[str, str], scheme: str, server: tuple[str, int]
) -> None:
    event = make_load_balancer_event(IncomingRequest("GET", "/"))
    event["headers"] = headers

    request = read_request(event)

    assert (request.scheme, request.server, request.client) == (scheme, server, None)


# -- bodies


@pytest.mark.parametrize(
    ("body", "encoded", "expected"),
    [
        (None, False, b""),
        ("", False, b""),
        ("", True, b""),
        ("é", False, "é".encode()),
        ("AAH/", True, b"\x00\x01\xff"),
        (base64.b64encode(b"\xff" * 4_500_000).decode(), True, b"\xff" * 4_500_000),
    ],
)
def test_a_body_is_bytes(body: str | None, encoded: bool, expected: bytes) -> None:
    event = url_event() | {"body": body, "isBase64Encoded": encoded}

    assert read_request(event).body == expected


def test_a_body_that_is_no_base64_is_refused() -> None:
    with pytest.raises(NoHttpRequest, match="the body of the request is no Base64"):
        read_request(url_event() | {"body": "AAA", "isBase64Encoded": True})


# -- events


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("function-url", PAYLOAD_2),
        ("http-api", PAYLOAD_2),
        ("http-api-1.0", PAYLOAD_1),
        ("rest-api", PAYLOAD_1),
        ("alb", LOAD_BALANCER),
        ("alb-multi-value", LOAD_BALANCER_LISTS),
    ],
)
def test_every_sample_of_a_request_is_read(sample: str, expected: EventFormat) -> None:
    request = read_request(sample_event(sample, path="/notes", body="hello"))

    assert (request.format, request.path, request.body) == (expected, "/notes", b"hello")
    assert (request.client, request.http_version, request.root_path) == ("192.0.2.1", "1.1", "")


def test_fields_may_be_null() -> None:
    """The console's test of a REST API sends no headers."""
    event = make_rest_api_event(IncomingRequest("GET", "/a"))
    event |= {"headers": None, "multiValueHeaders": None}
    context = dict.fromkeys(event["requestContext"])
    load_balancer = make_load_balancer_event(IncomingRequest("GET", "/a"))
    load_balancer |= {"multiValueHeaders": None, "multiValueQueryStringParameters": None}
    expected = HttpRequest(
        PAYLOAD_1, "GET", "/a", "/a", "", "", [], None, "https", ("lambda", 443), "1.1", b""
    )

    assert read_request(event | {"requestContext": context}) == expected
    assert read_request(load_balancer).format is LOAD_BALANCER


@pytest.mark.parametrize(
    ("event", "described"),
    [
        (sample_event("sqs"), "from aws:sqs"),
        (sample_event("sns"), "from aws:sns"),
        (sample_event("schedule"), "from aws.events"),
        (sample_event("websocket-message"), "an object with requestContext, body, isBase64Encoded"),
        (sample_event("websocket-connect"), "an object with "),
        (sample_event("cognito-pre-token"), "an object with version, "),
        ({"Records": []}, "an object with Records"),
        ({"Records": ["a"]}, "an object with Records"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "an object with a, b, c, d, …:"),
        ("GET /", "of type str"),
        ([sample_event("http-api")], "of type list"),
        (None, "of type NoneType"),
    ],
)
def test_another_event_is_refused_by_what_it_is(event: object, described: str) -> None:
    with pytest.raises(NoHttpRequest) as refused:
        read_request(event)

    assert f"and this event is {described}" in str(refused.value)
    assert str(refused.value).endswith("other=handler")


def test_an_empty_event_is_refused_with_what_to_send() -> None:
    with pytest.raises(NoHttpRequest, match="this event is empty: send one, as `okibi event"):
        read_request({})


# -- every request, through every service


@pytest.mark.parametrize("name", SERVICES)
@given(REQUESTS)
def test_a_request_reads_the_same_up_to_what_its_event_loses(
    name: str, sent: IncomingRequest
) -> None:
    service = SERVICES[name]
    event = json.loads(json.dumps(service.make_event(sent)))

    read = read_request(event)

    assert (read.method, read.path, read.root_path) == (sent.method, unquote(sent.raw_path), "")
    assert unquote(read.raw_path) == read.path
    assert read.raw_path == sent.raw_path or not service.keeps_raw_path
    assert service.query(read.query) == service.query(sent.raw_query)
    assert read.body == service.body(sent.body)
    assert f"HTTP/{read.http_version}" == service.pass_on(sent).protocol
    assert (read.client, read.scheme) == (sent.source_ip, "http")
    host = urlsplit(f"//{sent.header('host')}")
    assert read.server == (host.hostname, host.port or sent.port)
    headers = dict(service.headers(by_name(sent.forwarded_headers())))
    if cookies := by_name(sent.headers).get("cookie"):
        headers["cookie"] = ["; ".join(cookies[-1:] if service.headers is last else cookies)]
    assert by_name(read.headers) == headers
