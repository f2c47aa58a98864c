"""Real servers for one test: PostgreSQL, MariaDB, Valkey. Each can be killed and started again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.limits import HANG

# Debian's folders, of which not all are on the path.
_FOLDERS = ["/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
# `.ci/run` sets it: there each server has to be installed.
ALL_NEEDED = "OKIBI_ALL_SERVICES"


def command(*names: str) -> str | None:
    """Return the path of the first of these programs that is installed; None for none."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def unprivileged(*names: str) -> str | None:
    """Return the user to run a server as, if this is root: databases refuse to run as root."""
    if os.geteuid():
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*names, "nobody") if name in known)


S = TypeVar("S", bound="Service")


class Service:
    """A server of one test.

    Args:
        folder: a folder of the server's own.
        idle: seconds after which the server closes an idle connection; 0 for never.
    """

    # The programs, of which one has to be installed, and the package that has them.
    programs: Sequence[str]
    package: str
    user: str | None = None
    stop_signal = signal.SIGKILL

    def __init__(self, folder: Path, idle: int) -> None:
        self.folder, self.idle, self.port = folder, idle, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str:
        """Return why the server cannot run here, or ""."""
        if command(*cls.programs):
            return ""
        return f"{cls.programs[0]} is not installed: apt-get install {cls.package}"

    def prepare(self) -> None:
        """Make what the server needs before its first start."""

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def check(self) -> None:
        """Raise if the server does not answer yet."""
        raise NotImplementedError

    def fill(self) -> None:
        """Put the customers in, after the first start."""

    def program(self) -> str:
        found = command(*self.programs)
        assert found is not None
        return found

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            arguments, user=self.user, cwd="/", check=False, timeout=HANG, capture_output=True
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program(), *self.arguments()],
                user=self.user, cwd="/", stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + HANG
        while True:
            try:
                return self.check()
            except Exception:
                # Each client has an error of its own for a server that starts.
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, f"{self.programs[0]} does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        """End the server at once, with all connections."""
        assert self.process is not None
        os.killpg(self.process.pid, self.stop_signal)
        self.process.wait(HANG)


class Postgres(Service):
    programs, package = ("postgres",), "postgresql"
    # The immediate shutdown: SIGKILL would leave shared memory behind.
    stop_signal = signal.SIGQUIT
    tables = (
        "create table customers (id int primary key, name text)",
        "create table renamed (id int)",
        "insert into customers values (7, 'bob')",
    )

    def prepare(self) -> None:
        self.user = unprivileged("postgres")
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        initdb = command("initdb")
        assert initdb is not None
        self.run(initdb, "-D", str(self.folder / "data"), "-U", "okibi", "-A", "trust", "-N")

    def arguments(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off",
            "unix_socket_directories": self.folder, "idle_session_timeout": self.idle * 1000,
        }  # fmt: skip
        chosen = [f"{name}={value}" for name, value in settings.items()]
        return [
            "-D",
            str(self.folder / "data"),
            *(part for each in chosen for part in ("-c", each)),
        ]

    def address(self, scheme: str = "postgresql") -> str:
        return f"{scheme}://okibi@127.0.0.1:{self.port}/postgres"

    def check(self) -> None:
        self.execute("select 1")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement from outside, and return its rows."""
        import psycopg

        with psycopg.connect(self.address(), autocommit=True) as connection:
            rows = connection.execute(statement)
            return rows.fetchall() if rows.description else []

    def fill(self) -> None:
        for statement in self.tables:
            self.execute(statement)

    def is_running(self, query: str) -> bool:
        """Whether the server runs a query that contains a text."""
        running = f"state = 'active' and query like '%{query}%' and pid <> pg_backend_pid()"
        return bool(self.execute(f"select 1 from pg_stat_activity where {running}"))


class MariaDB(Service):
    programs, package = ("mariadbd", "mysqld"), "mariadb-server"

    def prepare(self) -> None:
        self.user = unprivileged("mysql")
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        install = command("mariadb-install-db", "mysql_install_db")
        assert install is not None
        data = f"--datadir={self.folder / 'data'}"
        self.run(install, "--no-defaults", data, "--auth-root-authentication-method=normal")

    def arguments(self) -> list[str]:
        folder = self.folder
        return [
            "--no-defaults", f"--datadir={folder / 'data'}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}", f"--wait-timeout={self.idle or 28800}",
            "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip

    def check(self) -> None:
        self.execute("select 1")

    def execute(self, statement: str) -> Sequence[tuple[object, ...]]:
        """Run a statement from outside, and return its rows."""
        import pymysql  # type: ignore[import-untyped]

        connection = pymysql.connect(host="127.0.0.1", port=self.port, user="root")
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            connection.commit()
            rows: Sequence[tuple[object, ...]] = cursor.fetchall()
            return rows

    def fill(self) -> None:
        for statement in (
            "create database shop",
            *(each.replace("table ", "table shop.") for each in Postgres.tables[:2]),
            "insert into shop.customers values (7, 'bob')",
            "create user okibi@'%' identified by 'secret'",
            "grant all on shop.* to okibi@'%'",
        ):
            self.execute(statement)

    def is_running(self, query: str) -> bool:
        """Whether the server runs a query that contains a text."""
        running = f"info like '%{query}%' and id <> connection_id()"
        return bool(self.execute(f"select 1 from information_schema.processlist where {running}"))


class Valkey(Service):
    programs, package = ("valkey-server", "redis-server"), "valkey-server"

    def arguments(self) -> list[str]:
        return [
            "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder),
            "--timeout", str(self.idle), "--appendonly", "yes", "--appendfsync", "always",
        ]  # fmt: skip

    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def check(self) -> None:
        import redis

        with redis.Redis(port=self.port) as client:
            client.ping()

    def fill(self) -> None:
        import redis

        with redis.Redis(port=self.port) as client:
            client.set("customer:7", "bob")

    def is_running(self, query: str) -> bool:
        """Whether a client waits with a command."""
        import redis

        with redis.Redis(port=self.port) as client:
            return any(each["cmd"] == query for each in client.client_list())


@contextmanager
def running(kind: type[S], idle: int = 0) -> Iterator[S]:
    """Start a server with one customer, 7, called bob; end it with the block."""
    with tempfile.TemporaryDirectory(prefix="okibi-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        service = kind(folder, idle)
        service.prepare()
        service.start()
        try:
            service.fill()
            yield service
        finally:
            if service.process is not None and service.process.poll() is None:
                service.kill()
