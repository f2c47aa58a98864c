"""Connections: kept, cut at every byte, cancelled at every step, and never two answers mixed up."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from okibi import aws
from okibi.actors.freezes import current_monitors
from okibi.aws.connection import IDLE_LIMIT, Endpoint, default_context, parse_endpoint
from tests.support.aws_server import (
    CUT,
    KEYS,
    AwsServer,
    Received,
    answer,
    aws_server,
    certificates,
    environment,
)

CANCELLED = 1000
TLS_RECORD = 16 * 1024
# The length of a longer answer has more digits.
DIGITS = 3


@pytest.fixture(autouse=True)
def keys() -> Any:
    with environment(KEYS):
        yield


async def echo(request: Received) -> bytes:
    return answer(request.parameters)


@asynccontextmanager
async def serving(
    respond: Any = echo, **settings: Any
) -> AsyncIterator[tuple[AwsServer, aws.Client]]:
    async with aws_server(respond) as server:
        yield server, aws.Client(endpoint=server.url, **settings)


async def get(client: aws.Client, key: object = "a") -> Any:
    return (await client.call("dynamodb", "GetItem", {"key": key}))["key"]


async def until(is_true: Any) -> None:
    with trio.fail_after(30):
        while not is_true():  # noqa: ASYNC110, the server counts
            await trio.sleep(0.001)


# -- kept connections


async def test_one_connection_serves_calls_one_after_the_other() -> None:
    async with serving() as (server, client):
        assert [await get(client, number) for number in range(5)] == [*range(5)]

        assert server.connections == 1


async def test_tls_connections_are_kept_too() -> None:
    for_server, for_client, _ = certificates()
    async with aws_server(echo, for_server) as server:
        client = aws.Client(endpoint=server.url, tls=for_client)
        assert [await get(client, number) for number in range(5)] == [*range(5)]

        assert server.connections == 1


async def test_a_server_without_a_trusted_certificate_gets_no_request() -> None:
    for_server, _, _ = certificates()
    async with aws_server(echo, for_server) as server:
        client = aws.Client(endpoint=server.url, attempts=1)
        with pytest.raises(aws.CallFailed, match=r"Unreachable: .*CERTIFICATE_VERIFY_FAILED"):
            await get(client)

        assert server.requests == []


async def test_the_roots_of_a_bundle_are_trusted(tmp_path: Any) -> None:
    for_server, _, authority = certificates()
    authority.cert_pem.write_to_path(str(tmp_path / "roots.pem"))
    async with aws_server(echo, for_server) as server:
        with environment({**KEYS, "AWS_CA_BUNDLE": str(tmp_path / "roots.pem")}):
            assert await get(aws.Client(endpoint=server.url)) == "a"


async def test_a_bundle_that_cannot_be_read_is_named() -> None:
    text = r"AWS_CA_BUNDLE /nonexistent/roots\.pem: .*No such file"
    with environment({**KEYS, "AWS_CA_BUNDLE": "/nonexistent/roots.pem"}):
        async with aws_server(echo) as server:
            client = aws.Client(endpoint=server.url.replace("http:", "https:"), attempts=1)
            with pytest.raises(aws.CallFailed, match=text):
                await get(client)


def test_the_roots_of_the_system_are_read_once() -> None:
    assert default_context(None) is default_context(None)


async def test_a_connection_that_the_server_has_closed_is_not_used() -> None:
    async def close(request: Received) -> bytes:
        return answer(request.parameters, connection="close" if request.parameters["key"] else "")

    async with serving(close) as (server, client):
        assert [await get(client, number) for number in (0, 1, 2)] == [0, 1, 2]

        assert server.connections == 2


async def test_a_kept_connection_that_ends_is_followed_by_a_new_one_at_once() -> None:
    """The server closes it when it has received the second request, as after a freeze."""

    async def forget(request: Received) -> bytes | None:
        return None if len(server.requests) == 2 else answer(request.parameters)

    async with serving(forget, attempts=2) as (server, client):
        assert [await get(client, number) for number in (1, 2)] == [1, 2]

        assert (server.connections, len(server.requests)) == (2, 3)
    async with serving(forget, attempts=1) as (server, client):
        await get(client, 1)
        with pytest.raises(aws.CallFailed, match="Disconnected"):
            await get(client, 2)


async def test_bytes_after_an_answer_do_not_repeat_its_call() -> None:
    async def talk(request: Received) -> bytes | None:
        return answer(request.parameters) + b"\0\0"

    async with serving(talk) as (server, client):
        assert [await get(client, number) for number in (1, 2)] == [1, 2]

        assert (server.connections, len(server.requests)) == (2, 2)


async def test_a_connection_idle_for_long_is_closed_unused() -> None:
    async with serving() as (server, client):
        ahead = 0.0
        current_monitors().wall_clock = lambda: trio.current_time() + ahead
        await get(client)
        ahead = IDLE_LIMIT + 1
        await get(client)

        assert server.connections == 2


@pytest.mark.parametrize("by_tls", [False, True])
async def test_bytes_after_an_answer_reach_no_other_call(by_tls: bool) -> None:
    """A load balancer sends an answer, and closes the connection, when no request comes in time."""
    for_server, for_client, _ = certificates()

    async def fill_a_record(request: Received) -> bytes:
        # The bytes after 16 KiB are a TLS record of their own, which arrives with the answer.
        size = TLS_RECORD - len(answer({**request.parameters, "rest": ""}))
        filled = answer({**request.parameters, "rest": "x" * (size - DIGITS)})
        assert len(filled) == TLS_RECORD
        return filled + answer({"key": "of another"}, 408)

    async with aws_server(fill_a_record, for_server if by_tls else None) as server:
        client = aws.Client(endpoint=server.url, tls=for_client)
        assert [await get(client, number) for number in range(3)] == [0, 1, 2]

        assert server.connections == 3


async def test_an_interim_answer_is_no_answer() -> None:
    async def interim(request: Received) -> bytes:
        return b"HTTP/1.1 102 Processing\r\n\r\n" + answer(request.parameters)

    async with serving(interim) as (server, client):
        assert [await get(client, number) for number in range(3)] == [0, 1, 2]

        assert server.connections == 1


async def test_connections_are_limited_and_further_calls_wait() -> None:
    release = trio.Event()

    async def hold(request: Received) -> bytes:
        await release.wait()
        return answer(request.parameters)

    async with serving(hold, connections=2) as (server, client), trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(get, client, number)
        await until(lambda: len(server.requests) == 2)
        with trio.move_on_after(0.05) as scope:
            await get(client)
        assert scope.cancelled_caught
        release.set()

    assert (server.connections, len(server.requests)) == (2, 5)


async def test_idle_connections_are_closed_when_trio_ends() -> None:
    async with aws_server(echo) as server:

        def run() -> None:
            trio.run(get, aws.Client(endpoint=server.url))

        await trio.to_thread.run_sync(run)

        await until(lambda: server.open == 0)
        assert server.connections == 1


# -- broken, silent, cancelled


@pytest.mark.parametrize("kept", [False, True])
async def test_a_connection_cut_at_any_byte_is_no_answer(kept: bool) -> None:
    whole = answer({"Item": {"k": {"S": "x" * 20}}})

    async def cut(request: Received) -> bytes:
        at = request.parameters["key"]
        return whole[:at] + CUT if isinstance(at, int) else answer(request.parameters)

    async with serving(cut, attempts=1) as (_, client):
        for at in range(len(whole)):
            if kept:
                await get(client)
            with pytest.raises(aws.CallFailed, match="Disconnected") as caught:
                await get(client, at)
            assert (caught.value.attempts, caught.value.status) == (1, None)
        assert await get(client, "after") == "after"


async def test_a_silent_server_is_given_up(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05

    async def keep_silent(request: Received) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with serving(keep_silent, attempts=2) as (server, client):
        with pytest.raises(
            aws.CallFailed, match="TimedOut: no byte of the answer in 10 s"
        ) as caught:
            await get(client)

        assert (caught.value.attempts, len(server.requests)) == (2, 2)


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    client = aws.Client(endpoint="http://127.0.0.1:9", attempts=1)

    with pytest.raises(
        aws.CallFailed, match=r"Unreachable: no connection to 127.0.0.1:9: .*Connection refused$"
    ):
        await get(client)


async def test_an_answer_that_is_no_http_is_a_broken_connection() -> None:
    async def speak_otherwise(request: Received) -> bytes:
        return b"SSH-2.0-OpenSSH\r\n"

    async with serving(speak_otherwise, attempts=1) as (_, client):
        with pytest.raises(aws.CallFailed, match="Disconnected"):
            await get(client)


@pytest.mark.parametrize("by_tls", [False, True])
async def test_a_call_cancelled_at_any_step_leaves_no_connection(by_tls: bool) -> None:
    for_server, for_client, _ = certificates()
    steps, ended = 0, False

    async def echo_and_close(request: Received) -> bytes:
        """Keep every second connection."""
        kept = "close" if request.parameters["key"] == "close" else "keep-alive"
        return answer(request.parameters, connection=kept)

    async with aws_server(echo_and_close, for_server if by_tls else None) as server:
        client = aws.Client(endpoint=server.url, tls=for_client)
        while not ended:
            await get(client, "keep" if steps % 2 else "close")
            ended = await _cancelled_after(client, steps)
            steps += 1
            assert await get(client, steps) == steps
            await until(lambda: server.open <= 1)
        assert steps > 3


async def _cancelled_after(client: aws.Client, steps: int) -> bool:
    """Cancel a call at one of its steps; return whether the call had ended before."""
    left, ended = steps, False

    class Steps(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal left
            if task is caller:
                left -= 1
                if left < 0:
                    scope.cancel()

    caller, instrument = trio.lowlevel.current_task(), Steps()
    with trio.CancelScope() as scope:
        trio.lowlevel.add_instrument(instrument)
        try:
            await get(client, "cancelled")
            ended = True
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return ended


async def test_no_call_gets_the_answer_of_a_cancelled_one() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, cancelled = random.Random(seed), 0

    async def be_slow(request: Received) -> bytes | None:
        await trio.sleep(chance.random() * 0.003)
        return None if chance.random() < 0.05 else answer(request.parameters)

    async def ask(lane: int, client: aws.Client) -> None:
        nonlocal cancelled
        number = 0
        while cancelled < CANCELLED:
            number += 1
            with trio.move_on_after(chance.choice((0.001, 0.002, 5))) as scope:
                try:
                    assert await get(client, [lane, number]) == [lane, number]
                except aws.CallFailed as error:
                    # The server closed, and the deadline leaves no time for a retry.
                    if error.code != "Disconnected":
                        raise
            cancelled += scope.cancelled_caught

    async with serving(be_slow) as (_, client), trio.open_nursery() as nursery:
        for lane in range(10):
            nursery.start_soon(ask, lane, client)


# -- endpoints


@pytest.mark.parametrize(
    ("url", "endpoint", "authority"),
    [
        ("https://a.example", Endpoint("a.example", 443, True), "a.example"),
        ("https://a.example:443/", Endpoint("a.example", 443, True), "a.example"),
        ("http://a.example:443", Endpoint("a.example", 443, False), "a.example:443"),
        ("http://[::1]:8000", Endpoint("::1", 8000, False), "[::1]:8000"),
        ("http://[fd00::1]", Endpoint("fd00::1", 80, False), "[fd00::1]"),
    ],
)
def test_a_url_is_read_as_host_and_port(url: str, endpoint: Endpoint, authority: str) -> None:
    assert parse_endpoint(url) == endpoint
    assert endpoint.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "a.example", "ftp://a", "https://", "http://a/path", "http://u@a", "http://a b",
        "http://a\r\nx: 1", "http://a:65536",
    ],
)  # fmt: skip
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="an endpoint is http://host:port or https://host, got"):
        aws.Client(endpoint=url)
