"""What is measured all the same where something ends or is late, what is advised, and what is left
of it.
"""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.cli.bench.command import bench
from runtime.cli.bench.order import Given
from tests.runtime.cli.bench.made import SMALL, refused, with_app
from tests.runtime.side_by_side import skip_without_official

APP = """
import os, subprocess, time

served = 0

def echo(event, context):
    return event

def late_at_times(event, context):
    global served
    served += 1
    if served % 10 == 0:
        time.sleep(60)

def dies(event, context):
    global served
    served += 1
    if served == 5:
        print("its last words", flush=True)
        os._exit(3)

def daemons(event, context):
    remember(subprocess.Popen(["sleep", "300"], start_new_session=True).pid)

def orphans(event, context):
    line = ("sh", "-c", "sleep 300 > /dev/null & echo $!")
    remember(int(subprocess.run(line, stdout=subprocess.PIPE, start_new_session=True).stdout))

def remember(pid):
    with open("pids", "a") as pids:
        print(pid, file=pids)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: one with an app.py."""
    with_app(tmp_path, monkeypatch, APP)


@skip_without_official
def test_where_the_peer_has_ended_okibi_alone_can_be_measured_and_that_is_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = refused(capfd, "app.echo", peer="awslambdaric", peer_handler="app.dies")

    assert said.startswith("okibi: app.dies on awslambdaric: the runtime has ended (exit code 3)")
    assert said.endswith("its last words; leave out --peer to measure okibi alone\n")


def test_where_the_process_has_ended_an_event_is_asked_for_that_it_outlives(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = refused(capfd, "app.dies")

    assert said.endswith("its last words; give an event that its process outlives\n")


@skip_without_official
def test_a_peer_that_passes_its_time_out_has_an_error_and_goes_on_anew() -> None:
    options: Given = {
        **SMALL, "peer": "awslambdaric", "peer_handler": "app.late_at_times", "timeout": "0.3",
        "duration": "0.5", "json": "report.json",
    }  # fmt: skip
    assert bench("app.echo", None, options) == 1

    report = json.loads(Path("report.json").read_text())
    (late,) = (row for row in report["rows"] if row["name"] == "answers that are errors")
    assert late["okibi"]["high"] == 0
    assert 5 < late["peer"]["median"] <= 10
    note = "On awslambdaric some events passed their time-out of 0.3 s: "
    assert any(said.startswith(note) for said in report["notes"])


@skip_without_official
def test_what_an_import_starts_anew_after_a_time_out_is_no_event_s() -> None:
    Path("starts.py").write_text(f"{APP}\nsubprocess.run(['true'])\n")
    options: Given = {
        **SMALL, "peer": "awslambdaric", "peer_handler": "starts.late_at_times", "timeout": "0.3",
        "duration": "0.5", "json": "report.json",
    }  # fmt: skip
    bench("app.echo", None, options)

    notes = json.loads(Path("report.json").read_text())["notes"]
    assert any("passed their time-out" in said for said in notes)
    assert not any("processes were started" in said for said in notes)


@pytest.mark.parametrize("handler", ["app.daemons", "app.orphans"])
def test_neither_of_the_first_answer_nor_of_orphans_is_anything_left(handler: str) -> None:
    assert bench(handler, None, SMALL) == 0

    pids = [int(line) for line in Path("pids").read_text().split()]
    left = [pid for pid in pids if _lives(pid)]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert len(pids) > 3
    assert left == []


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
