"""One run: results and errors in this process; leftover processes in a separate one."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from okibi.bench import process
from okibi.bench.results import RunResult, RunSpec
from okibi.local.sandbox.processes import descendants
from tests.limits import HANG
from tests.support.sandbox import PYTHON, is_gone

# Ignores SIGTERM, but creates a file on it.
STUBBORN = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
pathlib.Path("there").touch()
time.sleep(60)
time.sleep(60)
"""
# One process with one request: a client without support for slots.
ASKS = """
import os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
client = socket.create_connection((host, int(port)))
client.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
client.recv(1)
"""

# A client that serves events, runs code before each answer, and writes its pid at its start.
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


def ordered(code: str, **changed: Any) -> RunSpec:
    """A spec for a runtime that consists of this code."""
    usual = {"timeout": 0.2, "warm_events": 1, "warm_seconds": 0.1, "seconds": 0.1}
    return RunSpec(command=(sys.executable, "-c", code), event=b"{}", **{**usual, **changed})


def serves(do: str, **changed: Any) -> RunSpec:
    """A spec for a client that runs this code before each answer."""
    return ordered(SERVES.format(do=do), **changed)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let this process be the server, and restore its signals and affinity afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "_adopt_orphans", lambda: None)
    handlers = {number: signal.getsignal(number) for number in process.SIGNALS}
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield tmp_path
    gc.unfreeze()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if own is not None:
        os.sched_setaffinity(0, own)


# -- results


def test_a_time_out_is_an_error_and_replaces_the_process(here: Path) -> None:
    run = process.measure_run(serves("time.sleep(served // 2 * 60)", timeout=0.5, seconds=0.6))

    late = run.errors["Sandbox.Timedout"]
    assert late >= 1
    # Each process served one event; the last is not replaced after the measured time.
    assert len((here / "pids").read_text().split()) - late in (0, 1)
    assert run.served == pytest.approx(2 * late, abs=1)
    assert max(run.answers_us) >= 500_000


@pytest.mark.slow
def test_with_many_slots_a_time_out_keeps_the_process(here: Path) -> None:
    run = process.measure_run(serves("time.sleep((served % 2 == 0) * 0.5)", seconds=0.6, slots=1))

    assert run.errors["Sandbox.Timedout"] >= 1
    assert len((here / "pids").read_text().split()) == 1
    assert max(run.answers_us) >= 200_000


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_figures_include_a_replaced_process() -> None:
    spends = """if served == 2 and len(open("pids").readlines()) == 1:
        bytearray(99 << 20)
        until = time.process_time() + 0.25
        while time.process_time() < until:
            pass
        time.sleep(60)
    """
    run = process.measure_run(serves(spends, timeout=3.0, seconds=3.2))

    assert run.errors == {"Sandbox.Timedout": 1}
    assert run.peak is not None
    assert run.peak > 99 << 20
    assert run.memory is not None
    assert run.memory < 50 << 20
    assert run.cpu_us is not None
    assert run.cpu_us * run.count > 200_000


def test_without_proc_the_count_of_processes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    feed: Any = SimpleNamespace(
        first_next=1.0, first_answer=1.0, served=1, errors={}, count=1, began=1.0, ended=2.0,
        cycles=[], answers=[], busy=[],
    )  # fmt: skip
    runtime: Any = SimpleNamespace(pid=os.getpid(), shares=None)

    assert process._ProcessFigures(runtime).make_result(feed, 0.0).processes == 1 + len(
        descendants(os.getpid())
    )

    monkeypatch.setattr(process, "_has_proc", lambda: False)
    assert process._ProcessFigures(runtime).make_result(feed, 0.0).processes is None


# -- runs without a result


def refused(spec: RunSpec) -> str:
    """Perform a run that fails, and return the message."""
    with pytest.raises(RuntimeError) as error:
        process.measure_run(spec)
    return str(error.value)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (ordered("import time; time.sleep(60)", silence=0.3),
         "the runtime does not answer within 0.5 s"),
        (ordered(ASKS, silence=2.0, slots=3),
         "the runtime does not answer within 2.2 s; only 1 of 3 lanes connected"),
        (ordered("import sys; print('so'); sys.exit(3)"),
         "the runtime has ended (exit code 3); last log line: so"),
    ],
    ids=["hangs", "lanes", "ends"],
)  # fmt: skip
def test_a_hung_runtime_differs_from_one_that_exited(spec: RunSpec, sentence: str) -> None:
    assert refused(spec) == sentence


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_runtime_that_stops_answering_is_reported_with_its_time_outs() -> None:
    spec = serves(
        "time.sleep(served // 3 * 60)", silence=0.3, slots=1, warm_events=99, warm_seconds=60
    )

    assert refused(spec) == (
        "the runtime does not answer within 0.5 s, after 3 events, 1 of them timed out after 0.2 s;"
        " give a longer --timeout or less --concurrency"
    )


@pytest.mark.parametrize(("slots", "less"), [(None, ""), (1, " or less --concurrency")])
@pytest.mark.slow
def test_a_runtime_that_dumps_its_stacks_is_reported_with_the_frame(
    slots: int | None, less: str, here: Path
) -> None:
    (here / "hangs.py").write_text("import time\ntime.sleep(60)\n")
    code = "import faulthandler; faulthandler.dump_traceback_later(0.3, exit=True); import hangs"

    lanes = "" if slots is None else "; only 0 of 1 lanes connected"
    assert refused(ordered(code, slots=slots)) == (
        f"the runtime has ended (exit code 1){lanes}; last log line: Timeout (0:00:00.300000)!,"
        f' at File "{here}/hangs.py", line 2 in <module>; give a longer --timeout{less}'
    )


# -- leftover processes


def start(spec: RunSpec, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a run in a separate process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "okibi.bench.process"],
        # The log stream is the mark by which started processes are found.
        env={**os.environ, **PYTHON, "AWS_LAMBDA_LOG_STREAM_NAME": str(folder)},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec))
    process.stdin.close()
    process.stdin = None
    return process


def wait_for(path: Path) -> None:
    until = time.monotonic() + HANG
    while not path.exists():
        assert time.monotonic() < until, f"{path} is not created"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_second_signal_leaves_no_runtime_behind(tmp_path: Path) -> None:
    with start(ordered(STUBBORN), tmp_path) as process:
        wait_for(tmp_path / "there")
        (runtime,) = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        wait_for(tmp_path / "asked")

        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG)

    assert process.returncode == 128 + signal.SIGTERM
    assert is_gone(runtime)


def test_a_signal_during_the_start_is_deferred() -> None:
    came = list[str]()
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("known"))
    try:
        with process._defer_signals():
            signal.raise_signal(signal.SIGTERM)
            came.append("started")
    finally:
        signal.signal(signal.SIGTERM, before)

    assert came == ["started", "known"]


# A large child that ends, a child in a new session, and an orphan.
STARTS = """
    subprocess.run([sys.executable, "-S", "-c", "bytearray(150 << 20)"])
    with open("started", "a") as started:
        print(subprocess.Popen(["sleep", "300"], start_new_session=True).pid, file=started)
        line = ("sh", "-c", "sleep 300 > /dev/null & echo $!")
        orphan = subprocess.run(line, stdout=subprocess.PIPE, start_new_session=True)
        print(int(orphan.stdout), file=started)
"""


@pytest.mark.slow
def test_processes_of_the_function_count_and_end_with_the_run(tmp_path: Path) -> None:
    with start(serves(STARTS, timeout=20.0), tmp_path) as process:
        out, err = process.communicate(timeout=HANG)

    assert err == b""
    peak = msgspec.json.decode(out, type=RunResult).peak
    assert peak is not None
    assert peak > 150 << 20
    started = [int(line) for line in (tmp_path / "started").read_text().split()]
    assert len(started) > 3
    assert [pid for pid in started if not is_gone(pid)] == []
