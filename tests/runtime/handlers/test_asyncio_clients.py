"""asyncio clients and web frameworks in unchanged handlers, against real servers."""

import shutil
import socket
import subprocess
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.limits import HANG
from tests.support.event_fate import taken
from tests.support.http_site import site
from tests.support.sandbox import Running, running, until_there
from tests.support.servers import Postgres
from tests.support.servers import running as serving

ASYNCIO = {"OKIBI_LOOP": "asyncio"}


def needs(module: str) -> pytest.MarkDecorator:
    absent = find_spec(module) is None
    return pytest.mark.skipif(absent, reason=f"{module} is not installed: pip install {module}")


@needs("aiohttp")
async def test_an_aiohttp_session_keeps_its_connection_across_invocations() -> None:
    async with (
        site() as served,
        running("clients.with_aiohttp", environment=ASYNCIO) as sandbox,
    ):
        for count in (1, 2, 3):
            assert await sandbox.ask({"url": served.url}) == {"requests": count}
        assert served.connections == 1
        assert sandbox.said("returned and left") == 0


@pytest.mark.slow
@needs("aiohttp")
async def test_aiohttp_on_trio_is_answered_with_the_cure() -> None:
    async with running("clients.with_aiohttp") as sandbox:
        told = await sandbox.ask({"url": "http://127.0.0.1:1/"})
        assert "set OKIBI_LOOP=asyncio" in told["errorMessage"]


@pytest.mark.slow
async def test_an_httpx_client_keeps_its_connections_across_invocations() -> None:
    async with (
        site() as served,
        running("clients.with_httpx", environment=ASYNCIO) as sandbox,
    ):
        for count in (1, 2, 3):
            assert await sandbox.ask({"url": served.url}) == count
        assert served.connections == 3
        assert sandbox.said("returned and left") == 0


@pytest.mark.slow
@needs("asyncpg")
@pytest.mark.skipif(bool(Postgres.missing()), reason=Postgres.missing() or "there is one")
async def test_an_asyncpg_pool_survives_invocations_and_a_deadline() -> None:
    with serving(Postgres) as server:
        environment = {**ASYNCIO, "DATABASE": server.address()}
        async with running("clients.with_asyncpg", environment=environment, timeout=4) as sandbox:
            pid, number = await sandbox.ask({"number": 1})
            assert number == 2
            assert await sandbox.ask({"number": 41}) == [pid, 42]

            late = await sandbox.ask({"do": "sleep"})
            assert late["errorType"] == "Runtime.DeadlineExceeded"

            assert (await sandbox.ask({"number": 2}))[1] == 3
            assert sandbox.function.starts == 1


@pytest.mark.slow
@needs("asyncpg")
async def test_asyncpg_on_trio_is_answered_with_the_cure() -> None:
    async with running("clients.with_asyncpg", environment={"DATABASE": "127.0.0.1"}) as sandbox:
        told = await sandbox.ask({"number": 1})
        assert "set OKIBI_LOOP=asyncio" in told["errorMessage"]


@pytest.mark.slow
@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
async def test_an_http_client_asks_for_sixteen_events_at_once(client: str) -> None:
    pytest.importorskip(client)
    async with (
        site() as served,
        running(f"clients.with_{client}", environment=ASYNCIO, max_concurrency=16) as sandbox,
    ):
        await sandbox.ask({"url": served.url})
        asked = len(served.requests)
        await sixteen_at_once(sandbox, [{"url": served.url}] * 16)
        # An event asks once with aiohttp, three times with httpx.
        assert len(served.requests) == 17 * asked
        assert sandbox.function.starts == 1


# -- one real operation each, in one sandbox: twice in turn, and sixteen at once in another


async def add_in(handler: str, environment: dict[str, str]) -> None:
    handler = f"clients.{handler}"
    async with running(handler, environment=environment, timeout=20) as sandbox:
        for number in (1, 41):
            assert await sandbox.ask({"number": number}) == number + 1
        assert sandbox.function.starts == 1
    async with running(handler, environment=environment, timeout=20, max_concurrency=16) as sandbox:
        assert await sandbox.ask({"number": 1}) == 2
        answers = await sixteen_at_once(sandbox, [{"number": number} for number in range(16)])
        assert answers == [*range(1, 17)]
        assert sandbox.function.starts == 1


async def sixteen_at_once(sandbox: Running, events: list[dict[str, Any]]) -> list[Any]:
    answers: list[Any] = [None] * len(events)

    async def ask(index: int) -> None:
        answers[index] = await taken(sandbox, events[index])

    async with trio.open_nursery() as nursery:
        for index in range(len(events)):
            nursery.start_soon(ask, index)
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["fastapi", "django"])
async def test_a_web_framework_serves_a_request(framework: str) -> None:
    pytest.importorskip(framework)
    await add_in(f"with_{framework}", ASYNCIO)


@pytest.mark.slow
@pytest.mark.parametrize("client", ["psycopg", "sqlalchemy"])
@pytest.mark.skipif(bool(Postgres.missing()), reason=Postgres.missing() or "there is one")
async def test_a_database_client_adds(client: str) -> None:
    pytest.importorskip("psycopg_pool" if client == "psycopg" else client)
    with serving(Postgres) as server:
        await add_in(f"with_{client}", {**ASYNCIO, "DATABASE": server.address()})


@pytest.mark.slow
@needs("redis")
async def test_redis_adds(tmp_path: Path) -> None:
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no valkey-server: apt-get install valkey-server")
    place = tmp_path / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(place), "--save", "", "--dir", tmp_path]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=subprocess.DEVNULL)
        nursery.start_soon(run)
        await until_there(place)
        await add_in("with_redis", {**ASYNCIO, "REDIS": f"unix://{place}"})
        nursery.cancel_scope.cancel()


@pytest.mark.slow
@needs("aiobotocore")
async def test_aiobotocore_adds() -> None:
    server = shutil.which("moto_server")
    if server is None:
        pytest.skip("there is no moto_server: pip install moto[server]")
    async with trio.open_nursery() as nursery:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        run = partial(trio.run_process, [server, "-p", str(port)], stderr=subprocess.DEVNULL)
        nursery.start_soon(run)
        with trio.fail_after(HANG):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", port)
                except OSError:
                    await trio.sleep(0.05)
                else:
                    await stream.aclose()
                    break
        await add_in("with_aiobotocore", {**ASYNCIO, "AWS": f"http://127.0.0.1:{port}"})
        nursery.cancel_scope.cancel()
