"""Multi-concurrency without I/O, compared with recordings of AWS's emulator."""

import pytest

from okibi.local.platform.journal import EntryKind
from okibi.local.platform.outcomes import exited
from tests.support.platform_without_io import (
    ANSWER_OK,
    NEXT,
    MultiConcurrencyHarness,
    error,
    post,
    read,
)

INVALID_ID = (400, error("Invalid request ID", "InvalidRequestID"))
TOO_LATE = (410, error("Invoke timeout", "InvokeTimeout"))


def test_each_pending_next_takes_one_event() -> None:
    harness = MultiConcurrencyHarness()
    peers = [harness.waiting() for _ in range(3)]

    for number in range(3):
        harness.offer(f"id-{number}", b"%d" % number)

    assert [read(peer.sent[0]) for peer in peers] == [(200, b"0"), (200, b"1"), (200, b"2")]


def test_responses_may_come_in_any_order_and_on_any_connection() -> None:
    harness = MultiConcurrencyHarness()
    first, second = harness.waiting(), harness.waiting()
    one, two = harness.offer("one"), harness.offer("two")

    assert first.request(post("invocation/two/response", b"2")) == (202, ANSWER_OK)
    assert second.request(post("invocation/one/error", b"1")) == (202, ANSWER_OK)

    assert one.outcome is not None
    assert two.outcome is not None
    assert (one.outcome.payload, two.outcome.payload) == (b"1", b"2")
    assert [invocation.request_id for invocation in harness.ended] == ["two", "one"]


def test_next_is_allowed_while_a_response_is_being_sent() -> None:
    harness = MultiConcurrencyHarness()
    peer, other = harness.waiting(), harness.connect()
    harness.offer("one")
    half = post("invocation/one/response", b"12")
    peer.feed(half[:-1])

    assert other.feed(NEXT) == []
    harness.offer("two", b"2")

    assert read(other.sent[0]) == (200, b"2")
    assert peer.request(half[-1:]) == (202, ANSWER_OK)


def test_an_invoke_without_an_idle_slot_is_refused_at_once() -> None:
    harness = MultiConcurrencyHarness()
    harness.waiting()
    harness.offer("one")

    refused = harness.offer("two")

    assert refused.outcome is not None
    assert refused.result().status_code == 400
    assert refused.result().payload == b'{"errorType":"Runtime.Unavailable"}'
    assert refused.result().handed_out is False
    assert harness.journal.times(EntryKind.UNAVAILABLE, "two") == [100.0]


def test_invokes_during_the_init_phase_wait_for_slots() -> None:
    harness = MultiConcurrencyHarness()
    one, two = harness.offer("one"), harness.offer("two")

    peers = [harness.waiting(), harness.waiting()]

    assert [len(peer.sent) for peer in peers] == [1, 1]
    assert one.outcome is None
    assert two.outcome is None


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_second_response_gets_invalid_request_id(endpoint: str) -> None:
    harness = MultiConcurrencyHarness()
    peer = harness.waiting()
    harness.offer("one")
    peer.feed(post("invocation/one/response", b"1"))

    assert peer.request(post(f"invocation/one/{endpoint}", b"2")) == INVALID_ID


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_response_after_the_time_out_gets_410_once(endpoint: str) -> None:
    harness = MultiConcurrencyHarness()
    peer = harness.waiting()
    invocation = harness.offer("one")

    harness.platform.expire(invocation)

    assert invocation.outcome is not None
    assert invocation.outcome.error_type == "Sandbox.Timedout"
    assert peer.request(post(f"invocation/one/{endpoint}", b"2")) == TOO_LATE
    assert peer.request(post(f"invocation/one/{endpoint}", b"2")) == INVALID_ID
    assert peer.feed(NEXT) == []


def test_a_body_that_ends_after_the_time_out_gets_410() -> None:
    harness = MultiConcurrencyHarness()
    peer = harness.waiting()
    invocation = harness.offer("one")
    request = post("invocation/one/response", b"12")
    peer.feed(request[:-1])
    harness.platform.expire(invocation)

    assert peer.request(request[-1:]) == TOO_LATE


@pytest.mark.parametrize("endpoint", ["response", "error"])
def test_a_response_for_another_attempt_gets_410(
    endpoint: str,
) -> None:
    harness = MultiConcurrencyHarness()
    peer = harness.waiting()
    harness.offer("one", invocation_id="a")
    header = "Lambda-Runtime-Invocation-Id"

    assert peer.request(post(f"invocation/one/{endpoint}", b"2", f"{header}: b")) == TOO_LATE
    assert peer.request(post(f"invocation/one/{endpoint}", b"2", f"{header}: a")) == (
        202,
        ANSWER_OK,
    )


def test_a_bad_response_mode_fails_only_its_invocation() -> None:
    harness = MultiConcurrencyHarness()
    peer = harness.waiting()
    invocation = harness.offer("one")

    mode = "Lambda-Runtime-Function-Response-Mode: Buffered"
    assert peer.request(post("invocation/one/response", b"2", mode)) == (
        400,
        error("Invalid function response mode", "InvalidFunctionResponseMode"),
    )
    assert invocation.outcome is not None
    assert invocation.outcome.payload == b'{"errorType":"Runtime.InvalidResponseModeHeader"}'
    assert peer.request(post("invocation/one/response", b"2")) == INVALID_ID
    assert peer.feed(NEXT) == []


def test_a_truncated_response_fails_only_its_invocation() -> None:
    harness = MultiConcurrencyHarness()
    peer, other = harness.waiting(), harness.waiting()
    cut, good = harness.offer("one"), harness.offer("two")
    peer.feed(post("invocation/one/response", b"12")[:-1])

    peer.connection.peer_gone()

    assert cut.outcome is not None
    assert cut.outcome.error_type == "Runtime.TruncatedResponse"
    assert other.request(post("invocation/two/response", b"2")) == (202, ANSWER_OK)
    assert good.outcome is not None


def test_an_abandoned_next_fails_the_event_that_it_swallows() -> None:
    harness = MultiConcurrencyHarness()
    harness.waiting().connection.peer_gone()
    waiting = harness.waiting()

    swallowed, _ = harness.offer("one"), harness.offer("two", b"2")

    assert swallowed.outcome is not None
    assert swallowed.outcome.error_type == "Runtime.Unknown"
    assert read(waiting.sent[0]) == (200, b"2")


def test_an_init_error_is_accepted_twice_and_answers_waiting_invokes() -> None:
    harness = MultiConcurrencyHarness()
    one, two = harness.offer("one"), harness.offer("two")
    peer = harness.connect()

    assert peer.request(post("init/error", b'{"errorType":"E"}')) == (202, ANSWER_OK)
    assert peer.request(post("init/error", b"{}")) == (202, ANSWER_OK)

    assert one.outcome is not None
    assert two.outcome is not None
    assert one.outcome.payload == two.outcome.payload == b'{"errorType":"E"}'


def test_the_end_of_the_sandbox_answers_all_running_invocations() -> None:
    harness = MultiConcurrencyHarness()
    harness.waiting()
    harness.waiting()
    running = [harness.offer("one"), harness.offer("two")]

    harness.platform.end(lambda request_id: exited(request_id, 1))

    payloads = [invocation.result().payload.decode() for invocation in running]
    assert ["one" in payloads[0], "two" in payloads[1]] == [True, True]
    assert harness.platform.running == {}
