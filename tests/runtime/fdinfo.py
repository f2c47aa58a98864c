"""What Linux says of a descriptor (proc(5)): of a timer also when it rings."""

from pathlib import Path


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
