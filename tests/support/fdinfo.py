"""Linux's information about descriptors (proc(5)), including timers."""

import os
from contextlib import suppress
from pathlib import Path


def descriptors() -> set[int]:
    """Return the open descriptors. Collect garbage first: trio's are in reference cycles."""
    found = set[int]()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the descriptor of this listing
            os.fstat(int(name))
            found.add(int(name))
    return found


def said_of(descriptor: int) -> dict[str, str]:
    """Return the fields of a descriptor."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def rings_in(timer: int) -> float:
    """Return in how many seconds a timer fires; 0 for never."""
    return _seconds(said_of(timer)["it_value"])


def rings_every(timer: int) -> float:
    """Return the interval of a timer in seconds; 0 for a one-shot timer."""
    return _seconds(said_of(timer)["it_interval"])


def _seconds(value: str) -> float:
    seconds, nanoseconds = value.strip("()").split(", ")
    return int(seconds) + int(nanoseconds) / 1e9
