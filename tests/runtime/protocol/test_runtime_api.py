"""The Runtime API's HTTP: requests byte for byte, answers however they are cut."""

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
    return [answer for piece in pieces for answer in parser.feed(piece)]


# -- answers


def test_header_names_are_in_lower_case_and_values_as_they_came() -> None:
    (answer,) = parsed(EVENT)

    assert answer.status == 200
    assert answer.headers[b"lambda-runtime-aws-request-id"] == b"one"
    assert answer.body == b'{"n": 1234}'
    assert answer.keep_alive


def test_an_event_of_more_than_2_kb_comes_chunked() -> None:
    (answer,) = parsed(CHUNKED)

    assert answer.body == b"x" * 2048 + b"yyy"


def test_two_answers_in_one_read_are_two_in_order() -> None:
    first, second = parsed(ACCEPTED + EVENT)

    assert (first.status, second.status) == (202, 200)
    assert b"lambda-runtime-aws-request-id" not in first.headers


@pytest.mark.parametrize("stream", [EVENT, CHUNKED, ACCEPTED + EVENT + CHUNKED])
def test_answers_are_the_same_wherever_the_bytes_are_cut(stream: bytes) -> None:
    whole = parsed(stream)

    for cut in range(1, len(stream)):
        assert parsed(stream[:cut], stream[cut:]) == whole


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_answers_are_the_same_in_any_pieces(sizes: list[int]) -> None:
    stream, pieces = ACCEPTED + CHUNKED + EVENT, list[bytes]()
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]

    assert parsed(*pieces, stream) == parsed(ACCEPTED + CHUNKED + EVENT)


def test_half_an_answer_is_none_and_the_parser_says_that_it_has_it() -> None:
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
        # In pieces of which one looks like a whole one.
        [accepted(), accepted()[:30], accepted()[30:], accepted()],
        [accepted(), accepted() + accepted(), accepted(), accepted() + EVENT],
        [accepted(), accepted() + b"HTTP/1.1 2", b"02 Accepted\r\nContent-Length: 0\r\n\r\n"],
        # The next event right behind it, whole and in part.
        [accepted() + EVENT] * 3,
        [accepted() + EVENT, accepted() + CHUNKED[:200], CHUNKED[200:], accepted() + EVENT],
        [accepted(b"Date: 1") + EVENT, accepted(b"Date: 2") + EVENT, accepted(b"Date: 2") + EVENT],
        # What stands before it is no part of it.
        [b"HTTP/1.1 100 Continue\r\n\r\n" + accepted() + EVENT] * 2,
        [b"\r\n" + accepted() + EVENT] * 2,
        # It ends elsewhere than its head says, or says nothing of it.
        [accepted(b"X: a \t") + EVENT] * 2,
        [b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVENT] * 2,
        [
            accepted(),
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(accepted()),
            accepted(),
        ],
    ],
)
def test_what_is_said_again_in_the_same_bytes_means_the_same(stream: list[bytes]) -> None:
    parser, told = ApiResponseParser(), list[ApiResponse]()
    for data in stream:
        told += parser.feed(data)

    assert told == ApiResponseParser().feed(b"".join(stream))


def test_what_was_said_before_in_the_same_bytes_counts_before_noise() -> None:
    parser = ApiResponseParser()
    parser.feed(accepted() + EVENT)

    with pytest.raises(WireError) as refused:
        parser.feed(accepted() + b"noise")

    assert [answer.status for answer in refused.value.responses] == [202]


def test_nor_does_an_answer_follow_one_that_was_the_last_because_it_is_the_same() -> None:
    parser = ApiResponseParser()
    parser.feed(accepted(b"Connection: close"))

    with pytest.raises(WireError):
        parser.feed(accepted(b"Connection: close"))


def test_interim_answers_are_passed_over() -> None:
    (answer,) = parsed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ACCEPTED)

    assert answer.status == 202


def test_an_empty_header_is_there_and_empty() -> None:
    (answer,) = parsed(
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Client-Context:\r\nContent-Length: 0\r\n\r\n"
    )

    assert answer.headers[b"lambda-runtime-client-context"] == b""
    assert answer.body == b""


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"]
)
def test_a_server_that_will_close_is_no_longer_kept_alive(head: bytes) -> None:
    (answer,) = parsed(head + b"Content-Length: 2\r\n\r\n{}")

    assert answer.body == b"{}"
    assert not answer.keep_alive


def test_http_1_0_that_says_so_is_kept_alive() -> None:
    (answer,) = parsed(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}")

    assert answer.keep_alive


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
def test_what_is_no_http_is_refused(noise: bytes) -> None:
    with pytest.raises(WireError, match="no HTTP"):
        parsed(noise)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser_otherwise(noise: bytes) -> None:
    try:
        parsed(noise)
    except WireError:
        return


def test_what_was_complete_before_the_noise_is_in_the_error() -> None:
    with pytest.raises(WireError) as raised:
        parsed(ACCEPTED + EVENT + b"noise")

    assert [answer.status for answer in raised.value.responses] == [202, 200]


def test_nothing_may_come_after_an_answer_that_said_it_was_the_last() -> None:
    with pytest.raises(WireError) as raised:
        parsed(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + EVENT)

    (answer,) = raised.value.responses
    assert (answer.status, answer.keep_alive) == (202, False)


def test_a_trailer_is_no_header() -> None:
    (answer,) = parsed(CHUNKED.removesuffix(b"\r\n") + b"Lambda-Runtime-Aws-Request-Id: no\r\n\r\n")

    assert answer.headers[b"lambda-runtime-aws-request-id"] == b"two"


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


def test_the_parser_knows_the_version_it_read_last() -> None:
    parser = ApiResponseParser()
    parser.feed(ACCEPTED)
    assert not parser.speaks_1_0
    parser = ApiResponseParser()
    parser.feed(b"HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    assert parser.speaks_1_0


# -- requests


@pytest.mark.parametrize("attempt", [None, b"", b"a\r\nX: y", b"a\nb", b"a\0"])
def test_an_attempt_that_has_no_name_or_a_bad_one_is_not_echoed(attempt: bytes | None) -> None:
    named = {} if attempt is None else {b"lambda-runtime-invocation-id": attempt}

    assert echo_header(named) == b""


@pytest.mark.parametrize(
    ("value", "said"), [("a-1_.~Z", b"a-1_.~Z"), ("a b/é%\r", b"a%20b%2F%E9%25%0D")]
)
def test_a_segment_is_safe_in_a_path(value: str, said: bytes) -> None:
    assert path_segment(value) == said


def test_the_next_request_has_no_body_and_no_more_headers_than_it_needs() -> None:
    assert next_request(b"localhost:9001") == (
        b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: localhost:9001\r\n\r\n"
    )


def test_a_response_s_head_ends_where_its_body_begins() -> None:
    echo = b"Lambda-Runtime-Invocation-Id: attempt\r\n"

    assert response_head(b"h:1", b"id-1", 17, b"application/json", echo) == (
        b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: h:1\r\n"
        b"Content-Type: application/json\r\nLambda-Runtime-Invocation-Id: attempt\r\n"
        b"Content-Length: 17\r\n\r\n"
    )


def test_an_error_s_head_names_its_type_and_its_cause() -> None:
    assert error_head(b"h:1", b"invocation/id-1/error", 3, "Function.Boom", b'{"a":1}') == (
        b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\nHost: h:1\r\n"
        b"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n"
        b'Lambda-Runtime-Function-XRay-Error-Cause: {"a":1}\r\nContent-Length: 3\r\n\r\n'
    )


def test_without_a_cause_there_is_no_header_for_it() -> None:
    assert b"XRay" not in error_head(b"h:1", b"init/error", 3, "Runtime.X")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b"])
def test_a_header_value_cannot_pose_as_more_headers(value: str) -> None:
    with pytest.raises(ValueError, match="must be one line"):
        header_value(value)


def test_what_latin_1_cannot_say_is_replaced_in_a_header() -> None:
    assert header_value("Größe €") == b"Gr\xf6\xdfe ?"


def test_an_answer_that_was_given_is_not_kept() -> None:
    parser = ApiResponseParser()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    with traced() as held:
        for at in range(0, len(whole), 100_000):
            parser.feed(whole[at : at + 100_000])

        assert held() < 50_000


@contextmanager
def traced() -> Generator[Callable[[], int]]:
    """Bytes that are allocated within."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


# -- streamed answers


def test_a_stream_s_head_declares_its_trailers_as_node_s_does() -> None:
    echo = b"Lambda-Runtime-Invocation-Id: attempt\r\n"

    assert stream_head(b"h:1", b"id-1", b"text/csv", echo) == (
        b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: h:1\r\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Type\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Body\r\n"
        b"Content-Type: text/csv\r\nLambda-Runtime-Invocation-Id: attempt\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )


def test_a_content_type_cannot_pose_as_more_headers() -> None:
    with pytest.raises(ValueError, match="must be one line"):
        stream_head(b"h:1", b"id-1", b"text/csv\r\nX: y")


def test_a_piece_is_a_chunk_and_none_is_no_end() -> None:
    assert b"".join(chunk(b"x" * 26)) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunk(b"") == []


def test_a_good_end_has_no_trailers() -> None:
    assert last_chunk() == b"0\r\n\r\n"


def test_an_error_at_the_end_stands_in_the_trailers_its_json_in_base64() -> None:
    assert last_chunk("Function.Boom", b'{"a":1}') == (
        b"0\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n"
        b"Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n\r\n"
    )
