"""`okibi bench`: once with real processes, and its outputs and exit codes for made-up results."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from okibi.bench.options import BenchEffort
from okibi.bench.results import BenchResults
from okibi.cli import run_bench as command
from okibi.cli.__main__ import main
from okibi.local.sandbox.processes import descendants
from tests.bench.made_up_results import PEER, SMALL, bench, refused, results, run, with_app
from tests.limits import HANG
from tests.support.sandbox import is_gone

APP = """
import os, time

served = 0

def echo(event, context):
    assert os.environb.get(b"ODD") == b"\\xff"
    return event

def broken(event, context):
    raise ValueError("no")

async def large(event, context):
    for _ in range(7):
        yield bytes(1_000_000)

def sleeps(event, context):
    global served
    served += 1
    if served == 20:
        open("asleep", "w").close()
        time.sleep(60)
"""
# What --quick measures in this file; the long crash_limit suits a busy machine.
QUICK = BenchEffort(
    rounds=1, seconds=0.05, warm_events=20, warm_seconds=0.05, crash_rounds=1, crash_limit=2.0
)
OFFICIAL = importlib.util.find_spec(PEER) is not None


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an app.py, as the current folder."""
    with_app(tmp_path, monkeypatch, APP)
    monkeypatch.setattr("okibi.bench.options.QUICK", QUICK)
    return tmp_path


# -- with real processes

COMMAND = (sys.executable, "-m", "okibi.cli", "bench")


@pytest.mark.slow
def test_a_function_and_the_official_client_are_measured(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("event.json").write_text('{"x": 1}')
    # Not UTF-8; reaches the function unchanged.
    monkeypatch.setenv("ODD", "\udcff")
    options = "--quick --timeout 30 --concurrency 2 --json report.json"
    peer = ("--peer", PEER) if OFFICIAL else ()
    arguments = ["app.echo", "event.json", *options.split(), *peer]
    monkeypatch.setattr(sys, "argv", ["okibi", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()

    out, err = capfd.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.startswith("app.echo on okibi ")
    report = json.loads(Path("report.json").read_text())
    assert report["answer_bytes"] == len(b'{"x": 1}')
    # The user's folder has no new files besides the report.
    assert {path.name for path in Path().iterdir()} == {"app.py", "event.json", "report.json"}
    rows = {(row["section"].partition(",")[0], row["name"]): row for row in report["rows"]}
    crashes = "crashes (okibi's test handler)"
    positive = [
        ("warm", "a cycle, p50"), ("warm", "share of p50: runtime and API"),
        ("warm", "processor time of the runtime"), ("cold start", "to the first answer"),
        ("memory of all processes", "at the end"), ("2 events at once", "events"),
        (crashes, "two good events, to compare"), (crashes, "exception to next good answer"),
        (crashes, "os._exit to next good answer"),
    ]  # fmt: skip
    for whose in ("okibi", "peer")[: 1 + OFFICIAL]:
        assert [name for name in positive if not rows[name][whose]["median"] > 0] == []
        good, death = (rows[crashes, name][whose]["median"] for _, name in positive[-3::2])
        assert good < death
    restart = rows[crashes, "warm restart of a Handler to next"]
    assert restart["okibi"]["median"] > 0
    assert restart["peer"] is None
    assert rows["2 events at once", "processes"]["okibi"]["median"] == 1


@pytest.mark.slow
def test_a_signal_ends_the_benchmark_and_all_its_processes() -> None:
    with subprocess.Popen(
        [*COMMAND, "app.sleeps", "--timeout", "90"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(Path.cwd())},
    ) as process:
        until = time.monotonic() + HANG
        while not Path("asleep").exists():
            assert time.monotonic() < until, "the handler is not served"
            time.sleep(0.01)
        started = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=HANG)

    assert (process.returncode, output) == (130, "")
    # The server, and the runtime.
    assert [is_gone(pid) for pid in started] == [True, True]
    assert list(Path.cwd().glob("okibi-*")) == []


def test_a_failing_function_is_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    output = refused(capfd, "app.broken")

    assert output.startswith("okibi: app.broken on okibi fails on this event: ValueError: no")


@pytest.mark.slow
@pytest.mark.parametrize(("handler", "size"), [("app.large", 7_000_000), ("app.broken", None)])
def test_a_large_stream_and_allowed_errors_are_measured(handler: str, size: int | None) -> None:
    assert bench(handler, None, **SMALL, allow_errors=True, json=Path("report.json")) == 0

    report = json.loads(Path("report.json").read_text())
    assert report["answer_bytes"] == size or report["answer_bytes"] > 40
    assert any(row["name"] == "answers that are errors" for row in report["rows"]) is (size is None)


# -- with made-up results


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the measurement by made-up results."""
    with_results(results([run(100)], [run(90)]), monkeypatch)


def with_results(made: BenchResults, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(*_: object) -> BenchResults:
        return made

    monkeypatch.setattr(command, "measure", measure)


@pytest.mark.usefixtures("made")
def test_the_report_is_written_as_json_and_markdown(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench("app.echo", None, json=Path("report.json"), markdown=Path("report.md")) == 0

    out, err = capfd.readouterr()
    assert out.startswith("app.echo on okibi ")
    assert err == ""
    assert json.loads(Path("report.json").read_text())["handler"] == "app.echo"
    assert Path("report.md").read_text().startswith("### app.echo on okibi ")


@pytest.mark.usefixtures("made")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_file_that_cannot_be_written_does_not_stop_the_others(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert bench("app.echo", None, json=Path("/dev/full"), markdown=Path("report.md")) == 2

    out, err = capfd.readouterr()
    assert out.startswith("app.echo on okibi ")
    assert err == "okibi: /dev/full: cannot be written (No space left on device)\n"
    assert Path("report.md").read_text()


@pytest.mark.usefixtures("made")
def test_the_files_are_written_after_a_closed_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leave(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(command, "write_text", leave)

    assert bench("app.echo", None, json=Path("report.json")) == 141
    assert Path("report.json").exists()


@pytest.mark.parametrize(("given", "code"), [({}, 1), ({"allow_errors": True}, 0)])
@pytest.mark.parametrize("at_once", [False, True])
def test_errors_give_exit_code_1_unless_allowed(
    given: dict[str, bool], code: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, good = run(100, errors={"Function.KeyError": 1}), run(100)
    many = {4: {"okibi": [failing]}} if at_once else {}
    with_results(results([good if at_once else failing], [run(90)], many=many), monkeypatch)

    assert bench("app.echo", None, **given) == code


def test_a_bad_event_is_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench("app.echo", "no.json") == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("okibi: no.json: cannot be read")
    assert err.count("\n") == 1
