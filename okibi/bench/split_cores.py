"""Give the measured process its own cores, so that it and this process do not delay each other."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

# The cores of the measured process, and those of this process.
Shares = tuple[set[int], set[int]]


def split_cores() -> Shares | None:
    """Return the last core for this process, and the others; None with one core or no affinity."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    *others, own = sorted(os.sched_getaffinity(0))
    return (set(others), {own}) if others else None


def start_on_share(
    shares: Shares | None, command: Sequence[str], **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a process on its share of the cores, and move this process to the other share.

    Args:
        shares: the cores; None to share all of them.
        command: the process to start.
        options: the other arguments of `subprocess.Popen`.
    """
    # Children inherit the affinity; a preexec_fn would be unsafe with threads.
    theirs, ours = shares or (None, None)
    _set_affinity(theirs)
    try:
        start: Any = subprocess.Popen
        process: subprocess.Popen[bytes] = start(command, **options)
    finally:
        _set_affinity(ours)
    return process


def _set_affinity(cores: set[int] | None) -> None:
    if cores is not None:
        os.sched_setaffinity(0, cores)
