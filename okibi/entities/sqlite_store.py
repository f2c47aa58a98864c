"""The store in one SQLite file, for several processes of one machine."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import trio

from .operations import Operation
from .rows import Row
from .stores import OperationRefused, StoreUnavailable

# Seconds that an operation waits for those of other processes.
BUSY_LIMIT = 5.0

_decode = msgspec.json.Decoder(Row).decode


class SQLiteStore:
    """Keeps the rows in a file, which several processes of one machine may use.

    Args:
        path: the file; it is made if it does not exist.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        # A connection is used by one thread at a time.
        self._free = list[sqlite3.Connection]()

    def now(self) -> int:
        """Return the milliseconds since 1970."""
        return int(time.time() * 1000)

    async def read(self, key: str, sender: str = "", *, consistent: bool) -> Row | None:
        """Read a row; see Store."""
        return await trio.to_thread.run_sync(self._run, key, None)

    async def apply(self, operation: Operation) -> Row:
        """Do an operation in a transaction; see Store."""
        row = await trio.to_thread.run_sync(self._run, operation.key, operation)
        assert row is not None
        return row

    def close(self) -> None:
        """Close the file."""
        while self._free:
            self._free.pop().close()

    # -- in a thread

    def _run(self, key: str, operation: Operation | None) -> Row | None:
        try:
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self._open()
            try:
                return _run(connection, key, operation)
            finally:
                self._free.append(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise StoreUnavailable(f"{self.path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_LIMIT, isolation_level=None, check_same_thread=False
        )
        # A crash of the machine may lose the last operations; one of a process loses none.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS entities (key TEXT PRIMARY KEY, row BLOB)")
        return connection


def _run(connection: sqlite3.Connection, key: str, operation: Operation | None) -> Row | None:
    if operation is None:
        return _read(connection, key)
    connection.execute("BEGIN IMMEDIATE")
    try:
        row = _read(connection, key)
        after = operation.apply(row)
        if after is None:
            raise OperationRefused(row)
        connection.execute(
            "INSERT OR REPLACE INTO entities VALUES (?, ?)", (key, msgspec.json.encode(after))
        )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return after


def _read(connection: sqlite3.Connection, key: str) -> Row | None:
    with closing(connection.execute("SELECT row FROM entities WHERE key = ?", (key,))) as found:
        first = found.fetchone()
    return None if first is None else _decode(first[0])
