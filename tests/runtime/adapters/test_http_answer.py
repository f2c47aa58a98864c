"""Answers to requests: by example, and through the services as `okibi dev` reads results."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okibi.runtime.adapters.http_answer import AnswerTooLarge, make_answer
from okibi.runtime.adapters.http_request import (
    LOAD_BALANCER,
    LOAD_BALANCER_LISTS,
    PAYLOAD_1,
    PAYLOAD_2,
    EventFormat,
)
from okibi.runtime.codec.json import encode_async_def_result
from tests.support.http_services import REMAPPED, SERVICES, WRITTEN, Headers, is_text

HEADERS = [
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"2"),
    (b"Vary", b"accept"),
    (b"vary", b"cookie"),
    (b"set-cookie", b"a=1; Path=/"),
    (b"Set-Cookie", b"b=2"),
    (b"Connection", b"close"),
]


@pytest.mark.parametrize(
    ("event_format", "expected"),
    [
        (
            PAYLOAD_2,
            {
                "headers": {"content-type": "application/json", "vary": "accept, cookie"},
                "cookies": ["a=1; Path=/", "b=2"],
            },
        ),
        (
            PAYLOAD_1,
            {
                "multiValueHeaders": {
                    "content-type": ["application/json"],
                    "vary": ["accept", "cookie"],
                    "set-cookie": ["a=1; Path=/", "b=2"],
                }
            },
        ),
        (
            LOAD_BALANCER,
            {
                "statusDescription": "201 Created",
                "headers": {
                    "content-type": "application/json",
                    "vary": "accept, cookie",
                    "set-cookie": "a=1; Path=/",
                    "Set-cookie": "b=2",
                },
            },
        ),
        (
            LOAD_BALANCER_LISTS,
            {
                "statusDescription": "201 Created",
                "multiValueHeaders": {
                    "content-type": ["application/json"],
                    "vary": ["accept", "cookie"],
                    "set-cookie": ["a=1; Path=/", "b=2"],
                },
            },
        ),
    ],
)
def test_each_format_has_its_own_fields(
    event_format: EventFormat, expected: dict[str, Any]
) -> None:
    answer = make_answer(event_format, 201, HEADERS, b"{}")

    assert answer == {"statusCode": 201, "body": "{}", "isBase64Encoded": False, **expected}


def test_a_status_without_a_name_is_described_by_its_number() -> None:
    assert make_answer(LOAD_BALANCER, 599, [], b"")["statusDescription"] == "599"


@pytest.mark.parametrize(
    ("media_type", "body", "encoded"),
    [
        *(
            (media_type, "é".encode(), False)
            for media_type in (
                *("application/vnd.api+json", "application/problem+xml", "image/svg+xml"),
                *("Application/JSON; charset=utf-8", "application/x-yaml", "text/css", ""),
            )
        ),
        ("image/png", b"\x89PNG", True),
        ("text/plain; charset=latin-1", b"\xe9", True),
        ("application/json", b"\x1f\x8b\x08", True),
        ("application/x-tar", b"a\0\0\0", True),
        ("image/png", b"", False),
    ],
)
def test_only_what_is_no_text_is_sent_in_base64(
    media_type: str, body: bytes, encoded: bool
) -> None:
    answer = make_answer(PAYLOAD_1, 200, [(b"content-type", media_type.encode())], body)

    assert answer["isBase64Encoded"] is encoded
    assert answer["body"] == (base64.b64encode(body).decode() if encoded else body.decode())


@pytest.mark.parametrize(
    ("event_format", "body", "message"),
    [
        (PAYLOAD_2, b"x" * 6_291_556, r"6,291,\d+ bytes as JSON, and the service takes 6,291,556"),
        (PAYLOAD_1, b"\xff" * 4_800_000, r"6,400,\d+ bytes .* ASGI\(app, streams=True\)"),
        (LOAD_BALANCER, b"x" * 1024 * 1024, "service takes 1,048,576: send less$"),
        (LOAD_BALANCER_LISTS, b"\x01" * 180_000, r"1,080,\d+ bytes as JSON"),
    ],
)
def test_an_answer_that_the_service_refuses_names_both_sizes(
    event_format: EventFormat, body: bytes, message: str
) -> None:
    with pytest.raises(AnswerTooLarge, match=message):
        make_answer(event_format, 200, [], body)


@pytest.mark.parametrize(
    ("event_format", "body"),
    [
        (PAYLOAD_2, b"x" * 6_291_000),
        (PAYLOAD_1, b"\xff" * 4_500_000),
        (LOAD_BALANCER, b"x" * 1_048_000),
    ],
)
def test_an_answer_just_below_the_limit_is_made(event_format: EventFormat, body: bytes) -> None:
    assert make_answer(event_format, 200, [], body)["statusCode"] == 200


# -- every answer, through every service

NAMES = st.sampled_from(
    [
        *("content-type", "Content-Type", "content-encoding", "location", "vary", "Vary", "x-one"),
        *sorted(WRITTEN | REMAPPED),
    ]
)
VALUES = st.text("ab1/=;, \"'\t", max_size=8)
# Some responses have many cookies.
LINES = st.builds(
    lambda lines, count: lines + [("Set-Cookie", f"c{number}") for number in range(count)],
    st.lists(st.tuples(NAMES | st.just("set-cookie"), VALUES)),
    st.integers(0, 12),
)
BODIES = st.binary() | st.text().map(str.encode) | st.just(b"\0" * 100)


@pytest.mark.parametrize("name", SERVICES)
@given(st.integers(200, 599), LINES, BODIES)
def test_an_answer_reaches_the_client_up_to_what_its_service_loses(
    name: str, status: int, headers: Headers, body: bytes
) -> None:
    service = SERVICES[name]
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    answer = make_answer(service.event_format, status, raw, body)
    response = service.read(encode_async_def_result(answer).body)

    assert (response.status, response.remark == "") == (status, service.decodes or is_text(body))
    received = [(name.lower(), value) for name, value in response.headers]
    assert sorted(received) == service.received_headers(headers)
    if service.decodes or is_text(body):
        assert response.body == body
    else:
        assert base64.b64decode(response.body) == body
