"""Whatever a function returns and a client sends, the front has an answer and an event."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
import h11
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from okibi.dev.dev_function import Route
from okibi.dev.http.http_front import read_request
from okibi.dev.http.http_service import (
    FUNCTION_URL,
    HTTP_API,
    HTTP_API_1,
    LOAD_BALANCER,
    HttpService,
    rest_api,
)
from okibi.dev.http.route_table import RouteMatch
from okibi.local import Invocation
from okibi.local.platform.invocation import check_headers
from okibi.local.services.http_events import IncomingRequest
from okibi.local.services.result_checks import MalformedResult

SERVICES = [
    FUNCTION_URL,
    HTTP_API,
    HTTP_API_1,
    rest_api(),
    rest_api(["*/*"]),
    LOAD_BALANCER,
]
ANY_SERVICE = st.sampled_from(SERVICES)

TEXT = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["content-type", "Set-Cookie", "Content-Length", "a b", ""]) | TEXT
RESULTS = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "statusCode": VALUES | st.integers(100, 700) | st.sampled_from(["200", "2e2", " 200"]),
        "headers": VALUES | st.dictionaries(NAMES, VALUES, max_size=3),
        "multiValueHeaders": VALUES | st.dictionaries(NAMES, st.lists(VALUES, max_size=2)),
        "body": VALUES | st.sampled_from(["AAE=", "\ud800"]),
        "isBase64Encoded": VALUES,
        "cookies": VALUES | st.lists(TEXT),
    },
)
HEADERS = st.tuples(
    st.sampled_from([b"host", b"cookie", b"content-type", b"x", b"x-amzn-trace-id"]),
    st.binary(max_size=10),
)
SCOPES = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST"]),
        "raw_path": st.binary(max_size=20),
        "query_string": st.binary(max_size=20),
        "headers": st.lists(HEADERS),
        "http_version": st.just("1.1"),
    }
)


@given(ANY_SERVICE, RESULTS)
def test_any_result_is_a_valid_response_or_refused_in_one_line(
    service: HttpService, result: object
) -> None:
    payload = json.dumps(result).encode()
    refusal = ""
    try:
        response = service.read_result(payload, IncomingRequest("GET", "/"))
    except MalformedResult as malformed:
        response, refusal = service.malformed, str(malformed)
    assert refusal.isprintable()
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    h11.Response(status_code=response.status, headers=headers)


@given(ANY_SERVICE, SCOPES, st.binary(max_size=10))
def test_any_request_becomes_an_event(
    service: HttpService, scope: Mapping[str, Any], body: bytes
) -> None:
    request = attrs.evolve(read_request(scope), body=body)
    match = RouteMatch("web", Route("ANY", "/{proxy+}", "rest-api"), {"proxy": "x"})

    assert msgspec.json.decode(msgspec.json.encode(service.make_event(request, match)))
    check_headers(Invocation(b"{}", 1.0, trace_id=request.trace_id))


@pytest.mark.parametrize(
    ("binary", "body", "damaged"),
    [((), b"\xff", True), (("image/*",), b"\xff", False), ((), "é".encode(), False)],
)
def test_a_body_that_a_rest_api_damages_has_a_remark(
    binary: tuple[str, ...], body: bytes, damaged: bool
) -> None:
    request = IncomingRequest("POST", "/", headers=[("content-type", "image/png")], body=body)

    assert ("its bytes are damaged" in rest_api(binary).remark_on(request)) is damaged
