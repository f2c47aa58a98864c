"""aiohttp, httpx and asyncpg in unchanged handlers, against real servers on real sockets."""

from importlib.util import find_spec

import pytest

from tests.support.http_site import site
from tests.support.postgres import missing, postgres
from tests.support.sandbox import running

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
@pytest.mark.skipif(bool(missing()), reason=missing() or "there is one")
async def test_an_asyncpg_pool_survives_invocations_and_a_deadline() -> None:
    with postgres() as folder:
        environment = {**ASYNCIO, "DATABASE": str(folder)}
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
