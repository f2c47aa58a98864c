"""`okibi bench` with real processes: figures, files, exit codes, and nothing left running."""

import importlib.util
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.bench.command import bench
from runtime.cli.bench.order import Given
from runtime.local.processes import below
from tests.limits import HANG
from tests.runtime.cli.bench.made import SMALL, with_app
from tests.runtime.side_by_side import skip_without_official

APP = """
import os, subprocess, sys, time
from runtime import Handler

served = 0

def echo(event, context):
    return event

async def coroutine(event, context):
    return {"x": 1}

def waits(event, context):
    time.sleep(0.02)

def sleeps(event, context):
    global served
    served += 1
    if served == 20:
        open("asleep", "w").close()
        time.sleep(60)

def late(event, context):
    time.sleep(60)

def broken(event, context):
    raise ValueError("no")

def odd(event, context):
    assert os.environb[b"ODD"] == b"\\xff"

def flaky(event, context):
    global served
    served += 1
    if served % 10 == 0:
        raise KeyError("each tenth")

class Odd(Handler):
    def __init_subclass__(cls):
        async def handle(self, event, context):
            raise KeyError
        cls.handle = handle

    async def handle(self, event, context):
        return event

def spends(event, context):
    subprocess.run([sys.executable, "-S", "-c", SPENDS])
    bytearray(os.urandom(160 << 20))

def daemons(event, context):
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    with open("pids", "a") as pids:
        print(child.pid, file=pids)

async def large(event, context):
    for _ in range(7):
        yield bytes(1_000_000)

SPENDS = "import time\\nwhile time.process_time() < 0.1: pass"

def dies(event, context):
    global served
    served += 1
    if served == 5:
        print("its last words", flush=True)
        os._exit(3)
"""
NAMES = {
    "warm, one event at a time": "a cycle, p50",
    "cold start, bytecode compiled": "to the first answer",
    "crashes (a handler of okibi's own)": "death of the process to next",
    "memory of all processes": "at the end",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: one with an app.py."""
    with_app(tmp_path, monkeypatch, APP)
    (tmp_path / "event.json").write_text('{"x": 1}')
    return tmp_path


def small(handler: str, **given: Any) -> int:
    """Measure as little as can be."""
    options: Given = {**SMALL}
    options.update(given)  # type: ignore[typeddict-item]
    return bench(handler, "event.json", options)


def figures(report: dict[str, Any], whose: str = "okibi") -> dict[tuple[str, str], float]:
    """The medians, by section and name."""
    return {
        (row["section"], row["name"]): row[whose]["median"]
        for row in report["rows"]
        if row[whose] is not None
    }


def test_a_function_is_measured_and_reported(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPYCACHEPREFIX")
    before = below(os.getpid())

    code = small("app.echo", concurrency="1,4", json="report.json", markdown="report.md")

    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    assert out.startswith("app.echo on okibi ")
    report = json.loads(Path("report.json").read_text())
    found = figures(report)
    for section, name in NAMES.items():
        assert found[section, name] > 0
    assert ("crashes (a handler of okibi's own)", "time-out, from 0.3 s to next") in found
    assert found["crashes (a handler of okibi's own)", "warm restart of a Handler to next"] > 0
    assert found["4 events at once", "events"] > 0
    assert found["4 events at once", "processes"] == 1
    assert report["answer_bytes"] == len(b'{"x": 1}')
    assert Path("report.md").read_text().startswith("### app.echo on okibi ")
    assert below(os.getpid()) == before
    # Bytecode goes elsewhere: the user's folder is as it was, but for what was asked for.
    files = {path.name for path in Path().iterdir()}
    assert files == {"app.py", "event.json", "report.json", "report.md"}


def test_what_its_children_compute_and_what_it_gives_back_is_of_the_function_too() -> None:
    assert small("app.spends", json="report.json") == 0

    report = json.loads(Path("report.json").read_text())
    found = figures(report)
    assert found["warm, one event at a time", "processor time of the runtime"] > 80_000
    assert found["memory of all processes", "at most"] > 160
    assert found["memory of all processes", "at the end"] < 60
    # What it has at most is what it would have to be given.
    assert report["memory_mb"] > 128


@skip_without_official
def test_a_peer_takes_turns_and_has_figures_of_its_own() -> None:
    code = small("app.coroutine", peer="awslambdaric", peer_handler="app.waits", json="report.json")

    report = json.loads(Path("report.json").read_text())
    assert code == 0
    theirs = figures(report, "peer")
    assert theirs["warm, one event at a time", "a cycle, p50"] > 20_000
    assert theirs["warm, one event at a time", "of p50 the handler's"] > 15_000
    assert ("crashes (a handler of okibi's own)", "exception to next good answer") in theirs
    assert ("crashes (a handler of okibi's own)", "warm restart of a Handler to next") not in theirs
    ratios = figures(report, "ratio")
    assert ratios["warm, one event at a time", "a cycle, p50"] < 1
    assert ratios["crashes (a handler of okibi's own)", "sys.exit to next good answer"] < 1


@skip_without_official
def test_a_peer_that_cannot_serve_the_handler_is_one_sentence_and_2(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert small("app.coroutine", peer="awslambdaric") == 2

    _, err = capfd.readouterr()
    assert err.startswith("okibi: app.coroutine on awslambdaric fails on this event: Runtime.Marsh")
    assert err.endswith("name a plain def that it can serve with --peer-handler\n")
    assert err.count("\n") == 1


# -- plots


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="no matplotlib here")
def test_plots_are_drawn_as_svg_and_png(recwarn: pytest.WarningsRecorder) -> None:
    assert small("app.echo", concurrency="2", plots="drawn/here") == 0

    for name in ("latency", "throughput", "memory"):
        assert Path(f"drawn/here/{name}.svg").read_text().startswith("<?xml")
        assert Path(f"drawn/here/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not recwarn


# -- what cannot be measured


@pytest.mark.parametrize(
    ("handler", "parts"),
    [
        ("app.nothing", ["app.nothing in ", "Runtime.HandlerNotFound", "name a handler"]),
        ("nothing.echo", ["Runtime.ImportModuleError", "run okibi in the folder"]),
        ("app.broken", ["app.broken on okibi fails on this event: ValueError: no", "--allow-err"]),
        ("app.late", ["app.late on okibi fails on this event: Runtime.DeadlineExceeded",
                      "; give --timeout more"]),
        ("app.Odd", ["app.Odd on okibi: the handler that stands in for it answers with", "KeyErr"]),
        ("app.dies", ["app.dies on okibi: the runtime has ended (exit code 3)",
                      "the last it said: its last words"]),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_measured_is_one_sentence_and_2(
    handler: str, parts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert small(handler, timeout="0.3") == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("okibi: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


@pytest.mark.parametrize(("event", "part"), [("no.json", "cannot be read"), ("app.py", "is not")])
def test_a_bad_event_is_one_sentence_and_2(
    event: str, part: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench("app.echo", event, SMALL) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert part in err
    assert err.count("\n") == 1


def test_a_streamed_answer_may_be_larger_than_a_plain_one() -> None:
    assert small("app.large", json="report.json") == 0

    assert json.loads(Path("report.json").read_text())["answer_bytes"] == 7_000_000


def test_variables_that_are_no_utf_8_reach_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", "\udcff")

    assert small("app.odd") == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_file_that_cannot_be_written_takes_nothing_else_with_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert small("app.echo", json="/dev/full", markdown="report.md") == 2

    out, err = capfd.readouterr()
    assert out.startswith("app.echo on okibi ")
    assert err == "okibi: /dev/full: cannot be written (No space left on device)\n"
    assert Path("report.md").read_text()


# -- errors


def test_errors_that_nobody_asked_for_are_shown_and_the_code_is_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert small("app.flaky", json="report.json") == 1

    out, _ = capfd.readouterr()
    assert "On okibi some answers are errors: Function.KeyError. " in out
    report = json.loads(Path("report.json").read_text())
    assert 5 < figures(report)["warm, one event at a time", "answers that are errors"] <= 10


def test_errors_that_are_allowed_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    assert small("app.broken", allow_errors=True, json="report.json") == 0

    report = json.loads(Path("report.json").read_text())
    assert figures(report)["warm, one event at a time", "answers that are errors"] == 100
    assert "Function.ValueError" in capfd.readouterr().out
    # Of what it has answered, not of what stands in for it.
    assert report["answer_bytes"] > 40


def test_a_process_that_ends_in_its_init_has_its_last_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("imp.py").write_text("import os\nprint('set FOO', flush=True)\nos._exit(9)")
    assert small("imp.handler") == 2

    _, err = capfd.readouterr()
    assert err.startswith("okibi: on okibi imp.handler in ")
    assert "exit status 9; " in err
    assert err.endswith("; the last it said: set FOO\n")


# -- the command itself

COMMAND = (sys.executable, "-m", "runtime.cli")


def signalled(number: int) -> tuple[int, str, list[int]]:
    """What a bench that is sent a signal while it measures ends with, what it says, and the
    processes that it had.
    """
    with subprocess.Popen(
        [*COMMAND, "bench", "app.sleeps", "--timeout", "90"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Who is killed leaves a folder there.
        env={**os.environ, "TMPDIR": str(Path.cwd())},
    ) as process:
        until = time.monotonic() + HANG
        while not Path("asleep").exists():
            assert time.monotonic() < until, "the handler is not served"
            time.sleep(0.01)
        started = below(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=HANG)
    # The server, and the runtime.
    assert len(started) == 2
    return process.returncode, out + err, started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_its_processes(number: int) -> None:
    code, said, started = signalled(number)

    assert (code, said) == (128 + number, "")
    assert [pid for pid in started if _lives(pid)] == []
    assert list(Path.cwd().glob("okibi-*")) == []


def test_if_it_is_killed_what_it_measures_ends_as_well() -> None:
    code, _, started = signalled(signal.SIGKILL)

    assert code == -signal.SIGKILL
    until = time.monotonic() + HANG
    while left := [pid for pid in started if _lives(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


QUICKLY = f"{shlex.join(COMMAND)} bench app.echo --quick --rounds 1 --duration 0.05"


def test_a_reader_who_has_enough_ends_it_quietly_and_the_files_are_written() -> None:
    line = f"{QUICKLY} --json report.json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("141\n", "")
    assert json.loads(Path("report.json").read_text())["handler"] == "app.echo"


def test_without_a_standard_error_the_table_is_printed() -> None:
    done = subprocess.run(["bash", "-c", f"{QUICKLY} 2>&-"], stdout=subprocess.PIPE, text=True)

    assert done.returncode == 0
    assert done.stdout.startswith("app.echo on okibi ")


def test_a_folder_that_is_no_utf_8_is_one_like_others(folder: Path) -> None:
    odd = folder / "odd\udcff"
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("the file system has no such names")
    (odd / "app.py").write_text(APP)
    done = subprocess.run(["bash", "-c", QUICKLY], cwd=odd, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_function_has_started_in_a_session_of_its_own_ends_with_it(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert small("app.daemons") == 0

    pids = [int(line) for line in (folder / "pids").read_text().split()]
    # The first run is no run of the bench's: test_measure.py.
    left = [pid for pid in pids[1:] if _lives(pid)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert len(pids) > 3
    assert left == []


def test_a_bar_is_drawn_where_stderr_is_a_terminal() -> None:
    ours, theirs = os.openpty()
    command = [*COMMAND, "bench", "app.echo", "--duration", "60"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        drawn, until = b"", time.monotonic() + HANG
        while b"0/13" not in drawn:
            assert time.monotonic() < until, drawn
            if select.select([ours], [], [], 1.0)[0]:
                drawn += os.read(ours, 1 << 16)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=HANG)
    os.close(ours)

    assert process.returncode == 130
    # How many steps there are is not known before the function has answered.
    assert b"0/?" in drawn


@pytest.mark.parametrize(
    "code",
    [
        "import runtime.bootstrap",
        "from runtime.cli.invoke import invoke; invoke('app.echo', None)",
    ],
)
def test_neither_a_start_nor_an_invoke_imports_any_of_it(code: str) -> None:
    shown = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
    done = subprocess.run([sys.executable, "-c", shown + code], capture_output=True, text=True)

    modules = done.stderr.split("\n")[-2].split()
    never = ["runtime.cli.bench", "matplotlib", "rich"]
    if code == "import runtime.bootstrap":
        never += ["runtime.cli", "runtime.local", "typer"]
    assert "trio" in modules
    assert [name for name in modules if name.startswith(tuple(never))] == []
