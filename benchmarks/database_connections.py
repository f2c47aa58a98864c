"""What connections of PostgreSQL cost, and which pools lose a query after a freeze.

    python -m benchmarks.database_connections

Needs PostgreSQL (apt-get install postgresql). docs/databases.md has the figures. Each time is the
lower tenth of 200, which other work on the machine moves least.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg

from tests.support.servers import Postgres, running

ROUNDS = 200
BACKENDS = 20
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)

Query = Callable[[], Awaitable[object]]


def measure_costs(dsn: str) -> list[tuple[str, str]]:
    """Measure a connection, a statement through an open one, and a backend's own memory."""
    connects, statements = list[float](), list[float]()
    with psycopg.connect(dsn, autocommit=True) as kept:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            psycopg.connect(dsn).close()
            connects.append(time.perf_counter() - began)
            began = time.perf_counter()
            kept.execute("SELECT 1")
            statements.append(time.perf_counter() - began)
    opened = [psycopg.connect(dsn) for _ in range(BACKENDS)]
    for connection in opened:
        connection.execute("SELECT count(*) FROM pg_class")
    sizes = [_private_memory(connection.info.backend_pid) for connection in opened]
    for connection in opened:
        connection.close()
    return [
        ("a new connection on this machine", f"{_lower_tenth(connects):.1f} ms"),
        ("a statement through an open connection", f"{_lower_tenth(statements):.2f} ms"),
        ("memory of the server for an idle connection", f"{median(sizes) / 1024:.1f} MB"),
    ]


def _lower_tenth(seconds: list[float]) -> float:
    """Return the lower tenth of some times, in milliseconds."""
    return quantiles(seconds, n=10)[0] * 1000


def _private_memory(pid: int) -> float:
    """Return the memory that a process shares with no other, in KB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(sum(int(line.split()[1]) for line in lines if line.startswith("Private")))


@asynccontextmanager
async def psycopg_pool(dsn: str, **settings: Any) -> AsyncGenerator[Query]:
    from psycopg_pool import AsyncConnectionPool

    pool = AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False, **settings)
    await pool.open(wait=True)

    async def query() -> object:
        async with pool.connection() as connection:
            return await connection.execute("SELECT 1")

    try:
        yield query
    finally:
        await pool.close()


@asynccontextmanager
async def checked_psycopg_pool(dsn: str) -> AsyncGenerator[Query]:
    from psycopg_pool import AsyncConnectionPool

    check = AsyncConnectionPool.check_connection
    async with psycopg_pool(dsn, check=check) as query:
        yield query


@asynccontextmanager
async def asyncpg_pool(dsn: str, **settings: Any) -> AsyncGenerator[Query]:
    # It says no types.
    asyncpg: Any = import_module("asyncpg")
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1, **settings)

    async def query() -> object:
        async with pool.acquire() as connection:
            return await connection.fetchval("SELECT 1")

    try:
        yield query
    finally:
        await pool.close()


@asynccontextmanager
async def sqlalchemy_engine(dsn: str, **settings: Any) -> AsyncGenerator[Query]:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    url = dsn.replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url, pool_size=1, max_overflow=0, **settings)

    async def query() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT 1"))).scalar_one()

    try:
        yield query
    finally:
        await engine.dispose()


async def first_query_after_freeze(opened: Any, dsn: str) -> tuple[str, str]:
    """Freeze the loop while the server ends the connections.

    Returns:
        The time of a query before the freeze; what became of the first query after the thaw.
    """
    times = list[float]()
    async with opened as query:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await query()
            times.append(time.perf_counter() - began)
        warm = f"{_lower_tenth(times):.2f} ms"
        # Without an await, the loop is frozen.
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(END_OTHERS)
        time.sleep(0.3)  # noqa: ASYNC251, the freeze
        try:
            await query()
        except Exception as error:
            return warm, f"fails: {type(error).__name__}"
        return warm, "works"


def main() -> None:
    """Print the figures as two tables."""
    if why := Postgres.missing():
        print(why)
        return
    with running(Postgres) as server:
        dsn = server.address()
        for what, figure in measure_costs(dsn):
            print(f"| {what} | {figure} |")
        pools: dict[str, Callable[[], Any]] = {
            "psycopg_pool": lambda: psycopg_pool(dsn),
            "psycopg_pool, check=check_connection": lambda: checked_psycopg_pool(dsn),
            "asyncpg": lambda: asyncpg_pool(dsn),
            "asyncpg, max_inactive_connection_lifetime=0.2": lambda: asyncpg_pool(
                dsn, max_inactive_connection_lifetime=0.2
            ),
            "SQLAlchemy with asyncpg": lambda: sqlalchemy_engine(dsn),
            "SQLAlchemy with asyncpg, pool_pre_ping=True": lambda: sqlalchemy_engine(
                dsn, pool_pre_ping=True
            ),
        }
        for name, make in pools.items():
            figures = asyncio.run(first_query_after_freeze(make(), dsn))
            print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
