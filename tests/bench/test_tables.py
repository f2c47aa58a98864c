"""A report as text, for the terminal and as Markdown."""

import io
from pathlib import Path

import attrs
import pytest

from okibi.bench.plan import Purpose, Step
from okibi.bench.report import BenchReport, make_report
from okibi.bench.tables import heading, make_cost_table, render_markdown
from okibi.bench.terminal import render_table, show_progress
from tests.bench.made_up_results import MACHINE, PEER, options, results, run


@pytest.fixture(params=[False, True])
def report(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BenchReport:
    """Reports without and with a peer."""
    monkeypatch.setattr("okibi.bench.options.importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("okibi.bench.report.peer_version", lambda: "4.2.2")
    given = {"peer": PEER} if request.param else {}
    made = results([run(100), run(120)], [run(90), run(90)], peer=request.param)
    return make_report(options(tmp_path, **given), made, MACHINE)


@pytest.mark.parametrize("columns", [75, 80, 130])
def test_75_columns_show_every_cell_in_full(
    report: BenchReport, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okibi.bench.terminal.WIDTH", columns)

    lines = render_table(report).splitlines()

    assert max(map(len, lines)) <= columns
    assert not any("…" in line for line in lines)
    (events,) = (line for line in lines if "events (a second)" in line)
    assert "9,167" in events


def test_the_heading_names_the_function_and_the_machine(report: BenchReport) -> None:
    first, second, third = heading(report)

    assert first.startswith("app.handler on okibi ")
    assert (f" beside app.handler on {PEER} 4.2.2" in first) is bool(report.peer)
    assert second == "an event of 8 bytes, an answer of 2; 3 rounds of 1 s"
    assert third == "CPython 3.13.0, Linux 6.1 x86_64, a processor, 2 cores; load 0.5 before"


@pytest.mark.parametrize(("terminal", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_dumb_terminal_has_no_progress_bar(
    terminal: str, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr("sys.stderr", stderr := Terminal())

    with show_progress() as tell:
        tell(Step("okibi", Purpose.FUNCTION), 0, 2)
    assert bool(stderr.getvalue()) is drawn


@pytest.mark.parametrize(
    ("monthly", "words"),
    [(30.4, "30.4 events"), (99_999, "99,999 events"), (1e5, "0.10 million events")],
)
def test_the_cost_table_names_the_events_per_month(
    report: BenchReport, monthly: float, words: str
) -> None:
    changed = attrs.evolve(report, monthly=monthly)

    assert make_cost_table(changed).columns[0].header == f"{words} a month"


def test_markdown_has_all_figures_costs_and_notes(report: BenchReport) -> None:
    text = render_markdown(report)

    assert "| a cycle, p50 (us) | 110 | 100 to 120 |" in text
    assert ("| 0.50 | 0.50 to 0.50 |" in text) is bool(report.peer)
    # The peer has no such figure.
    dashes = " - |  | - |  |" if report.peer else ""
    assert f"| warm restart of a Handler to next (ms) | 3 | 3 to 3 |{dashes}\n" in text
    for cost in report.costs:
        assert f"| {cost.where} | ${cost.okibi:.2f} | {cost.how} |" in text
    for note in report.notes:
        assert f"* {note}" in text
    columns = 7 if report.peer else 3
    assert f"| **cold start, bytecode compiled** |{'  |' * (columns - 1)}\n" in text
    assert f"| --- |{' ---: |' * (columns - 1)}\n" in text
