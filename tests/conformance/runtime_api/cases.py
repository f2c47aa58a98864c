"""The cases: requests to the Runtime API, and the answers that the specification demands.

The number of a case is its item in the specification's list of what a local server must reproduce
(section 8). The mode `one` is the classic Runtime API with one event at a time, `many` is
multi-concurrency. Further cases: `cases_many.py` and `cases_extensions.py`.
"""

from collections.abc import Callable

import attrs

from tests.conformance.runtime_api.peer import NO_ANSWER, request
from tests.conformance.runtime_api.session import EVENT, NEXT, RUNTIME, ApiSession

__all__ = ["ACCEPTED", "CASES", "INVALID_ID", "Case", "case", "post", "state_refusal"]

ACCEPTED = '{"status":"OK"}\n'
INVALID_ID = '{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n'
BAD_MODE = (
    '{"errorMessage":"Invalid function response mode","errorType":"InvalidFunctionResponseMode"}\n'
)
TOO_LARGE = (
    '{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).",'
    '"errorType":"RequestEntityTooLarge"}\n'
)
LARGEST = 6_291_556
TRACE = (
    "X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
)
SHORT_WAIT = 0.3
"""Seconds to wait before concluding that no answer comes."""


@attrs.frozen
class Case:
    """One case of the suite.

    Args:
        number: item in the specification's list.
        name: the rule.
        mode: `one` or `many`.
        timeout: timeout of the function, in seconds.
        run: performs the case and records observations.
    """

    number: int
    name: str
    mode: str
    timeout: int
    run: Callable[[ApiSession], None]

    def __str__(self) -> str:
        return f"{self.number}-{self.mode}-{self.run.__name__}"


CASES: list[Case] = []


def case(number: int, mode: str = "one", timeout: int = 30) -> Callable[..., Callable[..., None]]:
    """Add a function to the cases. Its docstring, or else its name, is the rule."""

    def add(run: Callable[[ApiSession], None]) -> Callable[[ApiSession], None]:
        name = " ".join((run.__doc__ or run.__name__.replace("_", " ")).split())
        CASES.append(Case(number, name, mode, timeout, run))
        return run

    return add


def post(request_id: str, endpoint: str, body: bytes = b"{}", *headers: str) -> bytes:
    return request("POST", f"{RUNTIME}invocation/{request_id}/{endpoint}", body, *headers)


def init_error(body: bytes = b'{"errorType":"E"}') -> bytes:
    return request("POST", f"{RUNTIME}init/error", body)


def state_refusal(transition: str) -> str:
    return (
        f'{{"errorMessage":"State transition from {transition} failed for runtime. Error: State'
        ' transition is not allowed","errorType":"InvalidStateTransition"}\n'
    )


@case(1)
def next_while_running_returns_the_same_event(session: ApiSession) -> None:
    _, peer, _ = session.invoke_and_take()
    again, elsewhere = peer.ask(NEXT), session.connect().ask(NEXT)
    session.expect("again", again, 200, EVENT)
    session.expect("on another connection", elsewhere, 200, EVENT)
    same = again.headers["lambda-runtime-aws-request-id"] == session.id_of(elsewhere)
    session.expect_text("the id", str(same), "True")


@case(2)
def a_second_answer_is_refused(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    session.expect("response", peer.ask(post(request_id, "response")), 202, ACCEPTED)
    again = peer.ask(post(request_id, "response"))
    transition = "RuntimeResponseSentState to InvocationResponse"
    session.expect("response again", again, 403, state_refusal(transition))
    transition = "RuntimeResponseSentState to InvocationErrorResponse"
    session.expect("error", peer.ask(post(request_id, "error")), 403, state_refusal(transition))


@case(2)
def an_error_is_the_only_answer(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    failure = b'{"errorMessage":"m","errorType":"T"}'
    session.expect("error", peer.ask(post(request_id, "error", failure)), 202, ACCEPTED)
    transition = "RuntimeResponseSentState to InvocationErrorResponse"
    session.expect("again", peer.ask(post(request_id, "error")), 403, state_refusal(transition))
    peer.send(NEXT)
    session.expect("the invoker", invoker.answer(), 200, failure)


@case(2)
def next_while_a_response_is_half_sent_is_refused(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    whole = post(request_id, "response", b'{"b":2}')
    peer.send(whole[:-3])
    refused = session.connect().ask(NEXT)
    for _ in range(20):  # the server may read the other connection first
        if refused.status == 403:
            break
        refused = session.connect().ask(NEXT)
    session.expect("next", refused, 403, state_refusal("InvocationResponse to Ready"))
    session.expect("the other half", peer.ask(whole[-3:]), 202, ACCEPTED)


@case(2)
def init_error_is_refused_after_the_first_next(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    refused = peer.ask(init_error())
    session.expect("while running", refused, 403, state_refusal("Running to InitError"))
    peer.ask(post(request_id, "response"))
    transition = "RuntimeResponseSentState to InitError"
    session.expect("after its answer", peer.ask(init_error()), 403, state_refusal(transition))


@case(2)
def init_error_is_final_and_the_reply_to_the_first_invoke(session: ApiSession) -> None:
    invoker, peer = session.invoke(), session.connect()
    session.expect("init/error", peer.ask(init_error()), 202, ACCEPTED)
    again, following = peer.ask(init_error()), peer.ask(NEXT)
    session.expect("again", again, 403, state_refusal("InitError to InitError"))
    session.expect("next", following, 403, state_refusal("InitError to Ready"))
    session.expect("the invoker", invoker.answer(SHORT_WAIT), 200, b'{"errorType":"E"}')


@case(3)
def a_wrong_id_is_refused_in_every_state(session: ApiSession) -> None:
    session.invoke()
    peer = session.connect()
    session.expect("before next", peer.ask(post("x", "response")), 400, INVALID_ID)
    request_id = session.id_of(peer.ask(NEXT))
    for endpoint in ("response", "error"):
        answer = peer.ask(post("x", endpoint))
        session.expect(f"{endpoint} while running", answer, 400, INVALID_ID)
    peer.ask(post(request_id, "response"))
    session.expect("after the answer", peer.ask(post("x", "response")), 400, INVALID_ID)


@case(3)
def an_id_is_invalid_after_the_next_event(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    peer.send(post(request_id, "response") + NEXT)
    peer.read()
    invoker.answer()
    session.invoke(b"2")
    session.expect("the next event", peer.read(), 200, b"2")
    session.expect("response", peer.ask(post(request_id, "response")), 400, INVALID_ID)


@case(4)
def the_largest_response_is_accepted(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    session.expect("answer", peer.ask(post(request_id, "response", b"x" * LARGEST)), 202, ACCEPTED)


@case(4)
def a_too_large_response_is_413_and_next_still_works(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    answer = peer.ask(post(request_id, "response", b"x" * (LARGEST + 1)))
    session.expect("response", answer, 413, TOO_LARGE)
    transition = "RuntimeResponseSentState to InvocationErrorResponse"
    session.expect("error", peer.ask(post(request_id, "error")), 403, state_refusal(transition))
    peer.send(NEXT)
    session.expect(
        "the invoker", invoker.answer(), 200,
        '{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size'
        ' exceeded maximum allowed payload size (6291556 bytes)."}',
    )  # fmt: skip
    session.invoke(b"2")
    session.expect("next", peer.read(), 200, b"2")


@case(4)
def a_too_large_error_closes_the_connection(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    session.expect("error", peer.ask(post(request_id, "error", b"x" * (LARGEST + 1))), 0)
    following = session.connect().ask(NEXT)
    transition = "InvocationErrorResponse to Ready"
    session.expect("next", following, 403, state_refusal(transition))


@case(5)
def headers_without_a_value_are_omitted(session: ApiSession) -> None:
    session.invoke(EVENT, TRACE)
    headers = session.connect().ask(NEXT).headers
    names = sorted(name for name in headers if name != "date")
    expected = [
        "content-length", "content-type", "lambda-runtime-aws-request-id",
        "lambda-runtime-deadline-ms", "lambda-runtime-invoked-function-arn",
        "lambda-runtime-trace-id",
    ]  # fmt: skip
    session.expect_text("header names", " ".join(names), " ".join(expected))
    session.expect_text("content type", headers["content-type"], "application/json")


@case(5)
def a_client_context_is_passed_on(session: ApiSession) -> None:
    session.invoke(EVENT, "X-Amz-Client-Context: eyJhIjoxfQ==")
    headers = session.connect().ask(NEXT).headers
    session.expect_text("answer", headers.get("lambda-runtime-client-context", ""), '{"a":1}')


@case(6)
def a_response_and_next_in_one_write_are_answered_in_order(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    peer.send(post(request_id, "response", b"1") + NEXT)
    session.expect("the response", peer.read(), 202, ACCEPTED)
    session.expect("the invoker", invoker.answer(), 200, b"1")
    session.invoke(b"2")
    session.expect("the event", peer.read(), 200, b"2")


def check_event_framing(session: ApiSession, size: int) -> None:
    """Check that an event above 2048 bytes is chunked, and a smaller event is not."""
    payload = b'"' + b"x" * (size - 2) + b'"'
    session.invoke(payload)
    answer = session.connect().ask(NEXT)
    session.expect("answer", answer, 200, payload)
    framing = answer.headers.get("transfer-encoding", "whole")
    session.expect_text("framing", framing, "chunked" if size > 2048 else "whole")


@case(7)
def an_event_of_2048_bytes_is_not_chunked(session: ApiSession) -> None:
    check_event_framing(session, 2048)


@case(7)
def an_event_above_2048_bytes_is_chunked(session: ApiSession) -> None:
    check_event_framing(session, 2049)


def streaming_response(request_id: str, *trailers: str) -> bytes:
    """Build a streamed response of two chunks."""
    head = request("GET", f"{RUNTIME}invocation/{request_id}/response").replace(b"GET", b"POST")
    lines = [
        "Lambda-Runtime-Function-Response-Mode: streaming",
        "Transfer-Encoding: chunked",
        "Trailer: Lambda-Runtime-Function-Error-Type",
        "Trailer: Lambda-Runtime-Function-Error-Body",
    ]
    body = "5\r\nhello\r\n1\r\n!\r\n0\r\n" + "".join(f"{line}\r\n" for line in trailers) + "\r\n"
    return head.removesuffix(b"\r\n") + "\r\n".join([*lines, "", body]).encode()


@case(7)
def a_streamed_response_is_accepted(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    peer.send(streaming_response(request_id) + NEXT)
    session.expect("answer", peer.read(), 202, ACCEPTED)
    session.expect("the invoker", invoker.answer(), 200, b"hello!")


@case(7)
def error_trailers_make_a_streamed_response_an_error(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    trailers = (
        "Lambda-Runtime-Function-Error-Type: Runtime.StreamError",
        "Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==",
    )
    peer.send(streaming_response(request_id, *trailers) + NEXT)
    session.expect("answer", peer.read(), 202, ACCEPTED)
    session.expect("the invoker", invoker.answer(), 200, b'{"a":1}')


@case(8)
def a_bad_response_mode_is_400_and_blocks_next(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    session.expect("answer", peer.ask(post(request_id, "response", b"{}", mode)), 400, BAD_MODE)
    transition = "InvocationResponse to Ready"
    session.expect("next", peer.ask(NEXT), 403, state_refusal(transition))
    transition = "InvocationResponse to InvocationErrorResponse"
    session.expect("error", peer.ask(post(request_id, "error")), 403, state_refusal(transition))


@case(8)
def next_is_refused_after_a_truncated_response(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    peer.send(post(request_id, "response", b"123")[:-1])
    peer.read(SHORT_WAIT)
    peer.close()
    session.expect(
        "next", session.connect().ask(NEXT), 403, state_refusal("InvocationResponse to Ready")
    )


@case(9)
def an_abandoned_next_loses_one_event(session: ApiSession) -> None:
    invoker, peer, request_id = session.invoke_and_take()
    peer.send(post(request_id, "response") + NEXT)
    peer.read()
    invoker.answer()
    peer.close()
    waiting = session.connect()
    waiting.send(NEXT)
    waiting.read(SHORT_WAIT)
    session.invoke(b"2")
    session.expect("the next waiting connection", waiting.read(SHORT_WAIT), *NO_ANSWER[:2])
    session.expect("one more connection", session.connect().ask(NEXT), 200, b"2")


@case(10)
def headers_above_a_mebibyte_are_431_and_close_the_connection(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    cause = "Lambda-Runtime-Function-XRay-Error-Cause: " + "a" * 1_100_000
    answer = peer.ask(post(request_id, "error", b"{}", cause))
    session.expect_text("answer", str(answer.status), "431")
    session.expect_text("the connection", answer.headers.get("connection", ""), "close")
    session.expect("error", session.connect().ask(post(request_id, "error")), 202, ACCEPTED)


@case(13)
def an_unexpected_invocation_id_is_ignored(session: ApiSession) -> None:
    _, peer, request_id = session.invoke_and_take()
    named = "Lambda-Runtime-Invocation-Id: x"
    session.expect("answer", peer.ask(post(request_id, "response", b"1", named)), 202, ACCEPTED)


@case(1)
def unknown_paths_are_404_and_methods_405(session: ApiSession) -> None:
    session.invoke()
    peer = session.connect()
    not_found = b"404 page not found\n"
    session.expect("ping", peer.ask(request("GET", "/2018-06-01/ping")), 200, b"pong")
    for path in ("restore/next", "invocation/next/", "nothing"):
        session.expect(path, peer.ask(request("GET", RUNTIME + path)), 404, not_found)
    session.expect("POST next", peer.ask(request("POST", f"{RUNTIME}invocation/next")), 405)
    session.expect("GET init/error", peer.ask(request("GET", f"{RUNTIME}init/error")), 405)


@case(2, timeout=3)
def the_runtime_restarts_after_a_timeout(session: ApiSession) -> None:
    invoker, peer, _ = session.invoke_and_take()
    invoker.answer()
    session.expect_text("the old connection", "closed" if peer.is_closed() else "open", "closed")
    session.invoke(b"2", starts=2)
    session.expect("a new one", session.connect().ask(NEXT), 200, b"2")
