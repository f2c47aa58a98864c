"""The machine that a report was made on: without it a figure says nothing."""

import os
import platform
from pathlib import Path

import attrs

from .figures import counted

__all__ = ["Machine", "this_machine"]


@attrs.frozen
class Machine:
    """Where it was measured.

    Args:
        python: implementation and version.
        system: the kernel, its release and the architecture.
        processor: its model, as far as it tells.
        cores: that this process may use.
        load: what wanted a core in the minute before, in the mean; None where nobody tells.
    """

    python: str
    system: str
    processor: str
    cores: int
    load: float | None

    def in_words(self) -> str:
        """In a line."""
        load = "" if self.load is None else f"; load {self.load:.1f} before"
        cores = counted(self.cores, "core")
        return f"{self.python}, {self.system}, {self.processor}, {cores}{load}"


def this_machine() -> Machine:
    """What this one tells of itself."""
    told = platform.uname()
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{told.system} {told.release} {told.machine}",
        processor=_processor() or told.processor or told.machine,
        cores=_cores(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    lines = [line.partition(":") for line in text.splitlines()]
    names = [value.strip() for key, _, value in lines if key.strip() in ("model name", "Model")]
    return names[0] if names else ""
