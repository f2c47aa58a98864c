"""One run in a process of its own: what it refuses, and what is left of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import msgspec
import pytest

from runtime.cli.bench import process
from runtime.cli.bench.process import cores
from runtime.cli.bench.record import Run, RunOrder
from runtime.local.processes import below
from tests.limits import HANG
from tests.runtime.sandbox import PYTHON

# Takes no SIGTERM, but tells of it.
STUBBORN = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
pathlib.Path("there").touch()
time.sleep(60)
time.sleep(60)
"""
# One process, which asks once: a client that knows of no slots.
ASKS = """
import os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
client = socket.create_connection((host, int(port)))
client.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
client.recv(1)
"""

# A client that serves, and does something before each answer; its process says that it begins.
SERVES = """
import http.client, os, subprocess, sys, time
client = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
with open("pids", "a") as pids:
    print(os.getpid(), file=pids)
served = 0
while True:
    client.request("GET", "/2018-06-01/runtime/invocation/next")
    event = client.getresponse()
    event.read()
    served += 1
    {do}
    path = "/2018-06-01/runtime/invocation/" + event.headers["Lambda-Runtime-Aws-Request-Id"]
    client.request("POST", path + "/response", body="1")
    client.getresponse().read()
"""
# On the server's core, while it serves.
HOG = """
import os
os.sched_setaffinity(0, {{{core}}})
while True:
    pass
"""
SPAWNS = "subprocess.run([sys.executable, '-S', '-c', 'bytearray(150 << 20)'])"


def ordered(code: str, **changed: Any) -> bytes:
    """An order for a runtime that is this code."""
    order = RunOrder(
        command=(sys.executable, "-c", code), event=b"{}", timeout=0.2,
        warm_events=1, warm_seconds=0.1, seconds=0.1, **changed,
    )  # fmt: skip
    return msgspec.json.encode(order)


def run_of(folder: Path, do: str, **changed: Any) -> Run:
    """The run of a client that does something before each answer."""
    order = msgspec.json.decode(ordered(SERVES.format(do=do)), type=RunOrder)
    with start(msgspec.json.encode(attrs.evolve(order, **changed)), folder) as process:
        out, err = process.communicate(timeout=HANG)
    assert err == b""
    return msgspec.json.decode(out, type=Run)


PROCESS = ("-m", "runtime.cli.bench.process")


def start(order: bytes, folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, *(arguments or PROCESS)],
        env={**os.environ, **PYTHON},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(order)
    process.stdin.close()
    process.stdin = None
    return process


def wait_for(path: Path) -> None:
    until = time.monotonic() + HANG
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_ends_the_runtime_leaves_none_behind(number: int, tmp_path: Path) -> None:
    with start(ordered(STUBBORN), tmp_path) as process:
        wait_for(tmp_path / "there")
        (runtime,) = below(process.pid)
        process.send_signal(number)
        wait_for(tmp_path / "asked")

        process.send_signal(number)
        process.communicate(timeout=HANG)

    assert process.returncode == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(runtime, 0)


# As on a machine that is busy: what is started runs before who has started it goes on.
SLOW_TO_START = """
import runpy, subprocess, time
class Slow(subprocess.Popen):
    def __init__(self, *args, **given):
        super().__init__(*args, **given)
        time.sleep(0.5)
subprocess.Popen = Slow
runpy.run_module("runtime.cli.bench.process", run_name="__main__")
"""


def test_a_signal_while_the_runtime_is_started_asks_it_to_end_too(tmp_path: Path) -> None:
    with start(ordered(STUBBORN), tmp_path, "-c", SLOW_TO_START) as process:
        wait_for(tmp_path / "there")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG)

    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import time; time.sleep(60)", "the runtime does not answer within 0.5 s"),
        (ASKS, "the runtime does not answer within 2.2 s; only 1 of 3 lanes came"),
        ("import sys; print('so'); sys.exit(3)",
         "the runtime has ended (exit code 3); the last it said: so"),
    ],
)  # fmt: skip
def test_a_runtime_that_hangs_is_told_from_one_that_has_ended(
    code: str, sentence: str, tmp_path: Path
) -> None:
    silence = {"import time; time.sleep(60)": 0.3, ASKS: 2.0}.get(code, 9.0)
    slots = 3 if code == ASKS else None
    with start(ordered(code, silence=silence, slots=slots), tmp_path) as process:
        out, err = process.communicate(timeout=HANG)

    assert (process.returncode, out) == (1, b"")
    assert err.decode() == f"{sentence}\n"


def test_an_event_whose_time_is_up_is_an_error_and_its_process_is_replaced(tmp_path: Path) -> None:
    run = run_of(tmp_path, "time.sleep(served // 5 * 60)", seconds=1.0)

    late = run.errors["Sandbox.Timedout"]
    assert late >= 2
    # Each process has served four; the last one is not replaced where all is measured.
    started = (tmp_path / "pids").read_text().split()
    assert len(started) - late in (0, 1)
    assert run.served == pytest.approx(5 * late, abs=4)
    assert 200_000 <= max(run.answers_us) < 400_000


def test_with_many_at_once_it_is_an_error_and_the_process_lives_on(tmp_path: Path) -> None:
    run = run_of(tmp_path, "time.sleep((served % 5 == 0) * 0.5)", seconds=1.0, slots=1)

    assert run.errors["Sandbox.Timedout"] >= 1
    assert len((tmp_path / "pids").read_text().split()) == 1
    assert 200_000 <= max(run.answers_us) < 400_000


def test_processor_time_and_memory_of_a_process_that_was_replaced_count(tmp_path: Path) -> None:
    spends = """if served == 2 and len(open("pids").readlines()) == 1:
        bytearray(99 << 20)
        while time.process_time() < 0.5:
            pass
        time.sleep(60)
    """
    run = run_of(tmp_path, spends, timeout=1.0, seconds=1.5)

    assert run.errors == {"Sandbox.Timedout": 1}
    assert run.peak is not None
    assert run.peak > 99 << 20
    assert run.memory is not None
    assert run.memory < 50 << 20
    assert run.cpu_us is not None
    assert run.cpu_us * run.count > 300_000


def test_one_that_answers_nothing_any_more_is_told_with_the_time_outs_that_it_had(
    tmp_path: Path,
) -> None:
    code = SERVES.format(do="time.sleep(served // 3 * 60)")
    order = ordered(code, silence=0.3, slots=1)
    with start(order.replace(b'"warm_events":1', b'"warm_events":99'), tmp_path) as process:
        _, err = process.communicate(timeout=HANG)

    assert err.decode() == (
        "the runtime does not answer within 0.5 s, after 3 events, of which 1 passed their time-out"
        " of 0.2 s; give a longer --timeout or less --concurrency\n"
    )


@pytest.mark.parametrize(("slots", "less"), [(None, ""), (1, " or less --concurrency")])
def test_one_that_ends_itself_with_all_stacks_is_told_with_the_users_frame(
    slots: int | None, less: str, tmp_path: Path
) -> None:
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(60)\n")
    code = "import faulthandler; faulthandler.dump_traceback_later(0.3, exit=True); import hangs"
    with start(ordered(code, slots=slots), tmp_path) as process:
        _, err = process.communicate(timeout=HANG)

    came = "" if slots is None else "; only 0 of 1 lanes came"
    assert err.decode() == (
        f"the runtime has ended (exit code 1){came}; the last it said: Timeout (0:00:00.300000)!,"
        f' where it stood in File "{tmp_path}/hangs.py", line 2 in <module>; give a longer'
        f" --timeout{less}\n"
    )


# As on a full disk, a print fails from then on.
FULL = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
runpy.run_module("runtime.cli.bench.process", run_name="__main__")
"""
NO_ROOM = (
    "the disk of temporary files, where what it prints is kept, is full; set TMPDIR to a folder"
    " with room, or give an event that has it print less\n"
)


@pytest.mark.parametrize(
    ("do", "begins"),
    [
        ("print('x' * (1 << 20), flush=True)", "the runtime has ended (exit code 1"),
        (
            """
    try:
        print("x" * (1 << 18), flush=True)
    except OSError:
        time.sleep(60)
""",
            NO_ROOM,
        ),
    ],
)
def test_where_what_is_printed_has_no_room_the_handler_is_not_to_blame(
    do: str, begins: str, tmp_path: Path
) -> None:
    with start(ordered(SERVES.format(do=do)), tmp_path, "-c", FULL) as process:
        out, err = process.communicate(timeout=HANG)

    assert (process.returncode, out) == (1, b"")
    assert err.decode().startswith(begins)
    assert err.decode().endswith(NO_ROOM)


def test_the_largest_child_that_has_ended_is_in_what_was_taken_at_most(tmp_path: Path) -> None:
    run = run_of(tmp_path, SPAWNS, timeout=20.0)

    assert run.children_ended
    assert run.peak is not None
    assert run.peak > 150 << 20


def test_a_child_that_was_no_larger_than_the_runtime_adds_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path, "subprocess.run(['true'])", timeout=20.0)

    assert run.children_ended
    assert run.peak is not None
    assert run.memory is not None
    assert run.peak < 1.5 * run.memory


def test_without_a_child_that_has_ended_what_was_taken_at_most_is_the_runtime_s(
    tmp_path: Path,
) -> None:
    run = run_of(tmp_path, "pass")

    assert not run.children_ended
    assert run.peak is not None
    assert run.peak < 50 << 20


def test_without_proc_nobody_counts_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    feed: Any = SimpleNamespace(
        first_next=1.0, first_answer=1.0, served=1, errors={}, count=1, began=1.0, ended=2.0,
        cycles=[], answers=[], busy=[], answer_bytes=1,
    )  # fmt: skip
    runtime: Any = SimpleNamespace(pid=os.getpid(), shares=None)

    assert process._Figures(runtime).of(feed, 0.0).processes == 1 + len(below(os.getpid()))

    monkeypatch.setattr(process, "_tells", lambda: False)
    assert process._Figures(runtime).of(feed, 0.0).processes is None


@pytest.mark.skipif(cores() is None, reason="the server has no core of its own")
def test_how_long_the_server_waits_for_others_on_its_core_is_measured(tmp_path: Path) -> None:
    shares = cores()
    assert shares is not None
    hog = HOG.format(core=max(shares[1]))
    hogs = [subprocess.Popen([sys.executable, "-S", "-c", hog]) for _ in range(3)]
    try:
        run = run_of(tmp_path, "pass", timeout=20.0, seconds=0.5)
    finally:
        for each in hogs:
            each.kill()
            each.wait()

    assert run.server_waited is not None
    assert 0.05 < run.server_waited < 1
