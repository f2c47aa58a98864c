"""A database whose connections are counted; it may be down, slow, or started again."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked


class Unreachable(OSError): ...


@attrs.define(eq=False)
class Connection:
    """A connection of a Database."""

    database: "Database"
    number: int
    era: int
    closed: bool = False
    borrowers: int = 0
    in_transaction: bool = False

    @property
    def works(self) -> bool:
        return not self.closed and self.era == self.database.era

    async def query(self) -> int:
        await trio.lowlevel.checkpoint()
        if not self.works:
            raise Unreachable("the connection is closed")
        return self.number


@attrs.define(eq=False)
class Database:
    """The server.

    Attributes:
        seconds: of an opening.
        down: whether it can be reached.
        hangs: whether a check gets no answer.
        era: the number of its starts.
        close_seconds: of a close.
    """

    seconds: float = 0.01
    down: bool = False
    hangs: bool = False
    era: int = 1
    close_seconds: float = 0.0
    tries: list[float] = attrs.Factory(list)
    connections: list[Connection] = attrs.Factory(list)
    checks: int = 0
    commits: int = 0
    rollbacks: list[BaseException] = attrs.Factory(list)

    @property
    def open_connections(self) -> int:
        return sum(not each.closed for each in self.connections)

    async def connect(self) -> Connection:
        self.tries.append(trio.current_time())
        await trio.sleep(self.seconds)
        if self.down:
            raise Unreachable("connection refused")
        connection = Connection(self, len(self.connections) + 1, self.era)
        self.connections.append(connection)
        return connection

    async def close(self, connection: Connection) -> None:
        assert not connection.closed
        assert connection.borrowers == 0
        connection.closed = True
        await trio.sleep(self.close_seconds)

    async def check(self, connection: Connection) -> None:
        self.checks += 1
        if self.hangs:
            await trio.sleep_forever()
        await connection.query()

    @asynccontextmanager
    async def transaction(self, connection: Connection) -> AsyncGenerator[Connection]:
        await connection.query()
        connection.in_transaction = True
        try:
            yield connection
            await trio.sleep(0.01)
        except BaseException as error:
            # A rollback is a round trip, too.
            await trio.sleep(0.01)
            self.rollbacks.append(error)
            raise
        else:
            self.commits += 1
        finally:
            connection.in_transaction = False


async def freeze(seconds: float) -> None:
    """Have the clocks jump, as at the end of a freeze."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    await wait_all_tasks_blocked()
    clock.jump(seconds)
    await wait_all_tasks_blocked()
