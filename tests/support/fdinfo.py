"""What Linux says of descriptors (proc(5)): of a timer also when it rings."""

import os
from contextlib import suppress
from pathlib import Path


def descriptors() -> set[int]:
    """Those that are open. What trio had for a run lies in circles: collect first."""
    found = set[int]()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # by which they were listed
            os.fstat(int(name))
            found.add(int(name))
    return found


def said_of(descriptor: int) -> dict[str, str]:
    """Each word with its value."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def rings_in(timer: int) -> float:
    """In how many seconds it rings; 0 for never."""
    return _seconds(said_of(timer)["it_value"])


def rings_every(timer: int) -> float:
    """How many seconds lie between two rings; 0 for a timer that rings once."""
    return _seconds(said_of(timer)["it_interval"])


def _seconds(value: str) -> float:
    seconds, nanoseconds = value.strip("()").split(", ")
    return int(seconds) + int(nanoseconds) / 1e9
