"""Kill orphaned processes.

Run as a program, this module is the process of an `OrphanKiller`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

__all__ = ["SWEEP_LIMIT", "OrphanKiller", "kill_marked"]

SWEEP_LIMIT = 1.0
"""Seconds at most to kill what processes in sessions of their own have started; of none it takes
none.
"""


def kill_marked(marks: Collection[str], seconds: float) -> None:
    """Kill the processes with one of these variables in the environment that they began with.

    It finds also those that a process has started in a session of their own, and whose parent has
    ended; not those that were given another environment.

    Args:
        marks: `NAME=value`, none of them empty.
        seconds: how long those that start others are followed at most.
    """
    wanted = {os.fsencode(mark) for mark in marks}
    until = time.monotonic() + seconds
    while (left := _marked(wanted)) and time.monotonic() < until:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _marked(wanted: set[bytes]) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        # Another user's cannot be read.
        with suppress(OSError):
            if not wanted.isdisjoint(entry.read_bytes().split(b"\0")):
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]


class OrphanKiller:
    """A process that kills what this process has started, should this process be killed itself.

    SIGKILL lets nobody clean up. The kernel then closes this process's pipes, and the sweeper
    reads the end of its own. It is in a session of its own, where no Ctrl-C reaches it.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # Without `site`: it needs nothing that is installed, and starts in half the time.
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, group: int, mark: str) -> None:
        """Have it kill a process group, and the processes that have a mark (`kill_marked`).

        Args:
            group: the only one from now on; 0 for none.
            mark: `NAME=value`, not empty; those of earlier calls still count.
        """
        assert self._process.stdin is not None  # a pipe
        # Whoever has killed it goes without.
        with suppress(OSError):
            self._process.stdin.write(f"{group} {mark}\n".encode())
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """End it: this process has cleaned up."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _kill_orphans_at_eof() -> None:
    """Wait for the end of a sweeper's parent, and kill what that has left running."""
    group, marks = 0, set[str]()
    for line in sys.stdin:
        number, _, mark = line.rstrip("\n").partition(" ")
        group = int(number)
        marks.add(mark)
    if group:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    if marks:
        kill_marked(marks, SWEEP_LIMIT)


if __name__ == "__main__":
    _kill_orphans_at_eof()
