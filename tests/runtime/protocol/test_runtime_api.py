"""The Runtime API's HTTP: requests byte for byte, responses in any pieces."""

import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okibi.runtime.protocol.runtime_api import (
    ApiResponse,
    ApiResponseParser,
    WireError,
    chunk,
    echo_header,
    error_head,
    header_value,
    last_chunk,
    next_request,
    path_segment,
    response_head,
    stream_head,
)

EVENT = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Lambda-Runtime-Aws-Request-Id: one\r\nContent-Length: 11\r\n\r\n"
    b'{"n": 1234}'
)
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: two\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"800\r\n" + b"x" * 2048 + b"\r\n3\r\nyyy\r\n0\r\n\r\n"
)


def parsed(*pieces: bytes) -> list[ApiResponse]:
    parser = ApiResponseParser()
    return [response for piece in pieces for response in parser.feed(piece)]


# -- responses


def test_header_names_are_lower_case_and_values_unchanged() -> None:
    (response,) = parsed(EVENT)

    assert response.status == 200
    assert response.headers[b"lambda-runtime-aws-request-id"] == b"one"
    assert response.body == b'{"n": 1234}'
    assert response.keep_alive


def test_a_chunked_event_is_parsed() -> None:
    (response,) = parsed(CHUNKED)

    assert response.body == b"x" * 2048 + b"yyy"


def test_two_responses_in_one_read_are_two_in_order() -> None:
    first, second = parsed(ACCEPTED + EVENT)

    assert (first.status, second.status) == (202, 200)
    assert b"lambda-runtime-aws-request-id" not in first.headers


@pytest.mark.parametrize("stream", [EVENT, CHUNKED, ACCEPTED + EVENT + CHUNKED])
def test_responses_are_the_same_wherever_the_bytes_are_split(stream: bytes) -> None:
    whole = parsed(stream)

    for cut in range(1, len(stream)):
        assert parsed(stream[:cut], stream[cut:]) == whole


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_responses_are_the_same_in_any_pieces(sizes: list[int]) -> None:
    stream, pieces = ACCEPTED + CHUNKED + EVENT, list[bytes]()
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]

    assert parsed(*pieces, stream) == parsed(ACCEPTED + CHUNKED + EVENT)


def test_an_incomplete_response_sets_half_read() -> None:
    parser = ApiResponseParser()

    assert parser.feed(EVENT[:-1]) == []
    assert parser.half_read
    assert len(parser.feed(EVENT[-1:])) == 1
    assert not parser.half_read


def accepted(*headers: bytes) -> bytes:
    head = b"HTTP/1.1 202 Accepted\r\n" + b"".join(header + b"\r\n" for header in headers)
    return head + b"Content-Length: 2\r\n\r\nOK"


@pytest.mark.parametrize(
    "stream",
    [
        [accepted(), EVENT, accepted(), EVENT, accepted()],
        [accepted(b"Date: 1"), accepted(b"Date: 2"), accepted(b"Date: 1"), accepted(b"Date: 1")],
        # In pieces; one looks like a whole response.
        [accepted(), accepted()[:30], accepted()[30:], accepted()],
        [accepted(), accepted() + accepted(), accepted(), accepted() + EVENT],
        [accepted(), accepted() + b"HTTP/1.1 2", b"02 Accepted\r\nContent-Length: 0\r\n\r\n"],
        # Followed by the next event, whole and in part.
        [accepted() + EVENT] * 3,
        [accepted() + EVENT, accepted() + CHUNKED[:200], CHUNKED[200:], accepted() + EVENT],
        [accepted(b"Date: 1") + EVENT, accepted(b"Date: 2") + EVENT, accepted(b"Date: 2") + EVENT],
        # Bytes before the response do not belong to it.
        [b"HTTP/1.1 100 Continue\r\n\r\n" + accepted() + EVENT] * 2,
        [b"\r\n" + accepted() + EVENT] * 2,
        # The length is not certain: odd whitespace, or chunked.
        [accepted(b"X: a \t") + EVENT] * 2,
        [b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVENT] * 2,
        [
            accepted(),
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(accepted()),
            accepted(),
        ],
    ],
)
def test_repeated_202_responses_are_parsed_the_same(stream: list[bytes]) -> None:
    parser, parsed_later = ApiResponseParser(), list[ApiResponse]()
    for data in stream:
        parsed_later += parser.feed(data)

    assert parsed_later == ApiResponseParser().feed(b"".join(stream))


def test_a_repeated_202_is_compared_and_not_parsed_again() -> None:
    parser = ApiResponseParser()

    [first], [second] = parser.feed(ACCEPTED), parser.feed(ACCEPTED)

    assert first.status == 202
    assert second is first


def test_a_repeated_202_before_noise_is_in_the_error() -> None:
    parser = ApiResponseParser()
    parser.feed(accepted() + EVENT)

    with pytest.raises(WireError) as refused:
        parser.feed(accepted() + b"noise")

    assert [response.status for response in refused.value.responses] == [202]


def test_a_repeated_202_after_connection_close_is_refused() -> None:
    parser = ApiResponseParser()
    parser.feed(accepted(b"Connection: close"))

    with pytest.raises(WireError):
        parser.feed(accepted(b"Connection: close"))


def test_interim_responses_are_skipped() -> None:
    (response,) = parsed(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ACCEPTED
    )

    assert response.status == 202


def test_an_empty_header_is_kept() -> None:
    (response,) = parsed(
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Client-Context:\r\nContent-Length: 0\r\n\r\n"
    )

    assert response.headers[b"lambda-runtime-client-context"] == b""
    assert response.body == b""


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"]
)
def test_a_response_that_announces_a_close_is_not_kept_alive(head: bytes) -> None:
    (response,) = parsed(head + b"Content-Length: 2\r\n\r\n{}")

    assert response.body == b"{}"
    assert not response.keep_alive


def test_http_1_0_with_keep_alive_is_kept_alive() -> None:
    (response,) = parsed(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
    )

    assert response.keep_alive


@pytest.mark.parametrize(
    "noise",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    ],
)
def test_bytes_that_are_no_http_are_refused(noise: bytes) -> None:
    with pytest.raises(WireError, match="no HTTP"):
        parsed(noise)


@given(st.binary(max_size=200))
def test_any_bytes_raise_wire_error_or_nothing(noise: bytes) -> None:
    try:
        parsed(noise)
    except WireError:
        return


def test_responses_before_the_noise_are_in_the_error() -> None:
    with pytest.raises(WireError) as raised:
        parsed(ACCEPTED + EVENT + b"noise")

    assert [response.status for response in raised.value.responses] == [202, 200]


def test_a_response_after_connection_close_is_refused() -> None:
    with pytest.raises(WireError) as raised:
        parsed(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + EVENT)

    (response,) = raised.value.responses
    assert (response.status, response.keep_alive) == (202, False)


def test_a_trailer_does_not_replace_a_header() -> None:
    (response,) = parsed(
        CHUNKED.removesuffix(b"\r\n") + b"Lambda-Runtime-Aws-Request-Id: no\r\n\r\n"
    )

    assert response.headers[b"lambda-runtime-aws-request-id"] == b"two"


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_body_without_a_length_ends_with_the_connection(body: bytes) -> None:
    parser = ApiResponseParser()
    assert parser.feed(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n" + body) == []

    assert parser.end() == [ApiResponse(200, {b"a": b"b"}, body, False)]
    assert parser.end() == []


@pytest.mark.parametrize("whole", [EVENT, CHUNKED])
def test_a_body_with_a_length_is_not_complete_before_it(whole: bytes) -> None:
    for size in range(len(whole)):
        parser = ApiResponseParser()
        assert parser.feed(whole[:size]) == []
        assert parser.end() == []


def test_the_parser_knows_the_http_version() -> None:
    parser = ApiResponseParser()
    parser.feed(ACCEPTED)
    assert not parser.speaks_1_0
    parser = ApiResponseParser()
    parser.feed(b"HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    assert parser.speaks_1_0


# -- requests


@pytest.mark.parametrize("attempt", [None, b"", b"a\r\nX: y", b"a\nb", b"a\0"])
def test_a_missing_or_bad_attempt_id_is_not_echoed(attempt: bytes | None) -> None:
    named = {} if attempt is None else {b"lambda-runtime-invocation-id": attempt}

    assert echo_header(named) == b""


@pytest.mark.parametrize(
    ("value", "escaped"), [("a-1_.~Z", b"a-1_.~Z"), ("a b/é%\r", b"a%20b%2F%E9%25%0D")]
)
def test_a_path_segment_is_escaped(value: str, escaped: bytes) -> None:
    assert path_segment(value) == escaped


def test_get_next_is_as_short_as_possible() -> None:
    assert next_request(b"localhost:9001") == (
        b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: localhost:9001\r\n\r\n"
    )


def test_the_head_of_a_response_is_as_documented() -> None:
    echo = b"Lambda-Runtime-Invocation-Id: attempt\r\n"

    assert response_head(b"h:1", b"id-1", 17, b"application/json", echo) == (
        b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: h:1\r\n"
        b"Content-Type: application/json\r\nLambda-Runtime-Invocation-Id: attempt\r\n"
        b"Content-Length: 17\r\n\r\n"
    )


def test_the_head_of_an_error_has_type_and_cause() -> None:
    assert error_head(b"h:1", b"invocation/id-1/error", 3, "Function.Boom", b'{"a":1}') == (
        b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\nHost: h:1\r\n"
        b"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n"
        b'Lambda-Runtime-Function-XRay-Error-Cause: {"a":1}\r\nContent-Length: 3\r\n\r\n'
    )


def test_an_error_without_a_cause_has_no_cause_header() -> None:
    assert b"XRay" not in error_head(b"h:1", b"init/error", 3, "Runtime.X")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b"])
def test_a_header_value_cannot_inject_headers(value: str) -> None:
    with pytest.raises(ValueError, match="must be one line"):
        header_value(value)


def test_characters_outside_latin_1_are_replaced_in_a_header() -> None:
    assert header_value("Größe €") == b"Gr\xf6\xdfe ?"


def test_the_parser_does_not_keep_a_body() -> None:
    parser = ApiResponseParser()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    with traced() as held:
        for at in range(0, len(whole), 100_000):
            parser.feed(whole[at : at + 100_000])

        assert held() < 50_000


@contextmanager
def traced() -> Generator[Callable[[], int]]:
    """Measure the bytes allocated within the block."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


# -- streamed responses


def test_the_head_of_a_stream_declares_trailers_like_node_s_client() -> None:
    echo = b"Lambda-Runtime-Invocation-Id: attempt\r\n"

    assert stream_head(b"h:1", b"id-1", b"text/csv", echo) == (
        b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: h:1\r\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Type\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Body\r\n"
        b"Content-Type: text/csv\r\nLambda-Runtime-Invocation-Id: attempt\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )


def test_a_content_type_cannot_inject_headers() -> None:
    with pytest.raises(ValueError, match="must be one line"):
        stream_head(b"h:1", b"id-1", b"text/csv\r\nX: y")


def test_a_piece_is_a_chunk_and_an_empty_one_is_nothing() -> None:
    assert b"".join(chunk(b"x" * 26)) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunk(b"") == []


def test_the_end_without_an_error_has_no_trailers() -> None:
    assert last_chunk() == b"0\r\n\r\n"


def test_an_error_at_the_end_is_base64_in_the_trailers() -> None:
    assert last_chunk("Function.Boom", b'{"a":1}') == (
        b"0\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n"
        b"Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n\r\n"
    )
