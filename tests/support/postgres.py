"""A real PostgreSQL for one test, if installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian's folders, of which not all are on the path.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def command(name: str) -> str | None:
    """Return the path of a PostgreSQL command, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _FOLDERS)])
    return shutil.which(name, path=path)


def missing() -> str:
    """Return why PostgreSQL cannot run here, or ""."""
    if command("initdb") is None or command("pg_ctl") is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    return "" if _user() is not None or os.geteuid() else "PostgreSQL does not run as root"


def _user() -> str | None:
    """Return the user to run PostgreSQL as; root may not run it."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def postgres() -> Iterator[Path]:
    """Create and serve a database; yield the folder of its socket. Every user is `okibi`."""
    with tempfile.TemporaryDirectory(prefix="okibi-pg-", ignore_cleanup_errors=True) as name:
        folder, user = Path(name), _user()
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        _run("initdb", "-D", str(data), "-U", "okibi", "-A", "trust", "-N", user=user)
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        log = str(folder / "log")
        _run("pg_ctl", "-D", str(data), "-w", "-l", log, "-o", options, "start", user=user)
        # The function under test may run as another user.
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            _run("pg_ctl", "-D", str(data), "-m", "immediate", "stop", user=user)


def _run(name: str, *arguments: str, user: str | None) -> None:
    found = command(name)
    assert found is not None
    subprocess.run(
        [found, *arguments], user=user, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=60
    )
