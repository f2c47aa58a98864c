"""Memory, processor time and descendants of processes, from Linux's /proc."""

import os
import time
from contextlib import suppress
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
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
    """Return a process's memory in bytes, each shared page divided among its users (PSS).

    Raises:
        OSError: the process does not exist.
        ValueError: the kernel does not report it.
    """
    return _size(pid, "smaps_rollup", "Pss")


def peak_memory(pid: int) -> int:
    """Return a process's peak memory in bytes, including shared pages (VmHWM).

    Raises:
        OSError: the process does not exist.
        ValueError: the kernel does not report it.
    """
    return _size(pid, "status", "VmHWM")


def tree_memory(pid: int) -> int:
    """Return the memory in bytes of a process and its descendants, as if alone on the machine.

    In a sandbox this would be the sum of their PSS. On a shared machine PSS falls with each other
    process that maps the same file. Therefore anonymous memory counts as in PSS, and each piece of
    a file as the most that one of these processes has of it.

    Raises:
        OSError: the process does not exist.
        ValueError: the kernel does not report it.
    """
    anonymous, mapped = 0, dict[str, int]()
    for each in (pid, *descendants(pid)):
        try:
            anonymous += _size(each, "smaps_rollup", "Pss_Anon")
            pieces = _mapped(each)
        except OSError:
            if each == pid:
                raise
            continue  # it has ended
        for piece, size in pieces.items():
            mapped[piece] = max(size, mapped.get(piece, 0))
    return anonymous + sum(mapped.values())


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process, its threads, and its children that have ended.

    Raises:
        OSError: the process does not exist.
    """
    # The id of another process's clock (clock_getcpuclockid(3)). It counts nanoseconds;
    # /proc/*/stat counts ticks of 10 ms, but is the only source for ended children.
    own = time.clock_gettime((~pid << 3) | 2)
    ended = sum(int(ticks) for ticks in _stat(pid)[13:15])
    return own + ended / os.sysconf("SC_CLK_TCK")


def core_wait_seconds() -> float:
    """Return how many seconds this process was ready to run and waited for a core.

    Raises:
        OSError: the kernel does not report it.
    """
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


def _stat(pid: int) -> list[str]:
    """Return the fields from the state on. The name before may contain anything, in brackets."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _size(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text(errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/{file} has no {name}")


def _mapped(pid: int) -> dict[str, int]:
    """Bytes in memory of each piece of a file (its device, its inode, where it begins), but for
    those pages that the process has written to.
    """
    found: dict[str, int] = {}
    piece = ""
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            # 7f…-7f… r-xp 00001000 fd:00 1234 /a/file; the inode is 0 without a file.
            piece = "" if rest[3] == "0" else " ".join(rest[1:4])
        elif piece and name in ("Rss:", "Anonymous:"):
            size = int(rest[0]) * 1024
            found[piece] = found.get(piece, 0) + (size if name == "Rss:" else -size)
    return found
