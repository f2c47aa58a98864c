"""What the runtime's calls do, and what they are refused, as AWS's emulator was seen to answer."""

import pytest

from okibi.local.invocation import Invocation
from okibi.local.states import RuntimeState
from tests.support.platform_without_io import (
    ANSWER_OK,
    NEXT,
    PING,
    Desk,
    error,
    post,
    read,
    state_refusal,
    without_date,
)

# -- the event


def test_an_event_comes_with_the_emulators_bytes() -> None:
    desk = Desk()
    desk.offer()

    (answer,) = desk.connect().tell(NEXT)

    assert without_date(answer) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Aws-Request-Id: id-1\r\n"
        b"Lambda-Runtime-Deadline-Ms: 1700000003000\r\n"
        b"Lambda-Runtime-Invoked-Function-Arn: arn:function\r\n"
        b"Lambda-Runtime-Trace-Id: Root=1-2-3\r\n"
        b'Content-Length: 7\r\n\r\n{"a":1}'
    )


def test_context_headers_are_sent_when_there_is_something_in_them() -> None:
    desk = Desk()
    desk.offer(client_context='{"custom":\n1}', cognito_identity='{"c":1}', tenant_id="t")

    (answer,) = desk.connect().tell(NEXT)

    assert b'\r\nLambda-Runtime-Client-Context: {"custom": 1}\r\n' in answer
    assert b'\r\nLambda-Runtime-Cognito-Identity: {"c":1}\r\n' in answer
    assert b"\r\nLambda-Runtime-Aws-Tenant-Id: t\r\n" in answer


def test_absent_context_can_be_sent_as_empty_headers() -> None:
    desk = Desk()
    peer = desk.connect()
    peer.connection.empty_headers = True
    desk.offer()

    (answer,) = peer.tell(NEXT)

    assert b"\r\nLambda-Runtime-Client-Context: \r\n" in answer
    assert b"\r\nLambda-Runtime-Cognito-Identity: \r\n" in answer


@pytest.mark.parametrize("size", [0, 1, 2048])
def test_an_event_of_up_to_2048_bytes_has_a_content_length(size: int) -> None:
    desk = Desk()
    desk.offer(b"x" * size)

    (answer,) = desk.connect().tell(NEXT)

    assert f"\r\nContent-Length: {size}\r\n".encode() in answer
    assert answer.endswith(b"\r\n\r\n" + b"x" * size)


@pytest.mark.parametrize("size", [2049, 70_000])
def test_an_event_above_2048_bytes_is_one_chunk(size: int) -> None:
    desk = Desk()
    desk.offer(b"x" * size)

    (answer,) = desk.connect().tell(NEXT)

    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert rest == b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)


def test_next_while_running_brings_the_same_event_at_once_on_any_connection() -> None:
    desk = Desk()
    peer = desk.running()

    again = peer.tell(NEXT)
    elsewhere = desk.connect().tell(NEXT)

    assert again == elsewhere == peer.sent[:1]


# -- the answer


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_an_answer_is_accepted_with_the_emulators_bytes(endpoint: str) -> None:
    desk = Desk()

    (answer,) = desk.running().tell(post(f"invocation/id-1/{endpoint}", b"{}"))

    assert without_date(answer) == (
        b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
        b'Content-Length: 16\r\n\r\n{"status":"OK"}\n'
    )


def test_a_response_and_the_next_next_in_one_write_are_answered_in_order() -> None:
    desk = Desk()
    peer = desk.running()

    answers = peer.tell(post("invocation/id-1/response", b"{}") + NEXT)
    assert [read(answer) for answer in answers] == [(202, ANSWER_OK)]
    second = Invocation(b"2", timeout=3.0)
    desk.platform.offer(second)

    assert read(peer.sent[-1]) == (200, b"2")


def test_requests_behind_a_pending_next_wait_for_its_answer() -> None:
    desk = Desk()
    peer = desk.connect()

    assert peer.tell(NEXT + PING) == []
    desk.offer()

    assert [read(answer) for answer in peer.sent] == [(200, b'{"a":1}'), (200, b"pong")]


@pytest.mark.parametrize("piece", [1, 7, 40])
def test_requests_may_come_in_pieces(piece: int) -> None:
    desk = Desk()
    peer = desk.running()
    data = post("invocation/id-1/response", b'{"x":1}') + NEXT

    for start in range(0, len(data), piece):
        peer.tell(data[start : start + piece])

    assert read(peer.sent[1]) == (202, ANSWER_OK)
    assert desk.platform.state is RuntimeState.READY


def chunked(*trailers: bytes) -> bytes:
    """A streamed response of two chunks to id-1."""
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


def test_a_chunked_response_is_collected_for_an_invoker_who_waits_for_all_of_it() -> None:
    desk = Desk()
    invocation = desk.offer()
    peer = desk.connect()
    peer.tell(NEXT)

    assert peer.ask(chunked()) == (202, ANSWER_OK)
    assert invocation.outcome is not None
    assert invocation.outcome.payload == b"hello!"
    assert peer.tell(NEXT) == []


def test_error_trailers_make_it_an_error_with_the_body_that_they_bring() -> None:
    desk = Desk()
    invocation = desk.offer()
    peer = desk.connect()
    peer.tell(NEXT)

    status, _ = peer.ask(
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
    desk = Desk()
    peer = desk.running()
    request = post("invocation/id-1/response", b"{}", "Expect: 100-continue")

    assert peer.tell(request[:-2]) == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert peer.ask(b"{}") == (202, ANSWER_OK)


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
def test_an_error_type_is_what_the_platform_makes_of_it(header: str, expected: str) -> None:
    desk = Desk()
    invocation = desk.offer()
    peer = desk.connect()
    peer.tell(NEXT)

    name = "Lambda-Runtime-Function-Error-Type"
    peer.tell(post("invocation/id-1/error", b"{}", f"{name}: {header}"))

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
def test_a_cause_in_an_errors_body_is_not_for_the_invoker(body: bytes, seen: bytes) -> None:
    desk = Desk()
    invocation = desk.offer()
    peer = desk.connect()
    peer.tell(NEXT)

    content_type = "Content-Type: application/vnd.aws.lambda.error.cause+json"
    peer.tell(post("invocation/id-1/error", body, content_type))

    assert invocation.outcome is not None
    assert invocation.outcome.payload == seen


# -- refusals


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_second_answer_is_refused(endpoint: str) -> None:
    desk = Desk()
    peer = desk.running()
    peer.tell(post("invocation/id-1/response", b"{}"))

    target = {"response": "InvocationResponse", "error": "InvocationErrorResponse"}[endpoint]
    assert peer.ask(post(f"invocation/id-1/{endpoint}", b"{}")) == (
        403,
        state_refusal(f"RuntimeResponseSentState to {target}"),
    )


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_wrong_request_id_is_refused_before_the_state_is_asked(endpoint: str) -> None:
    desk = Desk()
    expected = (400, error("Invalid request ID", "InvalidRequestID"))

    assert desk.connect().ask(post(f"invocation/x/{endpoint}", b"{}")) == expected
    peer = desk.running()
    assert peer.ask(post(f"invocation/x/{endpoint}", b"{}")) == expected
    peer.tell(post("invocation/id-1/response", b"{}"))
    assert peer.ask(post(f"invocation/x/{endpoint}", b"{}")) == expected


def test_a_bad_response_mode_is_refused_and_the_state_stays_where_it_led() -> None:
    desk = Desk()
    peer = desk.running()

    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    assert peer.ask(post("invocation/id-1/response", b"{}", mode)) == (
        400,
        error("Invalid function response mode", "InvalidFunctionResponseMode"),
    )
    assert peer.ask(NEXT) == (403, state_refusal("InvocationResponse to Ready"))
    assert peer.ask(post("invocation/id-1/error", b"{}")) == (
        403,
        state_refusal("InvocationResponse to InvocationErrorResponse"),
    )


def test_an_init_error_is_final() -> None:
    desk = Desk()
    peer = desk.connect()

    assert peer.ask(post("init/error", b"{}")) == (202, ANSWER_OK)
    assert peer.ask(post("init/error", b"{}")) == (403, state_refusal("InitError to InitError"))
    assert peer.ask(NEXT) == (403, state_refusal("InitError to Ready"))


def test_an_init_error_is_refused_once_the_runtime_has_come() -> None:
    desk = Desk()
    peer = desk.running()

    assert peer.ask(post("init/error", b"{}")) == (403, state_refusal("Running to InitError"))


def test_an_init_error_is_the_reply_of_the_first_invoke_and_only_of_that() -> None:
    desk = Desk()
    desk.connect().tell(post("init/error", b'{"errorType":"E"}'))

    first = desk.offer()
    desk.platform.end()
    second = desk.offer()

    assert first.outcome is not None
    assert first.outcome.payload == b'{"errorType":"E"}'
    assert second.outcome is None
