"""Classic mode: the responses to a runtime's calls, as recorded from AWS's emulator."""

import pytest

from okibi.local.platform.invocation import Invocation
from okibi.local.platform.states import RuntimeState
from tests.support.platform_without_io import (
    ANSWER_OK,
    NEXT,
    PING,
    ClassicHarness,
    error,
    post,
    read,
    state_refusal,
    without_date,
)

# -- the event


def test_an_event_is_sent_with_the_emulators_bytes() -> None:
    harness = ClassicHarness()
    harness.offer()

    (answer,) = harness.connect().feed(NEXT)

    assert without_date(answer) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Aws-Request-Id: id-1\r\n"
        b"Lambda-Runtime-Deadline-Ms: 1700000003000\r\n"
        b"Lambda-Runtime-Invoked-Function-Arn: arn:function\r\n"
        b"Lambda-Runtime-Trace-Id: Root=1-2-3\r\n"
        b'Content-Length: 7\r\n\r\n{"a":1}'
    )


def test_context_headers_are_sent_if_not_empty() -> None:
    harness = ClassicHarness()
    harness.offer(client_context='{"custom":\n1}', cognito_identity='{"c":1}', tenant_id="t")

    (answer,) = harness.connect().feed(NEXT)

    assert b'\r\nLambda-Runtime-Client-Context: {"custom": 1}\r\n' in answer
    assert b'\r\nLambda-Runtime-Cognito-Identity: {"c":1}\r\n' in answer
    assert b"\r\nLambda-Runtime-Aws-Tenant-Id: t\r\n" in answer


def test_an_absent_context_can_be_sent_as_empty_headers() -> None:
    harness = ClassicHarness()
    peer = harness.connect()
    peer.connection.empty_headers = True
    harness.offer()

    (answer,) = peer.feed(NEXT)

    assert b"\r\nLambda-Runtime-Client-Context: \r\n" in answer
    assert b"\r\nLambda-Runtime-Cognito-Identity: \r\n" in answer


@pytest.mark.parametrize("size", [0, 1, 2048])
def test_an_event_of_up_to_2048_bytes_has_a_content_length(size: int) -> None:
    harness = ClassicHarness()
    harness.offer(b"x" * size)

    (answer,) = harness.connect().feed(NEXT)

    assert f"\r\nContent-Length: {size}\r\n".encode() in answer
    assert answer.endswith(b"\r\n\r\n" + b"x" * size)


@pytest.mark.parametrize("size", [2049, 70_000])
def test_an_event_above_2048_bytes_is_one_chunk(size: int) -> None:
    harness = ClassicHarness()
    harness.offer(b"x" * size)

    (answer,) = harness.connect().feed(NEXT)

    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert rest == b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)


def test_next_while_running_returns_the_same_event_on_any_connection() -> None:
    harness = ClassicHarness()
    peer = harness.running()

    again = peer.feed(NEXT)
    elsewhere = harness.connect().feed(NEXT)

    assert again == elsewhere == peer.sent[:1]


# -- the answer


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_an_answer_is_accepted_with_the_emulators_bytes(endpoint: str) -> None:
    harness = ClassicHarness()

    (answer,) = harness.running().feed(post(f"invocation/id-1/{endpoint}", b"{}"))

    assert without_date(answer) == (
        b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
        b'Content-Length: 16\r\n\r\n{"status":"OK"}\n'
    )


def test_a_response_and_a_next_in_one_write_are_answered_in_order() -> None:
    harness = ClassicHarness()
    peer = harness.running()

    answers = peer.feed(post("invocation/id-1/response", b"{}") + NEXT)
    assert [read(answer) for answer in answers] == [(202, ANSWER_OK)]
    second = Invocation(b"2", timeout=3.0)
    harness.platform.offer(second)

    assert read(peer.sent[-1]) == (200, b"2")


def test_requests_after_a_pending_next_wait() -> None:
    harness = ClassicHarness()
    peer = harness.connect()

    assert peer.feed(NEXT + PING) == []
    harness.offer()

    assert [read(answer) for answer in peer.sent] == [(200, b'{"a":1}'), (200, b"pong")]


@pytest.mark.parametrize("piece", [1, 7, 40])
def test_requests_may_arrive_in_pieces(piece: int) -> None:
    harness = ClassicHarness()
    peer = harness.running()
    data = post("invocation/id-1/response", b'{"x":1}') + NEXT

    for start in range(0, len(data), piece):
        peer.feed(data[start : start + piece])

    assert read(peer.sent[1]) == (202, ANSWER_OK)
    assert harness.platform.state is RuntimeState.READY


def chunked(*trailers: bytes) -> bytes:
    """A streamed response to id-1, in two chunks."""
    return b"".join(
        [
            b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: x\r\n",
            b"Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n",
            b"Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n",
            b"5\r\nhello\r\n1\r\n!\r\n0\r\n",
            *(trailer + b"\r\n" for trailer in trailers),
            b"\r\n",
        ]
    )


def test_a_chunked_response_is_collected_for_a_buffered_invoke() -> None:
    harness = ClassicHarness()
    invocation = harness.offer()
    peer = harness.connect()
    peer.feed(NEXT)

    assert peer.request(chunked()) == (202, ANSWER_OK)
    assert invocation.outcome is not None
    assert invocation.outcome.payload == b"hello!"
    assert peer.feed(NEXT) == []


def test_error_trailers_turn_a_response_into_an_error() -> None:
    harness = ClassicHarness()
    invocation = harness.offer()
    peer = harness.connect()
    peer.feed(NEXT)

    status, _ = peer.request(
        chunked(
            b"Lambda-Runtime-Function-Error-Type: Runtime.Broke",
            b"Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==",
        )
    )

    assert status == 202
    assert invocation.outcome is not None
    assert invocation.outcome.payload == b'{"a":1}'
    assert invocation.outcome.error_type == "Runtime.Broke"


def test_expect_100_continue_is_answered_before_the_body() -> None:
    harness = ClassicHarness()
    peer = harness.running()
    request = post("invocation/id-1/response", b"{}", "Expect: 100-continue")

    assert peer.feed(request[:-2]) == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert peer.request(b"{}") == (202, ANSWER_OK)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Function.Foo", "Function.Foo"),
        ("a Runtime.Foo b", "a Runtime.Foo b"),
        ("Function.foo", "Function.Unknown"),
        ("unhandled", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ],
)
def test_the_platform_normalises_error_types(header: str, expected: str) -> None:
    harness = ClassicHarness()
    invocation = harness.offer()
    peer = harness.connect()
    peer.feed(NEXT)

    name = "Lambda-Runtime-Function-Error-Type"
    peer.feed(post("invocation/id-1/error", b"{}", f"{name}: {header}"))

    assert invocation.outcome is not None
    assert invocation.outcome.error_type == expected


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (
            b'{"errorMessage":"m","errorType":"T","errorCause":{}}',
            b'{"errorMessage":"m","errorType":"T"}',
        ),
        (b"no json", b'"Invalid error body"'),
    ],
)
def test_the_cause_in_an_error_body_is_removed_for_the_invoker(body: bytes, seen: bytes) -> None:
    harness = ClassicHarness()
    invocation = harness.offer()
    peer = harness.connect()
    peer.feed(NEXT)

    content_type = "Content-Type: application/vnd.aws.lambda.error.cause+json"
    peer.feed(post("invocation/id-1/error", body, content_type))

    assert invocation.outcome is not None
    assert invocation.outcome.payload == seen


# -- refusals


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_second_response_is_refused(endpoint: str) -> None:
    harness = ClassicHarness()
    peer = harness.running()
    peer.feed(post("invocation/id-1/response", b"{}"))

    target = {"response": "InvocationResponse", "error": "InvocationErrorResponse"}[endpoint]
    assert peer.request(post(f"invocation/id-1/{endpoint}", b"{}")) == (
        403,
        state_refusal(f"RuntimeResponseSentState to {target}"),
    )


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_wrong_request_id_is_refused_in_every_state(endpoint: str) -> None:
    harness = ClassicHarness()
    expected = (400, error("Invalid request ID", "InvalidRequestID"))

    assert harness.connect().request(post(f"invocation/x/{endpoint}", b"{}")) == expected
    peer = harness.running()
    assert peer.request(post(f"invocation/x/{endpoint}", b"{}")) == expected
    peer.feed(post("invocation/id-1/response", b"{}"))
    assert peer.request(post(f"invocation/x/{endpoint}", b"{}")) == expected


def test_a_bad_response_mode_is_refused_after_the_state_has_changed() -> None:
    harness = ClassicHarness()
    peer = harness.running()

    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    assert peer.request(post("invocation/id-1/response", b"{}", mode)) == (
        400,
        error("Invalid function response mode", "InvalidFunctionResponseMode"),
    )
    assert peer.request(NEXT) == (403, state_refusal("InvocationResponse to Ready"))
    assert peer.request(post("invocation/id-1/error", b"{}")) == (
        403,
        state_refusal("InvocationResponse to InvocationErrorResponse"),
    )


def test_an_init_error_is_final() -> None:
    harness = ClassicHarness()
    peer = harness.connect()

    assert peer.request(post("init/error", b"{}")) == (202, ANSWER_OK)
    assert peer.request(post("init/error", b"{}")) == (403, state_refusal("InitError to InitError"))
    assert peer.request(NEXT) == (403, state_refusal("InitError to Ready"))


def test_an_init_error_is_refused_after_the_init_phase() -> None:
    harness = ClassicHarness()
    peer = harness.running()

    assert peer.request(post("init/error", b"{}")) == (403, state_refusal("Running to InitError"))


def test_an_init_error_answers_the_first_invoke_only() -> None:
    harness = ClassicHarness()
    harness.connect().feed(post("init/error", b'{"errorType":"E"}'))

    first = harness.offer()
    harness.platform.end()
    second = harness.offer()

    assert first.outcome is not None
    assert first.outcome.payload == b'{"errorType":"E"}'
    assert second.outcome is None
