"""Describe the machine of a benchmark."""

import os
import platform
from pathlib import Path

import attrs

from .figures import pluralize


@attrs.frozen
class Machine:
    """The machine of a benchmark.

    Args:
        python: implementation and version.
        system: kernel, release and architecture.
        processor: the model, if the system provides it.
        cores: the cores that this process may use.
        load: the load average of the last minute; None where the system has none.
    """

    python: str
    system: str
    processor: str
    cores: int
    load: float | None

    def describe(self) -> str:
        """Describe the machine in one line."""
        load = "" if self.load is None else f"; load {self.load:.1f} before"
        cores = pluralize(self.cores, "core")
        return f"{self.python}, {self.system}, {self.processor}, {cores}{load}"


def this_machine() -> Machine:
    """Read the description of the current machine."""
    uname = platform.uname()
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{uname.system} {uname.release} {uname.machine}",
        processor=_processor_model() or uname.processor or uname.machine,
        cores=_count_cores(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    lines = [line.partition(":") for line in text.splitlines()]
    names = [value.strip() for key, _, value in lines if key.strip() in ("model name", "Model")]
    return names[0] if names else ""
