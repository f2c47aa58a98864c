"""What the kernel tells of processes."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime.local.processes import below, cpu_seconds, proportional

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc")


def test_the_children_of_children_are_below_a_process() -> None:
    script = (
        "import subprocess, sys; print(subprocess.Popen(['cat']).pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())

        assert below(child.pid) == [grandchild]
        assert {child.pid, grandchild} <= set(below(os.getpid()))
        child.communicate("")
    assert child.pid not in below(os.getpid())


def test_memory_and_processor_time_are_what_the_process_has() -> None:
    before = cpu_seconds(os.getpid())
    held = bytearray(os.urandom(16 << 20))

    assert proportional(os.getpid()) > len(held)
    assert cpu_seconds(os.getpid()) > before


def test_of_a_process_that_is_gone_the_kernel_tells_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass

    with pytest.raises(OSError, match=str(gone.pid)):
        proportional(gone.pid)
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_seconds(gone.pid)


def test_the_time_of_threads_that_have_ended_counts() -> None:
    before = cpu_seconds(os.getpid())
    thread = threading.Thread(target=lambda: sum(range(2_000_000)))
    thread.start()
    thread.join()

    assert cpu_seconds(os.getpid()) - before > 0.005
