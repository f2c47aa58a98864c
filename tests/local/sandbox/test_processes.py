"""Figures of processes, and the orphan killer."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from okibi.local.sandbox.processes import (
    cpu_seconds,
    descendants,
    peak_memory,
    proportional_memory,
    tree_memory,
)
from tests.limits import HANG
from tests.support.sandbox import is_gone

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc")


def test_descendants_include_grandchildren() -> None:
    script = (
        "import subprocess, sys; print(subprocess.Popen(['cat']).pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())

        assert descendants(child.pid) == [grandchild]
        assert {child.pid, grandchild} <= set(descendants(os.getpid()))
        child.communicate("")
    assert child.pid not in descendants(os.getpid())


def test_memory_and_processor_time_are_those_of_the_process() -> None:
    before = cpu_seconds(os.getpid())
    held = bytearray(os.urandom(16 << 20))

    assert proportional_memory(os.getpid()) > len(held)
    assert cpu_seconds(os.getpid()) > before


def test_a_process_that_has_ended_raises() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass

    with pytest.raises(OSError, match=str(gone.pid)):
        proportional_memory(gone.pid)
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_seconds(gone.pid)


def test_the_time_of_ended_threads_counts() -> None:
    before = cpu_seconds(os.getpid())
    thread = threading.Thread(target=lambda: sum(range(2_000_000)))
    thread.start()
    thread.join()

    assert cpu_seconds(os.getpid()) - before > 0.005


def test_the_time_of_ended_children_counts() -> None:
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.1: pass"])

    assert cpu_seconds(os.getpid()) - before > 0.08


def test_peak_memory_is_known_after_the_memory_is_freed() -> None:
    with _started("held = os.urandom(64 << 20); del held") as process:
        peak = peak_memory(process.pid)

        assert peak > 64 << 20
        assert tree_memory(process.pid) < peak - (48 << 20)
        process.communicate("")


def test_shared_memory_counts_once_whoever_else_maps_it(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(32 << 20))
    maps = (
        f"import mmap; file = open({str(tmp_path / 'large')!r}, 'rb')"
        "; large = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)"
    )
    reads = "; sum(large[::4096])"
    with _started(maps + reads) as other, _started(f"{maps}; os.fork(){reads}") as two:
        assert proportional_memory(two.pid) < 32 << 20
        assert 32 << 20 < tree_memory(two.pid) < 60 << 20
        other.communicate("")
        two.communicate("")


def _started(code: str) -> "subprocess.Popen[str]":
    """Start a Python process that waits until stdin closes. It may fork."""
    # One write: with `print`, two processes could mix their lines.
    done = r"os.write(1, b'done\n')"
    script = f"import os, sys; {code or 'pass'}; {done}; sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(1 + code.count("os.fork")):
        assert process.stdout.readline() == "done\n"
    return process


KILLED = """
import os, signal, subprocess
from okibi.local.sandbox.orphan_killer import OrphanKiller
killer, mark = OrphanKiller(), f"is-killed-{os.urandom(8).hex()}"
started = [
    subprocess.Popen(["sleep", "60"], start_new_session=True, env=env, stdout=subprocess.DEVNULL)
    for env in ({"MARK": mark}, {"MARK": "stays"}, {}, {})
]
killer.add(0, f"MARK={mark}")
killer.add(started[2].pid, f"MARK={mark}")
killer.add(started[3].pid, f"MARK={mark}-of-another-sandbox")
print(*[each.pid for each in started], flush=True)
%s
"""


def started(then: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", KILLED % then], stdout=subprocess.PIPE, text=True, timeout=20
    )
    return [*map(int, done.stdout.split())]


@pytest.mark.slow
def test_the_processes_of_a_killed_process_are_killed() -> None:
    marked, other, *groups = started("os.kill(os.getpid(), signal.SIGKILL)")
    try:
        until = time.monotonic() + HANG
        while not all(map(is_gone, (marked, *groups))) and time.monotonic() < until:
            time.sleep(0.01)
        assert [is_gone(pid) for pid in (marked, other, *groups)] == [True, False, True, True]
    finally:
        os.kill(other, signal.SIGKILL)
