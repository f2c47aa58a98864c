"""What the kernel tells of a process and of those that it has started: memory and processor time;
and their end, also when this process is killed.

What the kernel tells it tells on Linux only.

Run as a program, it is a `OrphanKiller`'s process.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = [
    "core_wait_seconds",
    "cpu_seconds",
    "descendants",
    "peak_memory",
    "proportional_memory",
    "tree_memory",
]


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def proportional_memory(pid: int) -> int:
    """A process's memory in bytes, each shared page counted by its share (PSS).

    Raises:
        OSError: there is no such process.
        ValueError: the kernel does not tell.
    """
    return _size(pid, "smaps_rollup", "Pss")


def peak_memory(pid: int) -> int:
    """Bytes that a process has had at most (VmHWM), with all that it shares.

    Raises:
        OSError: there is no such process.
        ValueError: the kernel does not tell.
    """
    return _size(pid, "status", "VmHWM")


def tree_memory(pid: int) -> int:
    """The memory of a process and of those below it in bytes, as if they were alone on the machine.

    It is what their PSS would add up to in a sandbox of their own: on a machine with others, PSS
    falls with each of them that has mapped the same file. So what is anonymous counts as PSS does,
    and of each piece of a file what one of them has of it at most.

    Raises:
        OSError: there is no such process.
        ValueError: the kernel does not tell.
    """
    anonymous, mapped = 0, dict[str, int]()
    for each in (pid, *descendants(pid)):
        try:
            anonymous += _size(each, "smaps_rollup", "Pss_Anon")
            pieces = _mapped(each)
        except OSError:
            if each == pid:
                raise
            continue  # it has ended meanwhile
        for piece, size in pieces.items():
            mapped[piece] = max(size, mapped.get(piece, 0))
    return anonymous + sum(mapped.values())


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had, with that of its threads and of its children that
    have ended.

    Raises:
        OSError: there is no such process.
    """
    # The clock of another process, as clock_getcpuclockid(3) names it: in nanoseconds, where
    # /proc/*/stat counts ticks of 10 ms, and its threads' files go with them. Of children that it
    # has waited for nothing finer is left than those ticks.
    own = time.clock_gettime((~pid << 3) | 2)
    ended = sum(int(ticks) for ticks in _stat(pid)[13:15])
    return own + ended / os.sysconf("SC_CLK_TCK")


def core_wait_seconds() -> float:
    """How long this process has waited for a core, ready to run, while others had it.

    Raises:
        OSError: the kernel does not tell.
    """
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


def _stat(pid: int) -> list[str]:
    """Its fields from the state on; its name before, in brackets, may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _size(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text(errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the kernel says nothing of the {name} of {pid}")


def _mapped(pid: int) -> dict[str, int]:
    """Bytes in memory of each piece of a file (its device, its inode, where it begins), but for
    those pages that the process has written to.
    """
    found: dict[str, int] = {}
    piece = ""
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            # 7f…-7f… r-xp 00001000 fd:00 1234 /a/file; without one the inode is 0.
            piece = "" if rest[3] == "0" else " ".join(rest[1:4])
        elif piece and name in ("Rss:", "Anonymous:"):
            size = int(rest[0]) * 1024
            found[piece] = found.get(piece, 0) + (size if name == "Rss:" else -size)
    return found
