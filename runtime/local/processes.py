"""What the kernel tells of a process and of those that it has started: memory and processor time.

On Linux only.
"""

import time
from contextlib import suppress
from pathlib import Path

__all__ = ["below", "cpu_seconds", "proportional"]


def below(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # Its name, in brackets, may hold anything.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def proportional(pid: int) -> int:
    """A process's memory in bytes, each shared page counted by its share (PSS).

    Raises:
        OSError: there is no such process.
        ValueError: the kernel does not tell.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the kernel says nothing of the PSS of {pid}")


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had, with that of its threads that have ended.

    Raises:
        OSError: there is no such process.
    """
    # The clock of another process, as clock_getcpuclockid(3) names it: in nanoseconds, where
    # /proc/*/stat counts ticks of 10 ms, and its threads' files go with them.
    return time.clock_gettime((~pid << 3) | 2)
