"""The cases of multi-concurrency."""

from tests.conformance.runtime_api.cases import (
    ACCEPTED,
    BAD_MODE,
    INVALID_ID,
    LARGEST,
    SHORT_WAIT,
    TOO_LARGE,
    case,
    init_error,
    post,
    streaming_response,
)
from tests.conformance.runtime_api.peer import ApiAnswer, Invoker, Peer
from tests.conformance.runtime_api.session import NEXT, ApiSession

TOO_LATE = '{"errorMessage":"Invoke timeout","errorType":"InvokeTimeout"}\n'


def waiting_next(session: ApiSession) -> Peer:
    """Open a connection and send a next that waits for an event."""
    peer = session.connect()
    peer.send(NEXT)
    peer.read(SHORT_WAIT)
    return peer


def invoke_and_take(session: ApiSession, payload: bytes) -> tuple[Invoker, Peer, ApiAnswer]:
    """Invoke, and let a new connection take the event."""
    peer = waiting_next(session)
    return session.invoke(payload), peer, peer.read()


@case(11, "many")
def each_waiting_next_gets_one_event_and_answers_come_in_any_order(session: ApiSession) -> None:
    first, second = waiting_next(session), waiting_next(session)
    one, two = session.invoke(b"1"), session.invoke(b"2")
    event, other = first.read(), second.read()
    session.expect("the first", event, 200, b"1")
    session.expect("the second", other, 200, b"2")
    ids = [session.id_of(event), session.id_of(other)]
    session.expect("of the second", first.ask(post(ids[1], "response", b"22")), 202, ACCEPTED)
    session.expect("of the first", second.ask(post(ids[0], "response", b"11")), 202, ACCEPTED)
    session.expect("the first invoker", one.answer(), 200, b"11")
    session.expect("the second invoker", two.answer(), 200, b"22")


@case(11, "many")
def an_invoke_without_an_idle_slot_is_refused(session: ApiSession) -> None:
    invoke_and_take(session, b"1")
    refused = session.invoke(b"2").answer()
    session.expect("the invoker", refused, 400, '{"errorType":"Runtime.Unavailable"}')


@case(11, "many")
def a_second_answer_is_an_unknown_id(session: ApiSession) -> None:
    _, peer, event = invoke_and_take(session, b"1")
    request_id = session.id_of(event)
    peer.ask(post(request_id, "response"))
    for endpoint in ("response", "error"):
        session.expect(endpoint, peer.ask(post(request_id, endpoint)), 400, INVALID_ID)
    session.expect("a wrong id", peer.ask(post("x", "response")), 400, INVALID_ID)


@case(11, "many")
def next_is_allowed_while_a_response_is_half_sent(session: ApiSession) -> None:
    _, peer, event = invoke_and_take(session, b"1")
    whole = post(session.id_of(event), "response", b"12")
    peer.send(whole[:-1])
    other = waiting_next(session)
    session.invoke(b"2")
    session.expect("next", other.read(), 200, b"2")
    session.expect("the other half", peer.ask(whole[-1:]), 202, ACCEPTED)


@case(11, "many")
def a_second_response_during_the_first_is_an_unknown_id(session: ApiSession) -> None:
    _, peer, event = invoke_and_take(session, b"1")
    request_id = session.id_of(event)
    peer.send(post(request_id, "response", b"12")[:-1])
    peer.read(SHORT_WAIT)
    again = session.connect().ask(post(request_id, "response"))
    session.expect("answer", again, 400, INVALID_ID)


@case(11, "many")
def a_truncated_response_fails_the_invoke(session: ApiSession) -> None:
    invoker, peer, event = invoke_and_take(session, b"1")
    peer.send(post(session.id_of(event), "response", b"12")[:-1])
    peer.read(SHORT_WAIT)
    peer.close()
    expected = '{"errorType":"Runtime.TruncatedResponse"}'
    session.expect("the invoker", invoker.answer(), 200, expected)


@case(11, "many")
def a_response_and_next_in_one_write_are_answered_in_order(session: ApiSession) -> None:
    _, peer, event = invoke_and_take(session, b"1")
    peer.send(post(session.id_of(event), "response") + NEXT)
    session.expect("the response", peer.read(), 202, ACCEPTED)
    peer.read(SHORT_WAIT)
    session.invoke(b"2")
    session.expect("the event", peer.read(), 200, b"2")


@case(11, "many")
def a_too_large_response_is_413_and_ends_the_invocation(session: ApiSession) -> None:
    invoker, peer, event = invoke_and_take(session, b"1")
    request_id = session.id_of(event)
    answer = peer.ask(post(request_id, "response", b"x" * (LARGEST + 1)))
    session.expect("answer", answer, 413, TOO_LARGE)
    expected = (
        '{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size'
        ' exceeded maximum allowed payload size (6291556 bytes)."}'
    )
    # First: until then the emulator may still know the invocation, and answers an error with 500.
    session.expect("the invoker", invoker.answer(), 200, expected)
    session.expect("error", peer.ask(post(request_id, "error")), 400, INVALID_ID)


@case(11, "many")
def a_bad_response_mode_ends_only_its_invocation(session: ApiSession) -> None:
    invoker, peer, event = invoke_and_take(session, b"1")
    request_id = session.id_of(event)
    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    session.expect("answer", peer.ask(post(request_id, "response", b"{}", mode)), 400, BAD_MODE)
    session.expect("again", peer.ask(post(request_id, "response")), 400, INVALID_ID)
    expected = '{"errorType":"Runtime.InvalidResponseModeHeader"}'
    session.expect("the invoker", invoker.answer(), 200, expected)
    _, _, following = invoke_and_take(session, b"2")
    session.expect("the next event", following, 200, b"2")


@case(11, "many")
def an_abandoned_next_fails_its_event(session: ApiSession) -> None:
    invoke_and_take(session, b"1")
    waiting_next(session).close()
    waiting = waiting_next(session)
    session.expect(
        "the invoker", session.invoke(b"2").answer(), 200, '{"errorType":"Runtime.Unknown"}'
    )
    session.invoke(b"3")
    session.expect("the next waiting connection", waiting.read(), 200, b"3")


@case(11, "many")
def init_error_is_accepted_while_running(session: ApiSession) -> None:
    _, peer, _ = invoke_and_take(session, b"1")
    session.expect("answer", peer.ask(init_error()), 202, ACCEPTED)


@case(11, "many")
def error_trailers_make_a_response_an_error_with_many(session: ApiSession) -> None:
    invoker, peer, event = invoke_and_take(session, b"1")
    trailers = (
        "Lambda-Runtime-Function-Error-Type: Runtime.StreamError",
        "Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==",
    )
    answer = peer.ask(streaming_response(session.id_of(event), *trailers))
    session.expect("answer", answer, 202, ACCEPTED)
    session.expect("the invoker", invoker.answer(), 200, b'{"a":1}')


@case(13, "many")
def an_answer_to_another_attempt_is_410(
    session: ApiSession,
) -> None:
    for endpoint in ("response", "error"):
        _, peer, event = invoke_and_take(session, b"1")
        request_id = session.id_of(event)
        name = "Lambda-Runtime-Invocation-Id"
        session.expect_text("given", str(name.lower() in event.headers), "True")
        other = peer.ask(post(request_id, endpoint, b"{}", f"{name}: x"))
        session.expect(f"{endpoint} of another", other, 410, TOO_LATE)
        right = f"{name}: {event.headers[name.lower()]}"
        own = peer.ask(post(request_id, endpoint, b"{}", right))
        session.expect(f"{endpoint} of this one", own, 202, ACCEPTED)


@case(13, "many")
def an_answer_without_an_attempt_is_accepted(session: ApiSession) -> None:
    for label, headers in (("none", ()), ("an empty one", ("Lambda-Runtime-Invocation-Id:",))):
        _, peer, event = invoke_and_take(session, b"1")
        answer = peer.ask(post(session.id_of(event), "response", b"{}", *headers))
        session.expect(label, answer, 202, ACCEPTED)
