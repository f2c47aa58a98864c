"""Http beside a real server that fails, closes connections, and is slow. Some freezes besides."""

import random
import time
from pathlib import Path

import attrs
import httpx
import pytest
import trio

from okibi.actors.freezes import current_monitors
from okibi.http import IDEMPOTENT, Http
from okibi.local import FunctionSettings, open_local_lambda
from tests.limits import HANG
from tests.support.http_api import HttpApi

# Failures after which a request may have been handled.
UNKNOWN = ("reset", "cut", "slow", "500", "503")
MOST_FAILURES = 3
# A freeze at each request whose number has this divisor.
FREEZE_EVERY = 100


async def test_a_connection_serves_many_requests_and_ends_with_the_run() -> None:
    server = HttpApi()
    async with server.listening():
        await trio.to_thread.run_sync(trio.run, use_in_own_run, server.url)
        with trio.fail_after(HANG):
            while server.connections:
                await trio.lowlevel.checkpoint()

    assert server.opened == 1


async def use_in_own_run(url: str) -> None:
    api = Http(url)
    for number in range(10):
        assert (await api.get(f"/{number}/")).text == str(number)


async def test_an_idle_connection_is_not_used_after_its_time() -> None:
    server = HttpApi()
    async with server.listening():
        api = Http(server.url, keepalive=0.05, retries=0)
        await api.get("/1/")
        server.forget_idle()
        await trio.sleep(0.1)

        assert (await api.post("/2/")).status_code == 200
    assert (server.opened, server.forgotten) == (2, [])


async def test_no_connection_is_used_after_a_virtual_machine_was_stopped() -> None:
    server, ahead = HttpApi(), 0.0
    current_monitors().wall_clock = lambda: time.time() + ahead
    async with server.listening():
        api = Http(server.url, keepalive=60, retries=0)
        await api.get("/1/")
        server.forget_idle()
        ahead = 600.0

        assert (await api.post("/2/")).status_code == 200
    assert (server.opened, server.forgotten) == (2, [])


async def test_a_refused_connection_is_tried_again_for_a_post() -> None:
    api = Http("http://127.0.0.1:1", retries=1)

    with pytest.raises(
        httpx.ConnectError, match=r"^POST http://127\.0\.0\.1:1/x: .*; attempt 2 of"
    ):
        await api.post("/x")


async def test_a_stream_whose_body_breaks_off_is_asked_for_once() -> None:
    server = HttpApi()
    async with server.listening():
        with pytest.raises(httpx.RemoteProtocolError):
            async with Http(server.url).stream("GET", "/1/cut-") as response:
                await response.aread()

    assert server.received["1"] == 1


async def test_a_streamed_response_that_is_asked_for_again_is_closed() -> None:
    server = HttpApi()
    async with server.listening(), Http(server.url).stream("GET", "/1/503-") as response:
        assert response.status_code == 200
        with trio.fail_after(HANG):
            while len(server.connections) > 1:
                await trio.lowlevel.checkpoint()


@pytest.mark.slow
async def test_a_function_frozen_past_the_idle_time_sends_every_post(tmp_path: Path) -> None:
    source = """
import os
from okibi.http import Http

API = Http(os.environ["API"], retries=0, keepalive=0.4)

async def handler(event, context):
    return (await API.post(f"/{event}/", json={})).status_code
"""
    (tmp_path / "app.py").write_text(source)
    server = HttpApi(idle=0.5)
    async with server.listening():
        settings = FunctionSettings(
            "app.handler", task_root=tmp_path, environment={"API": server.url}
        )
        async with open_local_lambda(settings, freeze=True) as function:
            for number in range(4):
                result = await function.invoke(str(number).encode())
                assert result.payload == b"200", result
                await trio.sleep(0.3 * number)

    assert len(server.handled) == 4


# -- many requests


@attrs.frozen
class Planned:
    """A request and how its attempts fail.

    Args:
        method: the method.
        keyed: whether it has an Idempotency-Key.
        failures: those of its first attempts.
        then: the step after them.
    """

    method: str
    keyed: bool
    failures: tuple[str, ...]
    then: str

    @property
    def repeatable(self) -> bool:
        return self.keyed or self.method in IDEMPOTENT

    @property
    def plan(self) -> str:
        return "-".join((*self.failures, self.then))


def draw(seeded: random.Random) -> Planned:
    failing = seeded.random() < 0.3
    kinds = [*("reset", "cut", "500", "503", "429") * 10, "slow"]
    return Planned(
        seeded.choice(("GET", "PUT", "POST")),
        seeded.random() < 0.3,
        tuple(seeded.choices(kinds, k=seeded.randint(1, MOST_FAILURES))) if failing else (),
        "close" if seeded.random() < 0.1 else "",
    )


@attrs.define(eq=False)
class Run:
    """Sends requests, and checks each one's outcome.

    Attributes:
        raced: requests that may not be repeated, and were on their way at a freeze, or at the
            close of an idle connection. The server has not handled them.
        frozen: seconds by which the wall clock runs ahead.
    """

    server: HttpApi
    api: Http
    plans: list[Planned]
    raced: int = 0
    frozen: float = 0.0

    def wall_clock(self) -> float:
        return time.time() + self.frozen

    async def send_all(self, numbers: list[int]) -> None:
        while numbers:
            number = numbers.pop()
            if number % FREEZE_EVERY == 0:
                self.server.forget_idle()
                self.frozen += 600
            await self.send(number, self.plans[number])

    async def send(self, number: int, planned: Planned) -> None:
        headers = {"idempotency-key": str(number)} if planned.keyed else {}
        path, name = f"/{number}/{planned.plan}", str(number)
        try:
            response = await self.api.request(planned.method, path, headers=headers, content=b"x")
        except httpx.TransportError as error:
            status = str(error)
        else:
            status = str(response.status_code)
            if status == "200":
                assert response.text == name
        assert planned.repeatable or self.server.handled[name] <= 1, planned
        unknown = next((each for each in planned.failures if each in UNKNOWN), None)
        if planned.repeatable or unknown is None:
            if status == "200":
                return
            # A POST is lost only if it was on its way while the server closed its connection, or
            # while the client was frozen.
            assert (planned.repeatable, self.server.handled[name]) == (False, 0), (planned, status)
            self.raced += 1
        else:
            assert status != "200", planned
            self.raced += self.server.handled[name] == 0


class StampedTransport(httpx.AsyncHTTPTransport):
    """Tells the server when an attempt began."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["x-began"] = repr(trio.current_time())
        return await super().handle_async_request(request)


# httpcore leaves the iterator of a body behind when a connection breaks below it.
@pytest.mark.filterwarnings("ignore:Async generator .*ByteStream:ResourceWarning")
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_no_request_is_lost_or_sent_twice_against_the_table(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    seeded = random.Random(seed)
    monkeypatch.setattr("okibi.http.FIRST_PAUSE", 0.01)
    # The server closes idle connections a little before the client stops to use them.
    server = HttpApi(idle=0.2, slow=60.0)
    async with server.listening():
        api = Http(
            server.url,
            timeout=3,
            retries=MOST_FAILURES + 3,
            limit=16,
            keepalive=0.25,
            transport=lambda: StampedTransport(limits=httpx.Limits(keepalive_expiry=0.25)),
        )
        run = Run(server, api, [draw(seeded) for _ in range(count)])
        current_monitors().wall_clock = run.wall_clock
        numbers = list(range(count))
        async with trio.open_nursery() as senders:
            for _ in range(24):
                senders.start_soon(run.send_all, numbers)

    assert server.forgotten == []
    print(f"{count} requests, {sum(server.received.values())} attempts, {server.opened} "
          f"connections, {run.raced} raced")  # fmt: skip
    assert run.raced <= 10 + count // 20
