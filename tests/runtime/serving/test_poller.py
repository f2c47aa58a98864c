"""The poller: what it makes of what comes, and of what does not."""

import io
import itertools
import json
import logging
from typing import cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.poller import READ_SIZES, Poller
from tests.support.played_api import ACCEPTED, NEXT, event, world


async def test_an_event_that_comes_in_pieces_is_one() -> None:
    async with world() as stage:
        whole = event(body=b'"' + b"x" * 5000 + b'"')
        for at in range(0, len(whole), 997):
            assert stage.lane.delivery is None
            await stage.say(whole[at : at + 997])

        assert json.loads(stage.delivery.body) == "x" * 5000


async def test_an_answer_is_begun_once_its_handler_waits() -> None:
    async with world() as stage:
        heads, ends = list[bytes](), trio.Event()

        async def handler(_: object, __: object) -> None:
            heads.append(stage.delivery.head)
            await ends.wait()

        await stage.serves(handler)
        await stage.say(event())

        assert heads == [b""]
        assert stage.delivery.unsettled
        assert b"/response HTTP/1.1\r\n" in stage.delivery.head
        ends.set()


async def test_an_answer_whose_handler_does_not_wait_is_begun_when_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, begin = list[Delivery](), Lane.prepare_head

    def noted(lane: Lane, delivery: Delivery) -> bytes:
        begun.append(delivery)
        return begin(lane, delivery)

    monkeypatch.setattr(Lane, "prepare_head", noted)
    async with world() as stage:

        async def handler(_: object, __: object) -> int:
            return 1

        await stage.serves(handler)
        await stage.say(event())

        assert [each.outcome is not None for each in begun] == [True]


async def test_what_has_come_of_a_large_event_is_read_without_a_wait_in_between() -> None:
    async with world() as stage:
        text = "x" * 3 * max(READ_SIZES)
        whole = event(body=b'"%s"' % text.encode())
        waits = stage.wire.waits
        await stage.say(*pieces(whole))

        assert json.loads(stage.delivery.body) == text
        assert stage.wire.waits == waits + 1


async def test_a_server_that_has_always_more_to_say_does_not_keep_the_loop_for_itself() -> None:
    async with world() as stage:
        whole = event(body=b"x" * 20_000_000)
        waits = stage.wire.waits
        await stage.say(*pieces(whole))

        assert stage.wire.waits - waits >= 3


async def test_what_was_received_is_not_kept_while_more_is_waited_for() -> None:
    gone: list[int] = []

    class Received(bytes):
        def __del__(self) -> None:
            gone.append(len(self))

    async with world() as stage:
        await stage.say(Received(event()))

        assert stage.delivery.body == b"{}"
        assert gone == [len(event())]


async def test_a_small_event_is_read_into_a_small_buffer() -> None:
    async with world() as stage:
        for n in range(3):
            await stage.say(event(f"id-{n}"))
            await stage.settle()
            await stage.say(ACCEPTED)

        assert {*stage.wire.limits} == {8 * 1024}


def pieces(whole: bytes) -> list[bytes]:
    """What a server has sent, as full reads of it."""
    stream, limits = io.BytesIO(whole), itertools.cycle(READ_SIZES)
    return [*iter(lambda: stream.read(next(limits)), b"")]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 %d No\r\n" % status for status in (400, 403, 410, 413)]
)
async def test_an_answer_that_is_refused_is_logged_and_over(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()
        await stage.say(answer + b"Content-Length: 3\r\n\r\nwhy" + event("id-2"))

        assert stage.delivery.request_id == "id-2"
        assert "refused the response to id-1 with 4" in caplog.text
        assert not stage.failures


async def test_a_refused_next_is_asked_for_again_with_growing_pauses(
    autojump_clock: MockClock,
) -> None:
    async with world() as stage:
        for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
            stage.wire.taken()
            stage.wire.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            await trio.sleep(pause - 0.01)
            assert stage.wire.taken() == b""
            await trio.sleep(0.02)
            assert stage.wire.taken() == NEXT
        assert not stage.failures


async def test_answers_that_nobody_has_asked_for_are_no_spin(autojump_clock: MockClock) -> None:
    async with world() as stage:
        await stage.say(event())
        connect = stage.connect

        async def rogue() -> Transport:
            made = await connect()
            # With an end, lest a spin were one for good.
            if len(stage.connections) < 100:
                stage.wire.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            return made

        for ref in stage.pollers:
            cast("Poller", ref.process().actor).connect = rogue
        stage.wire.say(b"")
        await trio.sleep(3)
        assert 2 < len(stage.connections) < 12

        await stage.settle()
        assert stage.wire.taken().startswith(b"POST ")


async def test_a_next_refused_for_an_hour_is_still_asked_for(autojump_clock: MockClock) -> None:
    async with world() as stage:
        stage.lane.refusals = 5000
        await stage.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        stage.wire.taken()
        await trio.sleep(6)

        assert stage.wire.taken() == NEXT


async def test_a_500_ends_the_process() -> None:
    async with world() as stage:
        await stage.say(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad")

        assert stage.failures == ["the Runtime API answered /next with 500: bad"]


@pytest.mark.parametrize(
    "trouble", [b"", b"noise\r\n\r\n", ConnectionResetError("reset"), ACCEPTED + ACCEPTED]
)
async def test_while_the_handler_runs_a_lost_connection_costs_nothing(
    trouble: bytes | OSError,
) -> None:
    async with world() as stage:
        await stage.say(event())

        await stage.say(trouble)

        assert len(stage.connections) == 2
        assert stage.connections[0].closed
        assert stage.wire.taken() == b""
        await stage.settle()
        assert stage.wire.taken().startswith(b"POST ")
        assert not stage.failures


async def test_a_server_that_closes_after_the_first_answer_is_asked_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with world() as stage:
        for n in range(3):
            await stage.say(event(f"id-{n}", head=b"Connection: close\r\n"))
            await stage.settle()
            await stage.say(
                b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b""
            )

        assert caplog.text.count("no longer sends the next request with a response") == 1
        assert stage.wire.taken() == NEXT


async def test_an_answer_cut_half_way_ends_the_process() -> None:
    async with world() as stage:
        await stage.say(event())
        stage.wire.room = 20
        await stage.settle()

        await stage.say(b"")

        (why,) = stage.failures
        assert why.startswith("the connection broke within a response")


async def test_nobody_listens_at_first(autojump_clock: MockClock) -> None:
    async with world(refusals=5) as stage:
        await trio.sleep(0.4)

        assert stage.wire.taken() == NEXT
        assert not stage.failures


async def test_nobody_listens_ever(autojump_clock: MockClock) -> None:
    async with world(refusals=1000) as stage:
        await trio.sleep(5)

        assert stage.failures == ["the Runtime API cannot be reached"]


async def test_a_new_poller_reads_on_where_the_old_one_stood() -> None:
    async with world() as stage:
        first = event()
        await stage.say(first[:30])

        stage.pollers[0].kill()
        await wait_all_tasks_blocked()
        await stage.poller()
        await stage.say(first[30:])

        assert stage.delivery.request_id == "id-1"
        assert len(stage.connections) == 1
        assert stage.wire.taken() == NEXT


# -- edges of the protocol


async def test_a_close_that_was_announced_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()

        await stage.say(b"HTTP/1.1 202 Ok\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

        assert len(stage.connections) == 2
        assert stage.wire.taken() == NEXT
        assert "may be lost" not in caplog.text


async def test_a_status_counts_though_noise_comes_behind_it() -> None:
    async with world(pipelined=False) as stage:
        await stage.say(event())
        await stage.settle()

        await stage.say(ACCEPTED + b"noise")

        assert len(stage.connections) == 2
        assert stage.wire.taken() == NEXT
        assert not stage.failures


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with world() as stage:
        head = b"HTTP/1.0 200 OK\r\nLambda-Runtime-Aws-Request-Id: old\r\n\r\n"
        await stage.say(head + b'{"n":', b" 1}", b"")

        assert stage.delivery.request_id == "old"
        assert stage.delivery.body == b'{"n": 1}'
        await stage.settle()
        assert stage.wire.taken().endswith(b"\r\n\r\n1")
        await stage.say(b"HTTP/1.0 202 Accepted\r\n\r\n", b"")
        assert stage.wire.taken() == NEXT
        assert not stage.failures


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_the_event_of_a_refused_answer_is_not_run_again(status: int) -> None:
    async with world() as stage:
        told = event(head=b"Lambda-Runtime-Deadline-Ms: 99999999999999\r\n")
        await stage.say(told)
        await stage.settle()
        stage.wire.taken()

        await stage.say(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status + told)

        said = stage.wire.taken()
        assert said.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
        assert b"Runtime.AnswerRefused" in said
        assert stage.delivery.begun == 0
        await stage.say(ACCEPTED + event("id-2"))
        assert stage.delivery.unsettled
        assert not stage.failures


async def test_half_an_answer_that_arrived_is_known_by_two_refusals() -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()
        await stage.say(b"")
        refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        assert stage.wire.taken().startswith(b"POST ")
        await stage.say(refusal)
        assert stage.wire.taken() == NEXT
        assert not stage.failures

        await stage.say(refusal)

        why = "the Runtime API received half of a response and accepts nothing more"
        assert stage.failures == [why]


async def test_interim_answers_pop_nothing() -> None:
    async with world() as stage:
        await stage.say(b"HTTP/1.1 102 Processing\r\n\r\n" + event())
        await stage.settle()
        await stage.say(b"HTTP/1.1 100 Continue\r\n\r\n", ACCEPTED + event("id-2"))

        assert stage.delivery.request_id == "id-2"
        assert len(stage.connections) == 1


async def test_what_a_refusal_says_is_cut_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()
        await stage.say(b"HTTP/1.1 400 No\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000)

        assert len(caplog.text) < 10_000
