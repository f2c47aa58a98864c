"""Resource with the pools of three clients, against a real PostgreSQL."""

import os
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import attrs
import pytest
import trio

from okibi import Child, Function, actors
from okibi.actors.calling_event import CallingEvent
from okibi.actors.request import CALLING_EVENT
from okibi.actors.start import spawn
from okibi.asyncio_loop import on_asyncio
from okibi.resource import Resource
from okibi.supervisors import SupervisorSpec, supervise
from okibi.testing import running
from tests.limits import HANG
from tests.support.servers import ALL_NEEDED, Postgres
from tests.support.servers import running as serving

pytestmark = [
    # The server counts what leaks. At the end of its loop, a client leaves sockets to Python.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
pytest.importorskip("psycopg_pool")
asyncpg = pytest.importorskip("asyncpg")
pytest.importorskip("sqlalchemy")

EVENTS = int(os.environ.get("EVENTS", "1000"))
# Connections of one test. Another test's client may still be ending.
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
END_ALL = (
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = %s"
)


@attrs.define(eq=False)
class Server:
    """The server, seen from outside through a connection of its own."""

    address: str
    connection: Any
    test: str

    @property
    def dsn(self) -> str:
        return f"{self.address}?application_name={self.test}"

    def count(self) -> int:
        return int(self.connection.execute(COUNT, [self.test]).fetchone()[0])

    async def count_in_thread(self) -> int:
        return await trio.to_thread.run_sync(self.count)

    async def until(self, count: int) -> None:
        """Wait until as many backends are left: a backend ends after its client."""
        with trio.fail_after(HANG):
            while await self.count_in_thread() != count:  # noqa: ASYNC110, no event says so
                await trio.sleep(0.02)

    def end_connections(self) -> None:
        """End all connections of the test, as an idle limit or a restart does."""
        self.connection.execute(END_ALL, [self.test])


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    missing = Postgres.missing()
    if missing and not os.environ.get(ALL_NEEDED):
        pytest.skip(missing)
    with serving(Postgres) as server:
        yield server


@pytest.fixture
def server(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[Server]:
    import psycopg

    with psycopg.connect(postgres.address(), autocommit=True) as connection:
        # A name has at most 63 characters.
        yield Server(postgres.address(), connection, f"{abs(hash(request.node.name))}")


# -- each client: its resource, and a statement on what is lent

Run = Callable[[Any, str], Awaitable[Any]]


def with_psycopg(server: Server, **changes: Any) -> tuple[Resource[Any], Run]:
    from psycopg_pool import AsyncConnectionPool

    async def open_pool() -> AsyncConnectionPool:
        pool = AsyncConnectionPool(server.dsn, min_size=1, max_size=1, open=False)
        await pool.open(wait=True, timeout=5)
        return pool

    async def run(connection: Any, statement: str) -> Any:
        return (await (await connection.execute(statement)).fetchone())[0]

    resource = Resource(
        open_pool,
        lend=AsyncConnectionPool.connection,
        close=AsyncConnectionPool.close,
        check=AsyncConnectionPool.check,
        loop="asyncio",
        **changes,
    )
    return resource, run


def with_asyncpg(server: Server, **changes: Any) -> tuple[Resource[Any], Run]:
    async def open_pool() -> Any:
        return await asyncpg.create_pool(
            server.address,
            min_size=1,
            max_size=1,
            server_settings={"application_name": server.test},
        )

    async def check(pool: Any) -> None:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")

    async def run(connection: Any, statement: str) -> Any:
        return await connection.fetchval(statement)

    resource = Resource(
        open_pool,
        lend=asyncpg.Pool.acquire,
        close=asyncpg.Pool.close,
        check=check,
        loop="asyncio",
        **changes,
    )
    return resource, run


def with_sqlalchemy(server: Server, **changes: Any) -> tuple[Resource[Any], Run]:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

    async def open_engine() -> AsyncEngine:
        url = server.address.replace("postgresql:", "postgresql+asyncpg:")
        settings = {"server_settings": {"application_name": server.test}}
        return create_async_engine(url, pool_size=1, max_overflow=0, connect_args=settings)

    async def check(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def run(connection: Any, statement: str) -> Any:
        return (await connection.execute(text(statement))).scalar_one()

    resource = Resource(
        open_engine,
        lend=AsyncEngine.begin,
        close=AsyncEngine.dispose,
        check=check,
        loop="asyncio",
        **changes,
    )
    return resource, run


CLIENTS = [with_psycopg, with_asyncpg, with_sqlalchemy]
Client = Callable[..., tuple[Resource[Any], Run]]


@pytest.mark.parametrize("client", CLIENTS)
async def test_events_share_a_connection_that_survives_its_end(
    client: Client, server: Server
) -> None:
    """No event fails after a freeze in which the server ended the connection."""
    resource, run = client(server)

    async def handler(event: str, context: object) -> int:
        async with resource.lend() as connection:
            return int(await run(connection, "SELECT pg_backend_pid()"))

    async with running(Function(handler, [Child(resource)], loop="asyncio")) as app:
        pids = {await app.invoke() for _ in range(5)}
        assert len(pids) == 1
        server.end_connections()
        # On the real clock a freeze is a wait: the connection has not served for a second.
        await trio.sleep(1.1)
        assert await app.invoke() not in pids
    await server.until(0)


@pytest.mark.parametrize("client", CLIENTS)
async def test_an_event_that_raises_is_rolled_back(client: Client, server: Server) -> None:
    resource, run = client(server)

    async def handler(event: int, context: object) -> int:
        async with resource.lend() as connection:
            if client is with_asyncpg:
                # `acquire` has no transaction of its own.
                await connection.execute("BEGIN")
            await run(connection, "INSERT INTO orders VALUES (1) RETURNING 1")
            raise LookupError

    server.connection.execute("DROP TABLE IF EXISTS orders; CREATE TABLE orders (number int)")
    async with running(Function(handler, [Child(resource)], loop="asyncio")) as app:
        with pytest.raises(Exception, match="LookupError"):
            await app.invoke()
        rows = server.connection.execute("SELECT count(*) FROM orders").fetchone()
        assert rows == (0,)
        assert server.count() <= 1
    await server.until(0)


@pytest.mark.parametrize("client", CLIENTS)
async def test_cancelled_statements_leak_no_connection(client: Client, server: Server) -> None:
    resource, run = client(server)
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(resource)]))
        for _ in range(20):
            with trio.move_on_after(0.05):
                async with resource.lend() as connection:
                    await on_asyncio(run, connection, "SELECT 1 FROM pg_sleep(60)")
            async with resource.lend() as connection:
                assert await on_asyncio(run, connection, "SELECT 42") == 42
        await server.until(1)
        top.stop()
    await server.until(0)


@attrs.define(eq=False)
class Worker(actors.Server):
    """Handles one event, as a worker of the runtime does, and is killed meanwhile."""

    resource: Resource[Any]
    run_on: Run

    async def handle(self, held: trio.Event, statement: str) -> None:
        CALLING_EVENT.set(CallingEvent(self._process))
        async with self.resource.lend() as connection:
            held.set()
            await on_asyncio(self.run_on, connection, statement)
            await trio.sleep_forever()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_thousand_killed_events_leak_no_connection(client: Client, server: Server) -> None:
    """Killed while they hold it: before, in the middle of, and after a statement."""
    resource, run = client(server)
    most, random = 0, Random(48)
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(resource)]))
        for number in range(EVENTS):
            worker = spawn(
                nursery, partial(Worker, resource, run), path=f"worker-{number}", supervised=True
            )
            held = trio.Event()
            statement = random.choice(["SELECT 1", "SELECT 1 FROM pg_sleep(0.01)"])
            await actors.Ref[Worker](worker).cast(Worker.handle, held, statement)
            with trio.fail_after(HANG):
                await held.wait()
            await trio.sleep(random.choice([0.0, 0.0, 0.002]))
            worker.kill()
            await worker.wait_dead()
            if number % 20 == 0:
                most = max(most, await server.count_in_thread())
        async with resource.lend() as connection:
            assert await on_asyncio(run, connection, "SELECT 42") == 42
        # One is in use; one that was thrown away may be ending.
        assert most <= 3
        await server.until(1)
        top.stop()
    await server.until(0)
