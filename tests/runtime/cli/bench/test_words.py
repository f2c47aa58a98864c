"""A report as text: for the terminal, and as Markdown."""

from pathlib import Path

import pytest

from runtime.cli.bench.report import Report, make_report
from runtime.cli.bench.terminal import table
from runtime.cli.bench.words import cost_table, figure_table, heading, markdown
from tests.runtime.cli.bench.made import MACHINE, PEER, order, results, run


@pytest.fixture(params=[False, True])
def report(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Report:
    """Without a peer, and with one."""
    monkeypatch.setattr("runtime.cli.bench.order.importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("runtime.cli.bench.report.peer_version", lambda: "4.2.2")
    given = {"peer": PEER} if request.param else {}
    made = results([run(100), run(120)], [run(90), run(90)], peer=request.param)
    return make_report(order(tmp_path, **given), made, MACHINE)


def test_each_row_has_a_cell_for_each_column(report: Report) -> None:
    for made in (figure_table(report), figure_table(report, narrow=True), cost_table(report)):
        for _, found in made.sections:
            assert {len(cells) for cells in found} == {len(made.columns)}


def test_a_narrow_table_shows_the_spread_of_the_ratios_alone(report: Report) -> None:
    if report.peer:
        assert figure_table(report, narrow=True).columns == (
            ["", "okibi", PEER, "ratio", "low to high"]
        )
    else:
        assert figure_table(report, narrow=True).columns == ["", "okibi", "low to high"]


def test_the_heading_names_what_was_measured_and_the_machine(report: Report) -> None:
    first, second, third = heading(report)

    assert first.startswith("app.handler on okibi ")
    assert (f" beside app.handler on {PEER} 4.2.2" in first) is bool(report.peer)
    assert second == "an event of 8 bytes, an answer of 2; 3 rounds of 1 s"
    assert third == "CPython 3.13.0, Linux 6.1 x86_64, a processor, 2 cores; load 0.5 before"


def test_markdown_has_each_figure_each_cost_and_each_note(report: Report) -> None:
    text = markdown(report)

    assert "| a cycle, p50 (us) | 110 | 100 to 120 |" in text
    assert ("| 0.50 | 0.50 to 0.50 |" in text) is bool(report.peer)
    for cost in report.costs:
        assert f"| {cost.where} | ${cost.okibi:.2f} | {cost.how} |" in text
    for note in report.notes:
        assert f"* {note}" in text


def test_the_terminal_s_table_has_each_row_in_a_line_and_nothing_behind_it(report: Report) -> None:
    lines = table(report).splitlines()

    assert any(line.split() == ["warm,", "one", "event", "at", "a", "time"] for line in lines)
    (cycle,) = (line for line in lines if "a cycle, p50 (us)" in line)
    assert cycle.split()[4:8] == ["110", "100", "to", "120"]
    assert lines == [line.rstrip() for line in lines]
