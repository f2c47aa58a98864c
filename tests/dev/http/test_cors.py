"""CORS as function URLs and API Gateway configure it."""

import pytest

from okibi.dev.dev_function import Cors
from okibi.dev.http.cors import add_cors_headers, answer_preflight, is_preflight
from okibi.local.services.http_events import IncomingRequest

FRONT_END = "http://localhost:3000"
OPEN = Cors(
    allow_origins=["*"],
    allow_methods=["GET", "POST"],
    allow_headers=["content-type"],
    expose_headers=["x-total"],
    max_age=300,
)
CLOSED = Cors(allow_origins=[FRONT_END], allow_methods=["*"], allow_credentials=True)


def ask(method: str = "GET", **headers: str) -> IncomingRequest:
    names = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return IncomingRequest(method, "/", headers=names)


def preflight(origin: str = FRONT_END) -> IncomingRequest:
    return ask("OPTIONS", origin=origin, access_control_request_method="POST")


def test_only_options_with_origin_and_method_is_a_preflight() -> None:
    assert is_preflight(preflight())
    assert not is_preflight(ask("OPTIONS", origin=FRONT_END))
    assert not is_preflight(ask("OPTIONS", access_control_request_method="GET"))
    assert not is_preflight(ask("GET", origin=FRONT_END, access_control_request_method="GET"))


def test_an_http_api_answers_a_preflight() -> None:
    answer = answer_preflight(OPEN, preflight(), "http-api")

    assert (answer.status, answer.body) == (204, b"")
    assert dict(answer.headers) == {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "x-total",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "content-type",
        "access-control-max-age": "300",
    }


def test_a_function_url_repeats_the_origin() -> None:
    answer = answer_preflight(OPEN, preflight(), "url")

    assert answer.status == 200
    assert dict(answer.headers)["access-control-allow-origin"] == FRONT_END
    assert dict(answer.headers)["vary"] == "Origin"


@pytest.mark.parametrize("kind", ["url", "http-api", "rest-api"])
def test_another_origin_gets_no_cors_headers(kind: str) -> None:
    foreign = "http://evil.example"

    assert list(answer_preflight(CLOSED, preflight(foreign), kind).headers) == []
    assert add_cors_headers(CLOSED, ask(origin=foreign), kind, []) == ([], "")


@pytest.mark.parametrize(
    ("allowed", "origin", "passes"),
    [
        ("http://*", "http://a.example", True),
        ("https://*", "http://a.example", False),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        (f"{FRONT_END}/", FRONT_END, True),
        (FRONT_END, "http://localhost:30001", False),
    ],
)
def test_an_origin_may_be_allowed_by_its_scheme(allowed: str, origin: str, passes: bool) -> None:
    headers, _ = add_cors_headers(Cors(allow_origins=[allowed]), ask(origin=origin), "url", [])

    assert bool(headers) is passes


def test_a_response_gets_the_configured_headers() -> None:
    headers, _ = add_cors_headers(CLOSED, ask(origin=FRONT_END), "http-api", [("a", "b")])

    assert headers == [
        ("a", "b"),
        ("access-control-allow-origin", FRONT_END),
        ("vary", "Origin"),
        ("access-control-allow-credentials", "true"),
    ]


def test_without_origin_or_configuration_nothing_is_added() -> None:
    own = [("Access-Control-Allow-Origin", "*")]

    assert add_cors_headers(None, ask(origin=FRONT_END), "url", own) == (own, "")
    assert add_cors_headers(OPEN, ask(), "url", own) == (own, "")


def test_an_http_api_replaces_the_functions_cors_headers() -> None:
    own = [("Access-Control-Allow-Origin", "https://a.example"), ("a", "b")]
    headers, remark = add_cors_headers(OPEN, ask(origin=FRONT_END), "http-api", own)

    assert ("access-control-allow-origin", "*") in headers
    assert ("Access-Control-Allow-Origin", "https://a.example") not in headers
    assert remark == ""


def test_a_function_url_sends_both_and_the_console_says_so() -> None:
    own = [("Access-Control-Allow-Origin", "*")]
    headers, remark = add_cors_headers(OPEN, ask(origin=FRONT_END), "url", own)

    assert [value for name, value in headers if name.lower() == "access-control-allow-origin"] == [
        "*",
        FRONT_END,
    ]
    assert "leave it out of the function" in remark


def test_a_rest_api_leaves_responses_to_the_function() -> None:
    assert add_cors_headers(OPEN, ask(origin=FRONT_END), "rest-api", []) == ([], "")
