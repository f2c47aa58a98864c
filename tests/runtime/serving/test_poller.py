"""The poller: events, refusals, broken connections."""

import io
import itertools
import json
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.poller import READ_SIZES, Poller
from tests.support.played_api import ACCEPTED, NEXT, event, world


async def test_an_event_that_arrives_in_pieces_is_one_event() -> None:
    async with world() as stage:
        whole = event(body=b'"' + b"x" * 5000 + b'"')
        for at in range(0, len(whole), 997):
            assert stage.lane.delivery is None
            await stage.say(whole[at : at + 997])

        assert json.loads(stage.delivery.body) == "x" * 5000


async def test_the_head_is_prepared_once_the_handler_waits() -> None:
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


async def test_the_head_is_built_at_the_end_if_the_handler_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared, prepare = list[Delivery](), Delivery.prepare_head

    def noted(delivery: Delivery, template: bytes) -> bytes:
        prepared.append(delivery)
        return prepare(delivery, template)

    monkeypatch.setattr(Delivery, "prepare_head", noted)
    async with world() as stage:

        async def handler(_: object, __: object) -> int:
            return 1

        await stage.serves(handler)
        await stage.say(event())

        assert [each.outcome is not None for each in prepared] == [True]


async def test_a_large_event_is_read_without_a_wait_in_between() -> None:
    async with world() as stage:
        text = "x" * 3 * max(READ_SIZES)
        whole = event(body=b'"%s"' % text.encode())
        waits = stage.wire.waits
        await stage.say(*pieces(whole))

        assert json.loads(stage.delivery.body) == text
        assert stage.wire.waits == waits + 1


async def test_a_very_large_event_does_not_hold_the_loop() -> None:
    async with world() as stage:
        whole = event(body=b"x" * 20_000_000)
        waits = stage.wire.waits
        await stage.say(*pieces(whole))

        assert stage.wire.waits - waits >= 3


async def test_received_bytes_are_freed_before_the_next_wait() -> None:
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
    """The bytes of a server as full reads."""
    stream, limits = io.BytesIO(whole), itertools.cycle(READ_SIZES)
    return [*iter(lambda: stream.read(next(limits)), b"")]


@pytest.mark.parametrize(
    "refusal", [b"HTTP/1.1 %d No\r\n" % status for status in (400, 403, 410, 413)]
)
async def test_a_refused_response_is_logged_and_the_next_event_served(
    refusal: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()
        await stage.say(refusal + b"Content-Length: 3\r\n\r\nwhy" + event("id-2"))

        assert stage.delivery.request_id == "id-2"
        assert "refused the response to id-1 with 4" in caplog.text
        assert not stage.failures


async def test_a_refused_next_is_retried_with_growing_pauses(
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


async def test_unexpected_responses_lead_to_pauses(autojump_clock: MockClock) -> None:
    async with world() as stage:
        await stage.say(event())
        connect = stage.connect

        async def rogue() -> Transport:
            made = await connect()
            # With a limit, for the test to end if there were no pauses.
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


async def test_a_next_refused_for_an_hour_is_still_retried(autojump_clock: MockClock) -> None:
    async with world() as stage:
        for _ in range(5000):
            stage.lane.failures.count_refusal()
        await stage.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        stage.wire.taken()
        await trio.sleep(6)

        assert stage.wire.taken() == NEXT


async def test_a_500_ends_the_process() -> None:
    async with world() as stage:
        await stage.say(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad")

        assert stage.failures == ["the Runtime API answered /next with 500: bad"]


async def test_connecting_is_retried(autojump_clock: MockClock) -> None:
    async with world(refusals=5) as stage:
        await trio.sleep(0.4)

        assert stage.wire.taken() == NEXT
        assert not stage.failures


async def test_the_process_ends_if_connecting_keeps_failing(autojump_clock: MockClock) -> None:
    async with world(refusals=1000) as stage:
        await trio.sleep(5)

        assert stage.failures == ["the Runtime API cannot be reached"]


# -- edges of the protocol


async def test_an_announced_close_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()

        await stage.say(b"HTTP/1.1 202 Ok\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

        assert len(stage.connections) == 2
        assert stage.wire.taken() == NEXT
        assert "may be lost" not in caplog.text


async def test_two_refusals_after_a_resend_end_the_process() -> None:
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


async def test_a_refusal_s_body_is_cut_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as stage:
        await stage.say(event())
        await stage.settle()
        await stage.say(b"HTTP/1.1 400 No\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000)

        assert len(caplog.text) < 10_000
