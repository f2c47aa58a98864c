"""The kernel's timer ends the process without the interpreter and without a reader of the log."""

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
from okibi.runtime.deadlines.kill_timer import SIGNAL, KillTimer, ProcessDeadline
from tests.limits import HANG

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

# Without the compiled module, system calls do the same.
CREATE = """
import re, sys, threading, time
if {compiled} is False:
    sys.modules["okibi.runtime.system.native"] = None
from okibi.runtime.deadlines.kill_timer import ProcessDeadline
deadline = ProcessDeadline()
deadline.create(threading.get_native_id())
print("made", flush=True)
"""
HOLDS = (
    CREATE
    + """
deadline.set(time.monotonic() + 0.2)
re.match("(a+)+$", "a" * 40 + "b")
"""
)
# If a cleared time ended the process, it would do so before the next line is printed.
SPARES = {
    "moved, and put off": """
deadline.set(time.monotonic() + 0.2)
deadline.set(time.monotonic() + 40)
deadline.postpone(time.monotonic() + 60)
time.sleep(0.3)
""",
    "let go, and held again": """
deadline.set(time.monotonic() + 0.2)
deadline.clear()
deadline.set(time.monotonic() + 20)
time.sleep(0.3)
deadline.clear()
""",
    "put off, and let go": """
deadline.set(time.monotonic() + 0.2)
deadline.clear()
deadline.postpone(time.monotonic() + 0.2)
time.sleep(0.3)
""",
    "endless": """
deadline.set(float("inf"))
deadline.set(float("nan"))
time.sleep(0.2)
""",
}
# Stopped without a time set, until after the last event's time.
FROZEN = (
    CREATE
    + """
deadline.set(time.monotonic() + 0.3)
deadline.clear()
print("idle", flush=True)
sys.stdin.read()
"""
)
# Stopped until after an event's time; the event is answered, or not, when the process continues.
STOPPED = (
    CREATE
    + """
deadline.set(time.monotonic() + 0.3)
print("held", flush=True)
if sys.stdin.readline() == "answer\\n":
    deadline.clear()
time.sleep(0.3)
"""
)
# The timer of an event answered long ago fires beside many short events.
BESIDE_SHORT_ONES = """
import sys, threading, time, _thread
from okibi.runtime.deadlines.kill_timer import ProcessDeadline
thread, started = [], threading.Event()
def rest():
    thread.append(threading.get_native_id())
    started.set()
    time.sleep(60)
_thread.start_new_thread(rest, ())
started.wait()
deadline = ProcessDeadline()
deadline.create(thread[0])
began = time.monotonic()
deadline.set(began + 0.2)
deadline.clear()
while time.monotonic() < began + 0.4:
    deadline.set(time.monotonic() + 0.9)
    deadline.clear()
    time.sleep(0.001)
deadline.set(time.monotonic() + 0.9)
time.sleep(3)
"""
# A forked child and an executed program sleep past the time.
CHILDREN = """
import os, subprocess, sys, time
from okibi.runtime.deadlines.kill_timer import KillTimer, SIGNAL
timer = KillTimer()
timer.set(60)
ended = "import signal; print(signal.getsignal({0}), {0} in signal.pthread_sigmask(0, []))"
program = subprocess.run([sys.executable, "-c", ended.format(SIGNAL)])
timer.set(0.5)
child = os.fork()
if child == 0:
    time.sleep(0.7)
    os._exit(7)
timer.cancel()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


compiled = pytest.mark.parametrize(
    "compiled", [COMPILED, pytest.param(False, marks=pytest.mark.slow)]
)


@compiled
def test_c_code_is_ended_and_its_stack_is_logged(compiled: bool) -> None:
    code = HOLDS.format(compiled=compiled)
    # Writing the stacks has 25 ms, too few on a very busy machine.
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
        )
        assert done.returncode == -SIGNAL
        if 'File "<string>", line 11 in <module>' in done.stderr:
            return
    pytest.fail(done.stderr)


@pytest.mark.slow
@compiled
def test_an_unread_log_does_not_delay_the_kill(compiled: bool) -> None:
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


@pytest.mark.slow
@compiled
def test_a_cleared_or_moved_time_does_not_end_the_process(compiled: bool) -> None:
    code = CREATE.format(compiled=compiled)
    for how, does in SPARES.items():
        code += f"{does}deadline.clear()\nprint({how!r}, flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )

    assert done.stdout.splitlines() == ["made", *SPARES]
    assert done.returncode == 0


@compiled
def test_a_time_in_the_past_leaves_a_tenth_of_a_second(compiled: bool) -> None:
    late = "deadline.set(0.0)\nprint('told', flush=True)\ntime.sleep(10)\n"
    code = CREATE.format(compiled=compiled) + late
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )

    assert (done.returncode, done.stdout) == (-SIGNAL, "made\ntold\n")


@pytest.mark.slow
@compiled
def test_an_idle_process_survives_a_freeze(compiled: bool) -> None:
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
@pytest.mark.parametrize(
    ("does", "code"), [("answer", 0), pytest.param("go on", -SIGNAL, marks=pytest.mark.slow)]
)
def test_a_process_stopped_past_a_deadline_has_time_to_answer(does: str, code: int) -> None:
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
        time.sleep(0.45)
        process.stdin.write(f"{does}\n")
        process.stdin.flush()
        process.send_signal(signal.SIGCONT)

        assert process.wait(20) == code


@compiled
def test_a_postponed_time_ends_the_process_later(compiled: bool) -> None:
    held = """
began = time.monotonic()
deadline.set(began + 0.2)
deadline.postpone(began + 0.5)
time.sleep(0.4)
print("told", flush=True)
time.sleep(10)
"""
    code = CREATE.format(compiled=compiled) + held
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )

    assert (done.returncode, done.stdout) == (-SIGNAL, "made\ntold\n")


@pytest.mark.parametrize("comes", [False, True])
def test_postpone_keeps_what_another_thread_sets_meanwhile(
    comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline, set_for = ProcessDeadline(), [0.0]
    began = [time.monotonic()]

    def meanwhile(seconds: float) -> None:
        if began:
            # The answering thread runs before the system call.
            began.clear()
            deadline.clear()
            if comes:
                deadline.set(time.monotonic() + 20)
        set_for[0] = seconds

    monkeypatch.setattr(KillTimer, "set", lambda _, seconds: meanwhile(seconds))
    monkeypatch.setattr(KillTimer, "cancel", lambda _: meanwhile(0.0))
    deadline._ends_at = time.monotonic() + 1
    deadline.postpone(time.monotonic() + 2)

    assert set_for == [pytest.approx(20.0 if comes else 0.0, abs=0.5)]


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED or not which("cc"), reason="only the compiled part has notes")
def test_a_timer_that_finds_no_time_is_set_again_for_the_next(tmp_path: Path) -> None:
    slow = tmp_path / "slow.so"
    source = Path(__file__).parents[2] / "support" / "slow_to_disarm.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", slow, source, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(slow)}
    done = subprocess.run([sys.executable, "-c", BESIDE_SHORT_ONES], env=environment, timeout=HANG)

    assert done.returncode == -SIGNAL


@pytest.mark.slow
def test_child_processes_are_not_ended_and_get_the_default_action() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN], capture_output=True, text=True, timeout=HANG
    )

    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{signal.SIG_DFL!s} False", "7"]
