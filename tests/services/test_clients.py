"""The guides of docs/clients.md on real servers: what an actor that owns a client survives."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from okibi.actors import ActorExited, Name, Ref, start
from okibi.local import FunctionSettings, open_local_lambda
from okibi.supervisors import Child, Supervisor, SupervisorSpec
from tests.limits import HANG
from tests.support.servers import (
    ALL_NEEDED,
    MariaDB,
    Postgres,
    Service,
    Valkey,
    free_port,
    running,
)

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text("utf-8")


@attrs.frozen
class Guide:
    """A guide of the page.

    Args:
        heading: the heading of its sample; the first sample of the page has none.
        server: its server.
        environment: the variables that the sample reads.
        nap: a query of an instance of the class that takes a number of seconds.
        query: what the server shows of that query.
        gone: seconds within which a cancelled query is gone from the server.
    """

    heading: str
    server: type[Any]
    environment: Callable[[Any], dict[str, str]]
    nap: Callable[[Any, float], Any]
    query: str = "sleep"
    gone: float = 0.1

    def sample(self) -> str:
        """Return the sample's code."""
        section = PAGE.partition(f"\n## {self.heading}\n")[2] if self.heading else PAGE
        return section.partition("```python\n")[2].partition("```")[0]

    def make_class(self) -> type[Any]:
        """Return the sample's class, with a slow query."""
        names: dict[str, Any] = {"__name__": "app"}
        exec(compile(self.sample(), "app.py", "exec", dont_inherit=True), names)
        nap, owner = self.nap, names["Customers"]

        class Customers(owner):  # type: ignore[misc,valid-type]
            async def nap(self, seconds: float) -> None:
                await nap(self, seconds)

            async def nap_at_most(self, seconds: float) -> str:
                try:
                    async with asyncio.timeout(seconds):
                        await nap(self, 60)
                except TimeoutError:
                    return "timed out"
                return "slept"

        return Customers


async def _asyncpg(self: Any, seconds: float) -> None:
    await self.pool.fetchval("select pg_sleep($1)", seconds)


async def _psycopg(self: Any, seconds: float) -> None:
    async with self.pool.connection() as connection:
        await connection.execute("select pg_sleep(%s)", [seconds])


async def _sqlalchemy(self: Any, seconds: float) -> None:
    import sqlalchemy as sa

    async with self.engine.connect() as connection:
        await connection.execute(sa.text("select pg_sleep(:seconds)"), {"seconds": seconds})


async def _aiomysql(self: Any, seconds: float) -> None:
    async with self.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("select sleep(%s)", (seconds,))


async def _redis(self: Any, seconds: float) -> None:
    await self.client.blpop("nothing", seconds)


def _mariadb(server: MariaDB) -> dict[str, str]:
    return {
        "DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": str(server.port), "DATABASE_USER": "okibi",
        "DATABASE_PASSWORD": "secret",
    }  # fmt: skip


GUIDES = {
    "asyncpg": Guide("", Postgres, lambda s: {"DATABASE": s.address()}, _asyncpg),
    "psycopg": Guide("psycopg", Postgres, lambda s: {"DATABASE": s.address()}, _psycopg),
    "sqlalchemy": Guide(
        "SQLAlchemy",
        Postgres,
        lambda s: {"DATABASE": s.address("postgresql+asyncpg")},
        _sqlalchemy,
    ),
    "aiomysql": Guide("MariaDB and MySQL", MariaDB, _mariadb, _aiomysql, gone=HANG),
    "redis": Guide("Redis and Valkey", Valkey, lambda s: {"CACHE": s.address()}, _redis, "blpop"),
}


@contextmanager
def server_of(guide: Guide, idle: int = 0) -> Iterator[Any]:
    missing = guide.server.missing()
    if missing and not os.environ.get(ALL_NEEDED):
        pytest.skip(missing)
    with running(guide.server, idle) as server:
        yield server


@asynccontextmanager
async def customers_of(guide: Guide, server: Service) -> AsyncIterator[tuple[Name[Any], type[Any]]]:
    """Run the guide's actor under a supervisor; yield its name and its class."""
    with pytest.MonkeyPatch.context() as patch, trio.fail_after(HANG):
        for variable, value in guide.environment(server).items():
            patch.setenv(variable, value)
        kind = guide.make_class()
        name = Name[Any](f"customers by {kind.__module__}", kind)
        async with trio.open_nursery() as nursery:
            spec = SupervisorSpec([Child(kind, name=name)])
            tree = await start(nursery, lambda: Supervisor(spec))
            yield name, kind
            tree.stop()


def ref_of(name: Name[Any]) -> Ref[Any]:
    ref = name.whereis()
    assert ref is not None
    return ref


async def until_running(guide: Guide, server: Any, expected: bool) -> float:
    """Wait until the server runs the slow query, or no longer does; return the seconds."""
    began = time.monotonic()
    with trio.fail_after(HANG):
        while await trio.to_thread.run_sync(server.is_running, guide.query) is not expected:  # noqa: ASYNC110
            await trio.sleep(0.002)
    return time.monotonic() - began


async def answered_within(seconds: float, ask: Callable[[], Any], *errors: type[Exception]) -> Any:
    """Ask until there is an answer; fail if there is none within some seconds."""
    began = time.monotonic()
    while True:
        try:
            answer = await ask()
        except errors:
            assert time.monotonic() - began < seconds, "the service is not back"
            await trio.sleep(0.02)
        else:
            assert time.monotonic() - began < seconds
            return answer


@pytest.mark.parametrize("client", GUIDES)
async def test_a_client_in_an_actor_lives_through_a_day(client: str) -> None:
    guide = GUIDES[client]
    with server_of(guide) as server:
        async with customers_of(guide, server) as (name, kind):
            # a query, a transaction, sixteen at once
            assert await name.call(kind.name_of, 7) == "bob"
            await name.call(kind.rename, 7, "rob")
            answers = list[str]()

            async def ask() -> None:
                answers.append(await name.call(kind.name_of, 7))

            async with trio.open_nursery() as nursery:
                for _ in range(16):
                    nursery.start_soon(ask)
            assert answers == ["rob"] * 16

            # a query that is cancelled by a limit of its own: the connection is usable
            assert await name.call(kind.nap_at_most, 0.05) == "timed out"
            assert await until_running(guide, server, False) < guide.gone
            assert await name.call(kind.name_of, 7) == "rob"

            # a query that is cancelled because its actor is stopped
            async with trio.open_nursery() as nursery:

                async def nap() -> None:
                    with pytest.raises(ActorExited):
                        await name.call(kind.nap, 60)

                nursery.start_soon(nap)
                await until_running(guide, server, True)
                ref_of(name).stop()
            assert await until_running(guide, server, False) < guide.gone
            assert await name.waiting(5).call(kind.name_of, 7) == "rob"

            # a server that is killed: errors, and no crash; then it is back
            starts = ref_of(name).incarnation
            await trio.to_thread.run_sync(server.kill)
            for _ in range(5):
                with pytest.raises(kind.refuses):
                    await name.call(kind.name_of, 7)
            await trio.to_thread.run_sync(server.start)
            assert await answered_within(1.0, lambda: name.call(kind.name_of, 7), *kind.refuses)
            assert ref_of(name).incarnation == starts


@pytest.mark.parametrize("client", GUIDES)
async def test_a_client_survives_a_freeze_longer_than_the_idle_limit(
    client: str, tmp_path: Path
) -> None:
    guide = GUIDES[client]
    handler = """
import okibi

NAME = okibi.Name("tested", Customers)

async def tested(event, context):
    return await NAME.call(Customers.name_of, event["id"])

tested_function = okibi.Function(handler=tested, children=[okibi.Child(Customers, name=NAME)])
"""
    (tmp_path / "app.py").write_text(guide.sample() + handler)
    with server_of(guide, idle=1) as server:
        settings = FunctionSettings(
            handler="app.tested_function",
            command=(sys.executable, "-P", "-m", "okibi.runtime"),
            task_root=tmp_path,
            environment=guide.environment(server),
        )
        async with open_local_lambda(settings) as function:
            for _ in range(2):
                answer = await function.invoke(b'{"id": 7}')
                assert answer.payload == b'"bob"', answer.payload
                function.freeze()
                await trio.sleep(2.5)
            answer = await function.invoke(b'{"id": 7}')
            assert answer.payload == b'"bob"', answer.payload
            assert function.starts == 1


@asynccontextmanager
async def actor_of(heading: str, **fields: Any) -> AsyncIterator[tuple[Name[Any], type[Any]]]:
    """Run the class of a guide that uses no database; yield its name and its class."""
    names: dict[str, Any] = {"__name__": "app"}
    sample = Guide(heading, Service, dict, _asyncpg).sample()
    exec(compile(sample, "app.py", "exec", dont_inherit=True), names)
    kind = next(
        each for each in names.values() if isinstance(each, type) and each.__module__ == "app"
    )
    name = Name[Any](heading, kind)
    async with trio.open_nursery() as nursery:
        spec = SupervisorSpec([Child(partial(kind, **fields), name=name)])
        tree = await start(nursery, lambda: Supervisor(spec))
        with trio.fail_after(HANG):
            yield name, kind
        tree.stop()


async def test_aiobotocore_in_an_actor_lives_through_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("aiobotocore")
    port = free_port()

    def serve() -> Any:
        moto = server.ThreadedMotoServer("127.0.0.1", port, verbose=False)
        moto.start()
        boto3.client("s3").create_bucket(Bucket="pictures")
        return moto

    for variable, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "2",
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
    moto = await trio.to_thread.run_sync(serve)
    async with actor_of("AWS, with aiobotocore") as (name, kind):
        await name.call(kind.save, "a", b"picture")
        loaded = list[bytes]()

        async def load() -> None:
            loaded.append(await name.call(kind.load, "a"))

        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(load)
        assert loaded == [b"picture"] * 16
        with pytest.raises(kind.refuses, match="NoSuchKey"):
            await name.call(kind.load, "b")

        await trio.to_thread.run_sync(moto.stop)
        with pytest.raises(kind.refuses):
            await name.call(kind.load, "a")
        moto = await trio.to_thread.run_sync(serve)
        await answered_within(1.0, lambda: name.call(kind.save, "a", b"new"), *kind.refuses)
        assert await name.call(kind.load, "a") == b"new"
        assert ref_of(name).incarnation == 1
    await trio.to_thread.run_sync(moto.stop)


class Prices(BaseHTTPRequestHandler):
    """Answers a price; closes a connection that is idle for half a second."""

    protocol_version = "HTTP/1.1"
    timeout = 0.5

    def do_GET(self) -> None:
        body = b"12" if self.path == "/tea" else b"{}"
        self.send_response(200 if self.path == "/tea" else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


async def test_aiohttp_in_an_actor_lives_through_a_day() -> None:
    pytest.importorskip("aiohttp")

    def serve(port: int = 0) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), Prices)
        threading.Thread(target=server.serve_forever).start()
        return server

    def stop(server: ThreadingHTTPServer) -> None:
        server.shutdown()
        server.server_close()

    server = serve()
    port = server.server_port
    async with actor_of("HTTP, with aiohttp", url=f"http://127.0.0.1:{port}") as (name, kind):
        prices = list[int]()

        async def price() -> None:
            prices.append(await name.call(kind.price_of, "tea"))

        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(price)
        assert prices == [12] * 16
        with pytest.raises(kind.refuses, match="404"):
            await name.call(kind.price_of, "gold")

        # As in a freeze, the loop does not see that the server has closed the connection.
        time.sleep(1.5)  # noqa: ASYNC251
        assert await name.call(kind.price_of, "tea") == 12

        await trio.to_thread.run_sync(stop, server)
        await trio.sleep(0.6)
        with pytest.raises(kind.refuses):
            await name.call(kind.price_of, "tea")
        server = serve(port)
        assert await answered_within(1.0, lambda: name.call(kind.price_of, "tea"), *kind.refuses)
        assert ref_of(name).incarnation == 1
    await trio.to_thread.run_sync(stop, server)
