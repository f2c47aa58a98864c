"""The store in one SQLite file, for several processes of one machine."""

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import msgspec
import trio

from .alarms import Alarm
from .operations import Move, Moved, Operation
from .rows import Row
from .stores import OperationRefused, StoreUnavailable, move_between

# Seconds that an operation waits for those of other processes.
BUSY_LIMIT = 5.0

T = TypeVar("T")
Args = TypeVarTuple("Args")

_decode = msgspec.json.Decoder(Row).decode


class SQLiteStore:
    """Keeps the rows in a file, which several processes of one machine may use.

    Args:
        path: the file. It is made if it does not exist, and so is its folder, which Git ignores.
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
        return await self._run(_read, key)

    async def apply(self, operation: Operation) -> Row:
        """Do an operation in a transaction; see Store."""
        return await self._run(_apply, operation)

    async def move(self, move: Move) -> Moved:
        """Move a message in a transaction; see Store."""
        return await self._run(_move, move)

    # -- alarms

    async def add_alarm(self, alarm: Alarm) -> None:
        """Add an alarm; see KeepsAlarms."""
        await self._run(_add_alarm, alarm)

    async def first_alarm(self) -> Alarm | None:
        """Return the first alarm; see KeepsAlarms."""
        return await self._run(_first_alarm)

    async def remove_alarm(self, alarm: Alarm) -> None:
        """Remove an alarm; see KeepsAlarms."""
        await self._run(_remove_alarm, alarm)

    def close(self) -> None:
        """Close the file."""
        while self._free:
            self._free.pop().close()

    async def _run(self, function: Callable[[sqlite3.Connection, *Args], T], *args: *Args) -> T:
        return await trio.to_thread.run_sync(self._run_in_thread, function, args)

    # -- in a thread

    def _run_in_thread(
        self, function: Callable[[sqlite3.Connection, *Args], T], args: tuple[*Args]
    ) -> T:
        try:
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self._open()
            try:
                return function(connection, *args)
            finally:
                self._free.append(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise StoreUnavailable(f"{self.path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        folder = self.path.parent
        if not folder.is_dir():
            folder.mkdir(0o700, parents=True, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
        connection = sqlite3.connect(
            self.path, timeout=BUSY_LIMIT, isolation_level=None, check_same_thread=False
        )
        # A crash of the machine may lose the last operations; one of a process loses none.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS entities (key TEXT PRIMARY KEY, row BLOB)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS alarms (due INTEGER, key TEXT, PRIMARY KEY (due, key))"
        )
        return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _apply(connection: sqlite3.Connection, operation: Operation) -> Row:
    with _transaction(connection):
        row = _read(connection, operation.key)
        after = operation.apply(row)
        if after is None:
            raise OperationRefused(row)
        _write(connection, operation.key, after)
    return after


def _move(connection: sqlite3.Connection, move: Move) -> Moved:
    with _transaction(connection):
        after = move_between(move, partial(_read, connection))
        if isinstance(after, Moved):
            return after
        for key, row in after.items():
            _write(connection, key, row)
    return Moved.DONE


def _add_alarm(connection: sqlite3.Connection, alarm: Alarm) -> None:
    connection.execute("INSERT OR IGNORE INTO alarms VALUES (?, ?)", alarm)


def _first_alarm(connection: sqlite3.Connection) -> Alarm | None:
    with closing(connection.execute("SELECT * FROM alarms ORDER BY due LIMIT 1")) as found:
        first = found.fetchone()
    return None if first is None else Alarm(*first)


def _remove_alarm(connection: sqlite3.Connection, alarm: Alarm) -> None:
    connection.execute("DELETE FROM alarms WHERE due = ? AND key = ?", alarm)


def _write(connection: sqlite3.Connection, key: str, row: Row) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO entities VALUES (?, ?)", (key, msgspec.json.encode(row))
    )


def _read(connection: sqlite3.Connection, key: str) -> Row | None:
    with closing(connection.execute("SELECT row FROM entities WHERE key = ?", (key,))) as found:
        first = found.fetchone()
    return None if first is None else _decode(first[0])
