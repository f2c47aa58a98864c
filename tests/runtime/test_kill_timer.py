"""The kernel's timer that ends the process, without the interpreter and without a reader."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from runtime.kill_timer import SIGNAL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

HOLDS = """
import re
from runtime.kill_timer import KillTimer
timer = KillTimer()
timer.set(0.2)
re.match("(a+)+$", "a" * 40 + "b")
"""
TAKEN_BACK = """
import time
from runtime.kill_timer import KillTimer
timer = KillTimer()
timer.set(0.05)
timer.take_back()
time.sleep(0.2)
"""
# Its child, by fork and by a program of its own, sleeps past the time.
CHILDREN = """
import os, subprocess, sys, time
from runtime.kill_timer import KillTimer, SIGNAL
timer = KillTimer()
timer.set(0.3)
ended = "import signal; print(signal.getsignal({0}), {0} in signal.pthread_sigmask(0, []))"
program = subprocess.run([sys.executable, "-c", ended.format(SIGNAL)])
child = os.fork()
if child == 0:
    time.sleep(0.5)
    os._exit(7)
timer.take_back()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_c_code_that_holds_the_interpreter_is_ended_and_its_stack_written() -> None:
    done = subprocess.run([sys.executable, "-c", HOLDS], capture_output=True, text=True, timeout=20)

    assert done.returncode == -SIGNAL
    assert 'File "<string>", line 6 in <module>' in done.stderr


def test_a_log_that_nobody_reads_does_not_hold_the_end() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    with subprocess.Popen([sys.executable, "-c", HOLDS], stderr=writer) as process:
        assert process.wait(20) == -SIGNAL
    os.close(reader)
    os.close(writer)


def test_taken_back_it_ends_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", TAKEN_BACK], timeout=20)

    assert done.returncode == 0


def test_a_child_process_is_not_ended_and_a_program_finds_the_default_disposition() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN], capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{signal.SIG_DFL!s} False", "7"]
