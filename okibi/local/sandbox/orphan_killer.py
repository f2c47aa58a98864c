"""Kill the processes that a sandbox may leave behind, even if this process is killed.

Run as a program, this module is the helper process of an `OrphanKiller`. It uses the standard
library alone, to start quickly.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

# Seconds at most to kill processes outside the sandbox's process group. Usually there are none.
KILL_LIMIT = 1.0

# Begins the helper's lines about folders. The other lines begin with a number.
_FOLDER = "folder"


def kill_marked(marks: Collection[str], seconds: float) -> None:
    """Kill the processes that were started with one of these environment variables.

    This finds processes that have left the session and lost their parent, but no process that was
    started with another environment.

    Args:
        marks: `NAME=value` strings, none empty.
        seconds: the limit for processes that keep starting others.
    """
    wanted = {os.fsencode(mark) for mark in marks}
    until = time.monotonic() + seconds
    while (remaining := _find_marked(wanted)) and time.monotonic() < until:
        for pid in remaining:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _find_marked(wanted: set[bytes]) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        # The environment of another user's process cannot be read.
        with suppress(OSError):
            if not wanted.isdisjoint(entry.read_bytes().split(b"\0")):
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]


class OrphanKiller:
    """A helper process that kills the processes of all sandboxes if this process is killed.

    It also removes their temporary folders. No code runs after SIGKILL. The kernel closes this
    process's pipes, and the helper sees the end of its stdin. The helper has its own session, so
    Ctrl-C does not reach it.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # Without `site`, Python starts in half the time.
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, group: int, mark: str) -> None:
        """Register a process group to kill, and the processes with a mark (`kill_marked`).

        Args:
            group: replaces the earlier group of this mark; 0 for none.
            mark: a `NAME=value` string, not empty; added to the earlier ones.
        """
        self._send(f"{group} {mark}")

    def add_folder(self, folder: Path) -> None:
        """Register a folder to remove, with all that is in it."""
        self._send(f"{_FOLDER} {folder}")

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None  # a pipe
        # Without the helper (someone killed it) nothing is registered.
        with suppress(OSError):
            self._process.stdin.write(os.fsencode(f"{line}\n"))
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """Stop the helper: this process has cleaned up."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _kill_orphans_at_eof() -> None:
    """Wait until the parent has ended; then kill what remains."""
    groups: dict[str, int] = {}
    folders: list[str] = []
    for line in sys.stdin:
        number, _, mark = line.rstrip("\n").partition(" ")
        if number == _FOLDER:
            folders.append(mark)
        else:
            groups[mark] = int(number)
    for group in filter(None, groups.values()):
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    if groups:
        kill_marked(groups, KILL_LIMIT)
    # Imported here, because it would slow down the start of each `okibi dev`.
    import shutil

    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _kill_orphans_at_eof()
