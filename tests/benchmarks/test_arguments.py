"""What the benchmarks are asked for on a command line, and what they keep."""

import os
import sys
from collections.abc import Callable

import pytest

from benchmarks import __main__ as usual_run
from benchmarks import repeat, scale
from benchmarks.__main__ import groups, measured, verdict
from benchmarks.contenders import Absent
from benchmarks.crashes import crashes
from benchmarks.peers import table
from benchmarks.peers.table import PYTHON, Peer, rounds
from benchmarks.reporting.rows import Row


@pytest.mark.parametrize(
    ("main", "arguments", "why"),
    [
        (usual_run.main, "--rounds 0", "argument --rounds: 0 is no number from 1 on"),
        (usual_run.main, "--only nothing", "--only one of overhead, "),
        # It would put a part in the place of all that is kept.
        (usual_run.main, "--keep --only actors", "--keep keeps all groups"),
        (usual_run.main, "--keep", "--keep keeps all groups, of one run: with --full"),
        (repeat.main, "--times x", "argument --times: x is no number from 1 on"),
        (scale.main, "--sizes 50 50", "--sizes wants two at least"),
        (table.main, "--rounds -1", "argument --rounds: "),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    main: Callable[[], None],
    arguments: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert f"error: {why}" in capsys.readouterr().err.splitlines()[-1]


def test_help_names_each_group_that_can_be_measured_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--help"])
    with pytest.raises(SystemExit):
        usual_run.main()

    _, _, only = " ".join(capsys.readouterr().out.split()).rpartition("--only GROUP ")
    names, _, of_full = only.partition(" --keep ")[0].partition("; with --full: ")
    assert names.split(", ") == [*groups(7, 1000, full=False), "table"]
    assert {*of_full.split(", ")} == groups(7, 1000, full=True).keys() - {*names.split(", ")}


def test_what_takes_minutes_is_in_the_full_run_alone() -> None:
    usual, full = (groups(7, 1000, full=each) for each in (False, True))

    assert [*usual] == ["overhead", "large", "starts", "crashes", "actors", "calls"]
    assert {"1 MB", "handlers", "memory", "emulator", "many"} <= {*full} - {*usual}


def test_a_group_that_cannot_be_had_is_named_and_the_others_are_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = Row("a", "one / other", (0.5,))

    def nothing() -> list[Row]:
        raise Absent("no emulator here")

    assert measured({"many": nothing, "a": lambda: [row]}) == ([row], ["many"])
    assert "no emulator here" in capsys.readouterr().out


def test_a_bar_is_missed_from_below_where_more_is_better() -> None:
    rows = [
        Row("16 slots", "throughput, a / b", (0.99,), 1.0, at_least=True),
        Row("16 slots", "memory, a / b", (0.3,), 0.4),
        Row("crashes", "time-out", (), told="no ratio"),
    ]

    assert verdict(rows) == "2 ratios, of which 1 miss their bar"


def test_where_a_process_cannot_be_given_a_core_only_what_needs_none_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("a", "one / other", (0.5,))
    monkeypatch.setattr("benchmarks.__main__.PINS", False)
    monkeypatch.setattr("benchmarks.peers.table.PINS", False)
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)

    usual = groups(1, 1, full=False)
    assert measured({**usual, "actors": lambda: [row], "calls": lambda: [row]}) == (
        [row, row],
        ["overhead", "large", "starts", "crashes"],
    )
    assert "starts: gives each process a core of its own" in capsys.readouterr().out

    tells = 'print(\'{"call": 1, "versions": "1"}\')'
    peer = Peer("one", (PYTHON, "-c", tells))
    monkeypatch.setattr("benchmarks.peers.table.PEERS", (peer,))
    assert rounds(1, ())[0][peer][0].figures == {"call": 1}


def test_without_proc_make_scale_says_what_it_wants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "MEMORY", "/not/there")
    monkeypatch.setattr(sys, "argv", ["benchmarks.scale"])

    with pytest.raises(SystemExit):
        scale.main()
    assert "wants Linux" in capsys.readouterr().err


def test_a_client_that_does_not_serve_has_no_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.crashes.OKIBI", (sys.executable, "-m", "not_here"))
    with pytest.raises(Absent, match="crashes of -m not_here"):
        crashes(1)
