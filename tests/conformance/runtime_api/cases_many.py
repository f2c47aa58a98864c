"""Cases of multi-concurrency."""

from tests.conformance.runtime_api.cases import (
    A_MOMENT,
    ACCEPTED,
    BAD_MODE,
    INVALID_ID,
    LARGEST,
    TOO_LARGE,
    case,
    init_error,
    post,
    streamed,
)
from tests.conformance.runtime_api.peer import Answer, Invoker, Peer
from tests.conformance.runtime_api.stage import NEXT, Stage

TOO_LATE = '{"errorMessage":"Invoke timeout","errorType":"InvokeTimeout"}\n'


def pending(stage: Stage) -> Peer:
    """A connection whose /next waits."""
    peer = stage.connect()
    peer.send(NEXT)
    peer.read(A_MOMENT)
    return peer


def handed_out(stage: Stage, payload: bytes) -> tuple[Invoker, Peer, Answer]:
    """An event that one connection has."""
    peer = pending(stage)
    return stage.invoke(payload), peer, peer.read()


@case(11, "many")
def each_pending_next_takes_one_event_and_answers_come_in_any_order(stage: Stage) -> None:
    first, second = pending(stage), pending(stage)
    one, two = stage.invoke(b"1"), stage.invoke(b"2")
    event, other = first.read(), second.read()
    stage.expect("the first", event, 200, b"1")
    stage.expect("the second", other, 200, b"2")
    ids = [stage.id_of(event), stage.id_of(other)]
    stage.expect("of the second", first.ask(post(ids[1], "response", b"22")), 202, ACCEPTED)
    stage.expect("of the first", second.ask(post(ids[0], "response", b"11")), 202, ACCEPTED)
    stage.expect("the first invoker", one.answer(), 200, b"11")
    stage.expect("the second invoker", two.answer(), 200, b"22")


@case(11, "many")
def an_invoke_that_finds_no_idle_slot_is_refused(stage: Stage) -> None:
    handed_out(stage, b"1")
    refused = stage.invoke(b"2").answer()
    stage.expect("the invoker", refused, 400, '{"errorType":"Runtime.Unavailable"}')


@case(11, "many")
def a_second_answer_is_an_unknown_id(stage: Stage) -> None:
    _, peer, event = handed_out(stage, b"1")
    request_id = stage.id_of(event)
    peer.ask(post(request_id, "response"))
    for endpoint in ("response", "error"):
        stage.expect(endpoint, peer.ask(post(request_id, endpoint)), 400, INVALID_ID)
    stage.expect("a wrong id", peer.ask(post("x", "response")), 400, INVALID_ID)


@case(11, "many")
def next_is_allowed_while_a_response_is_half_sent(stage: Stage) -> None:
    _, peer, event = handed_out(stage, b"1")
    whole = post(stage.id_of(event), "response", b"12")
    peer.send(whole[:-1])
    other = pending(stage)
    stage.invoke(b"2")
    stage.expect("next", other.read(), 200, b"2")
    stage.expect("the other half", peer.ask(whole[-1:]), 202, ACCEPTED)


@case(11, "many")
def a_second_response_while_the_first_is_half_sent_is_an_unknown_id(stage: Stage) -> None:
    _, peer, event = handed_out(stage, b"1")
    request_id = stage.id_of(event)
    peer.send(post(request_id, "response", b"12")[:-1])
    peer.read(A_MOMENT)
    again = stage.connect().ask(post(request_id, "response"))
    stage.expect("it", again, 400, INVALID_ID)


@case(11, "many")
def a_response_cut_short_is_the_invokers_error(stage: Stage) -> None:
    invoker, peer, event = handed_out(stage, b"1")
    peer.send(post(stage.id_of(event), "response", b"12")[:-1])
    peer.read(A_MOMENT)
    peer.close()
    expected = '{"errorType":"Runtime.TruncatedResponse"}'
    stage.expect("the invoker", invoker.answer(), 200, expected)


@case(11, "many")
def a_response_and_the_next_next_in_one_write_are_answered_in_order(stage: Stage) -> None:
    _, peer, event = handed_out(stage, b"1")
    peer.send(post(stage.id_of(event), "response") + NEXT)
    stage.expect("the response", peer.read(), 202, ACCEPTED)
    peer.read(A_MOMENT)
    stage.invoke(b"2")
    stage.expect("the event", peer.read(), 200, b"2")


@case(11, "many")
def an_oversized_response_is_413_and_then_unknown(stage: Stage) -> None:
    invoker, peer, event = handed_out(stage, b"1")
    request_id = stage.id_of(event)
    answer = peer.ask(post(request_id, "response", b"x" * (LARGEST + 1)))
    stage.expect("it", answer, 413, TOO_LARGE)
    stage.expect("error", peer.ask(post(request_id, "error")), 400, INVALID_ID)
    expected = (
        '{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size'
        ' exceeded maximum allowed payload size (6291556 bytes)."}'
    )
    stage.expect("the invoker", invoker.answer(), 200, expected)


@case(11, "many")
def a_bad_response_mode_ends_that_invocation_and_nothing_else(stage: Stage) -> None:
    invoker, peer, event = handed_out(stage, b"1")
    request_id = stage.id_of(event)
    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    stage.expect("it", peer.ask(post(request_id, "response", b"{}", mode)), 400, BAD_MODE)
    stage.expect("again", peer.ask(post(request_id, "response")), 400, INVALID_ID)
    expected = '{"errorType":"Runtime.InvalidResponseModeHeader"}'
    stage.expect("the invoker", invoker.answer(), 200, expected)
    _, _, following = handed_out(stage, b"2")
    stage.expect("the next event", following, 200, b"2")


@case(11, "many")
def an_abandoned_next_fails_the_event_that_it_swallows(stage: Stage) -> None:
    handed_out(stage, b"1")
    pending(stage).close()
    waiting = pending(stage)
    stage.expect("the invoker", stage.invoke(b"2").answer(), 200, '{"errorType":"Runtime.Unknown"}')
    stage.invoke(b"3")
    stage.expect("the one behind it", waiting.read(), 200, b"3")


@case(11, "many")
def init_error_is_accepted_while_running(stage: Stage) -> None:
    _, peer, _ = handed_out(stage, b"1")
    stage.expect("it", peer.ask(init_error()), 202, ACCEPTED)


@case(11, "many")
def error_trailers_make_it_an_error(stage: Stage) -> None:
    invoker, peer, event = handed_out(stage, b"1")
    trailers = (
        "Lambda-Runtime-Function-Error-Type: Runtime.StreamError",
        "Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==",
    )
    answer = peer.ask(streamed(stage.id_of(event), *trailers))
    stage.expect("it", answer, 202, ACCEPTED)
    stage.expect("the invoker", invoker.answer(), 200, b'{"a":1}')


@case(13, "many")
def an_answer_to_another_attempt_is_410_and_the_right_one_still_accepted(stage: Stage) -> None:
    for endpoint in ("response", "error"):
        _, peer, event = handed_out(stage, b"1")
        request_id = stage.id_of(event)
        name = "Lambda-Runtime-Invocation-Id"
        stage.expect_text("given", str(name.lower() in event.headers), "True")
        other = peer.ask(post(request_id, endpoint, b"{}", f"{name}: x"))
        stage.expect(f"{endpoint} of another", other, 410, TOO_LATE)
        right = f"{name}: {event.headers[name.lower()]}"
        own = peer.ask(post(request_id, endpoint, b"{}", right))
        stage.expect(f"{endpoint} of this one", own, 202, ACCEPTED)


@case(13, "many")
def an_answer_that_names_no_attempt_is_accepted(stage: Stage) -> None:
    for label, headers in (("none", ()), ("an empty one", ("Lambda-Runtime-Invocation-Id:",))):
        _, peer, event = handed_out(stage, b"1")
        answer = peer.ask(post(stage.id_of(event), "response", b"{}", *headers))
        stage.expect(label, answer, 202, ACCEPTED)
