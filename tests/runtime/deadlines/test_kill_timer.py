"""The kernel's timer that ends the process, without the interpreter and without a reader."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from shutil import which

import pytest

from okibi.runtime.codec.json import COMPILED
from okibi.runtime.deadlines.kill_timer import SIGNAL, Deadline, KillTimer
from tests.limits import HANG

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

# Without the compiled part, calls into the kernel do the same.
MADE = """
import re, sys, threading, time
if {compiled} is False:
    sys.modules["okibi.runtime.codec.encoder"] = None
from okibi.runtime.deadlines.kill_timer import Deadline
deadline = Deadline()
deadline.make(threading.get_native_id())
print("made", flush=True)
"""
HOLDS = (
    MADE
    + """
deadline.hold(time.monotonic() + 0.2)
re.match("(a+)+$", "a" * 40 + "b")
"""
)
# A time that ended the process all the same would do so before the next is told of.
SPARES = {
    "let go": """
deadline.hold(time.monotonic() + 0.2)
deadline.let_go()
time.sleep(0.3)
""",
    "moved": """
deadline.hold(time.monotonic() + 0.2)
deadline.hold(time.monotonic() + 60)
time.sleep(0.3)
""",
    "let go, and held again": """
deadline.hold(time.monotonic() + 0.2)
deadline.let_go()
deadline.hold(time.monotonic() + 20)
time.sleep(0.3)
deadline.let_go()
""",
    "put off": """
deadline.hold(time.monotonic() + 0.2)
deadline.put_off(time.monotonic() + 60)
time.sleep(0.3)
""",
    "put off, and let go": """
deadline.hold(time.monotonic() + 0.2)
deadline.let_go()
deadline.put_off(time.monotonic() + 0.2)
time.sleep(0.3)
""",
    "endless": """
deadline.hold(float("inf"))
deadline.hold(float("nan"))
time.sleep(0.2)
""",
}
# Frozen with nothing to guard, past the time of the last event.
FROZEN = (
    MADE
    + """
deadline.hold(time.monotonic() + 0.3)
deadline.let_go()
print("idle", flush=True)
sys.stdin.read()
"""
)
# Stopped past the time of an event, which is answered, or not, when the process goes on.
STOPPED = (
    MADE
    + """
deadline.hold(time.monotonic() + 0.3)
print("held", flush=True)
if sys.stdin.readline() == "answer\\n":
    deadline.let_go()
time.sleep(0.5)
"""
)
# The timer of an event that was answered long ago rings beside many short ones.
BESIDE_SHORT_ONES = """
import sys, threading, time, _thread
from okibi.runtime.deadlines.kill_timer import Deadline
thread, started = [], threading.Event()
def rest():
    thread.append(threading.get_native_id())
    started.set()
    time.sleep(60)
_thread.start_new_thread(rest, ())
started.wait()
deadline = Deadline()
deadline.make(thread[0])
began = time.monotonic()
deadline.hold(began + 0.2)
deadline.let_go()
while time.monotonic() < began + 0.4:
    deadline.hold(time.monotonic() + 0.9)
    deadline.let_go()
    time.sleep(0.001)
deadline.hold(time.monotonic() + 0.9)
time.sleep(3)
"""
# Its child, by fork and by a program of its own, sleeps past the time.
CHILDREN = """
import os, subprocess, sys, time
from okibi.runtime.deadlines.kill_timer import KillTimer, SIGNAL
timer = KillTimer()
timer.set(60)
ended = "import signal; print(signal.getsignal({0}), {0} in signal.pthread_sigmask(0, []))"
program = subprocess.run([sys.executable, "-c", ended.format(SIGNAL)])
timer.set(1.0)
child = os.fork()
if child == 0:
    time.sleep(1.2)
    os._exit(7)
timer.take_back()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


compiled = pytest.mark.parametrize(
    "compiled", [COMPILED, pytest.param(False, marks=pytest.mark.slow)]
)


@pytest.mark.parametrize("compiled", [COMPILED, False])
def test_c_code_that_holds_the_interpreter_is_ended_and_its_stack_written(compiled: bool) -> None:
    code = HOLDS.format(compiled=compiled)
    # The stacks have 25 ms, which a busy machine may take.
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
        )
        assert done.returncode == -SIGNAL
        if 'File "<string>", line 11 in <module>' in done.stderr:
            return
    pytest.fail(done.stderr)


@compiled
def test_a_log_that_nobody_reads_does_not_hold_the_end(compiled: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    code = HOLDS.format(compiled=compiled)
    with subprocess.Popen([sys.executable, "-c", code], stderr=writer) as process:
        assert process.wait(20) == -SIGNAL
    os.close(reader)
    os.close(writer)


@compiled
def test_a_time_that_is_taken_back_or_moved_ends_nothing(compiled: bool) -> None:
    code = MADE.format(compiled=compiled)
    for how, does in SPARES.items():
        code += f"{does}deadline.let_go()\nprint({how!r}, flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )

    assert done.stdout.splitlines() == ["made", *SPARES]
    assert done.returncode == 0


@compiled
def test_a_time_that_is_over_already_leaves_a_tenth_of_a_second(compiled: bool) -> None:
    late = "deadline.hold(0.0)\nprint('told', flush=True)\ntime.sleep(10)\n"
    code = MADE.format(compiled=compiled) + late
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )

    assert (done.returncode, done.stdout) == (-SIGNAL, "made\ntold\n")


@compiled
def test_a_process_that_was_frozen_with_nothing_to_guard_goes_on(compiled: bool) -> None:
    code = FROZEN.format(compiled=compiled)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["made\n", "idle\n"]
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        process.communicate("")

    assert process.returncode == 0


@pytest.mark.skipif(not COMPILED, reason="only the compiled part tells late from held")
@pytest.mark.parametrize(("does", "code"), [("answer", 0), ("go on", -SIGNAL)])
def test_a_process_that_was_stopped_past_a_deadline_has_the_time_to_answer(
    does: str, code: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED.format(compiled=True)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["made\n", "held\n"]
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.stdin.write(f"{does}\n")
        process.stdin.flush()
        process.send_signal(signal.SIGCONT)

        assert process.wait(20) == code


@compiled
def test_a_time_that_is_put_off_ends_the_process_no_sooner(compiled: bool) -> None:
    held = """
began = time.monotonic()
deadline.hold(began + 0.2)
deadline.put_off(began + 0.5)
time.sleep(0.4)
print("told", flush=True)
time.sleep(10)
"""
    code = MADE.format(compiled=compiled) + held
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )

    assert (done.returncode, done.stdout) == (-SIGNAL, "made\ntold\n")


@pytest.mark.parametrize("comes", [False, True])
def test_without_the_compiled_part_what_is_done_beside_a_put_off_stands(
    comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline, set_for = Deadline(), [0.0]
    began = [time.monotonic()]

    def meanwhile(seconds: float) -> None:
        if began:
            # The thread that answers has the interpreter before the kernel is called.
            began.clear()
            deadline.let_go()
            if comes:
                deadline.hold(time.monotonic() + 20)
        set_for[0] = seconds

    monkeypatch.setattr(KillTimer, "set", lambda _, seconds: meanwhile(seconds))
    monkeypatch.setattr(KillTimer, "take_back", lambda _: meanwhile(0.0))
    deadline._ends_at = time.monotonic() + 1
    deadline.put_off(time.monotonic() + 2)

    assert set_for == [pytest.approx(20.0 if comes else 0.0, abs=0.5)]


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED or not which("cc"), reason="only the compiled part has notes")
def test_a_timer_that_comes_to_rest_as_events_come_and_go_is_set_again(tmp_path: Path) -> None:
    slow = tmp_path / "slow.so"
    source = Path(__file__).parents[2] / "support" / "slow_to_disarm.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", slow, source, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(slow)}
    done = subprocess.run([sys.executable, "-c", BESIDE_SHORT_ONES], env=environment, timeout=HANG)

    assert done.returncode == -SIGNAL


def test_a_child_process_is_not_ended_and_a_program_finds_the_default_disposition() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN], capture_output=True, text=True, timeout=HANG
    )

    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{signal.SIG_DFL!s} False", "7"]
