"""Multi-concurrency without I/O: many events at once, as AWS's emulator was seen to answer."""

import pytest

from okibi.local.journal import EntryKind
from okibi.local.outcomes import exited
from tests.support.platform_without_io import ANSWER_OK, NEXT, ManyDesk, error, post, read

INVALID_ID = (400, error("Invalid request ID", "InvalidRequestID"))
TOO_LATE = (410, error("Invoke timeout", "InvokeTimeout"))


def test_each_pending_next_takes_one_of_the_concurrent_events() -> None:
    desk = ManyDesk()
    peers = [desk.waiting() for _ in range(3)]

    for number in range(3):
        desk.offer(f"id-{number}", b"%d" % number)

    assert [read(peer.sent[0]) for peer in peers] == [(200, b"0"), (200, b"1"), (200, b"2")]


def test_answers_come_in_any_order_and_on_any_connection() -> None:
    desk = ManyDesk()
    first, second = desk.waiting(), desk.waiting()
    one, two = desk.offer("one"), desk.offer("two")

    assert first.ask(post("invocation/two/response", b"2")) == (202, ANSWER_OK)
    assert second.ask(post("invocation/one/error", b"1")) == (202, ANSWER_OK)

    assert one.outcome is not None
    assert two.outcome is not None
    assert (one.outcome.payload, two.outcome.payload) == (b"1", b"2")
    assert [invocation.request_id for invocation in desk.ended] == ["two", "one"]


def test_next_is_allowed_before_and_while_a_response_is_sent() -> None:
    desk = ManyDesk()
    peer, other = desk.waiting(), desk.connect()
    desk.offer("one")
    half = post("invocation/one/response", b"12")
    peer.tell(half[:-1])

    assert other.tell(NEXT) == []
    desk.offer("two", b"2")

    assert read(other.sent[0]) == (200, b"2")
    assert peer.ask(half[-1:]) == (202, ANSWER_OK)


def test_an_invoke_that_finds_no_idle_slot_is_refused_at_once() -> None:
    desk = ManyDesk()
    desk.waiting()
    desk.offer("one")

    refused = desk.offer("two")

    assert refused.outcome is not None
    assert refused.result().status_code == 400
    assert refused.result().payload == b'{"errorType":"Runtime.Unavailable"}'
    assert refused.result().handed_out is False
    assert desk.journal.times(EntryKind.UNAVAILABLE, "two") == [100.0]


def test_invokes_that_come_before_the_runtime_wait_for_its_slots() -> None:
    desk = ManyDesk()
    one, two = desk.offer("one"), desk.offer("two")

    peers = [desk.waiting(), desk.waiting()]

    assert [len(peer.sent) for peer in peers] == [1, 1]
    assert one.outcome is None
    assert two.outcome is None


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_second_answer_is_an_unknown_id(endpoint: str) -> None:
    desk = ManyDesk()
    peer = desk.waiting()
    desk.offer("one")
    peer.tell(post("invocation/one/response", b"1"))

    assert peer.ask(post(f"invocation/one/{endpoint}", b"2")) == INVALID_ID


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_an_answer_after_the_time_out_is_410_once_and_then_unknown(endpoint: str) -> None:
    desk = ManyDesk()
    peer = desk.waiting()
    invocation = desk.offer("one")

    desk.slots.expire(invocation)

    assert invocation.outcome is not None
    assert invocation.outcome.error_type == "Sandbox.Timedout"
    assert peer.ask(post(f"invocation/one/{endpoint}", b"2")) == TOO_LATE
    assert peer.ask(post(f"invocation/one/{endpoint}", b"2")) == INVALID_ID
    assert peer.tell(NEXT) == []


def test_a_body_that_ends_after_the_time_out_is_410() -> None:
    desk = ManyDesk()
    peer = desk.waiting()
    invocation = desk.offer("one")
    request = post("invocation/one/response", b"12")
    peer.tell(request[:-1])
    desk.slots.expire(invocation)

    assert peer.ask(request[-1:]) == TOO_LATE


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_an_answer_to_another_attempt_is_410_and_the_right_one_still_accepted(
    endpoint: str,
) -> None:
    desk = ManyDesk()
    peer = desk.waiting()
    desk.offer("one", invocation_id="a")
    header = "Lambda-Runtime-Invocation-Id"

    assert peer.ask(post(f"invocation/one/{endpoint}", b"2", f"{header}: b")) == TOO_LATE
    assert peer.ask(post(f"invocation/one/{endpoint}", b"2", f"{header}: a")) == (202, ANSWER_OK)


def test_a_bad_response_mode_ends_that_invocation_and_nothing_else() -> None:
    desk = ManyDesk()
    peer = desk.waiting()
    invocation = desk.offer("one")

    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    assert peer.ask(post("invocation/one/response", b"2", mode)) == (
        400,
        error("Invalid function response mode", "InvalidFunctionResponseMode"),
    )
    assert invocation.outcome is not None
    assert invocation.outcome.payload == b'{"errorType":"Runtime.InvalidResponseModeHeader"}'
    assert peer.ask(post("invocation/one/response", b"2")) == INVALID_ID
    assert peer.tell(NEXT) == []


def test_a_response_cut_short_is_an_error_to_the_invoker_and_the_others_go_on() -> None:
    desk = ManyDesk()
    peer, other = desk.waiting(), desk.waiting()
    cut, good = desk.offer("one"), desk.offer("two")
    peer.tell(post("invocation/one/response", b"12")[:-1])

    peer.connection.peer_gone()

    assert cut.outcome is not None
    assert cut.outcome.error_type == "Runtime.TruncatedResponse"
    assert other.ask(post("invocation/two/response", b"2")) == (202, ANSWER_OK)
    assert good.outcome is not None


def test_an_abandoned_next_fails_the_event_that_it_swallows() -> None:
    desk = ManyDesk()
    desk.waiting().connection.peer_gone()
    waiting = desk.waiting()

    swallowed, _ = desk.offer("one"), desk.offer("two", b"2")

    assert swallowed.outcome is not None
    assert swallowed.outcome.error_type == "Runtime.Unknown"
    assert read(waiting.sent[0]) == (200, b"2")


def test_an_init_error_is_accepted_at_any_time_and_answers_those_that_wait() -> None:
    desk = ManyDesk()
    one, two = desk.offer("one"), desk.offer("two")
    peer = desk.connect()

    assert peer.ask(post("init/error", b'{"errorType":"E"}')) == (202, ANSWER_OK)
    assert peer.ask(post("init/error", b"{}")) == (202, ANSWER_OK)

    assert one.outcome is not None
    assert two.outcome is not None
    assert one.outcome.payload == two.outcome.payload == b'{"errorType":"E"}'


def test_the_sandboxs_end_answers_all_that_run() -> None:
    desk = ManyDesk()
    desk.waiting()
    desk.waiting()
    running = [desk.offer("one"), desk.offer("two")]

    desk.slots.end(lambda request_id: exited(request_id, 1))

    payloads = [invocation.result().payload.decode() for invocation in running]
    assert ["one" in payloads[0], "two" in payloads[1]] == [True, True]
    assert desk.slots.running == {}
