"""The plots of a report."""

from pathlib import Path
from typing import Any

import pytest

from okibi.bench.plots import draw, group_by_slots
from okibi.bench.report import make_report
from tests.bench.made_up_results import MACHINE, options, results, run


def test_plotted_rows_are_ordered_by_events_at_once(tmp_path: Path) -> None:
    many = {16: {"okibi": [run(50)]}, 4: {"okibi": [run(100)]}}
    report = make_report(options(tmp_path), results([run(200)], [run(90)], many=many), MACHINE)

    found = group_by_slots(report)

    assert list(found) == [1, 4, 16]
    middles = [each["throughput"].okibi for each in found.values()]
    assert [middle.median for middle in middles if middle is not None] == [5000, 10_000, 20_000]
    assert all("memory" in each for each in found.values())


@pytest.mark.slow
def test_a_plot_names_the_function_and_the_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = make_report(options(tmp_path), results([run(200)], [run(90)]), MACHINE)

    svg, png = draw(report, tmp_path)

    assert "app.handler, CPython 3.13.0, 2 cores" in svg.read_text()
    assert report.taken in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("memory", [20 << 20, None])
def test_equal_figures_lie_below_the_frame_and_missing_ones_are_drawn(
    memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure
    drawn: list[tuple[float, float]] = []

    def look(picture: Any, *_: object, **__: object) -> None:
        (axes,) = picture.axes
        heights = [each for line in axes.get_lines() for each in line.get_ydata()]
        drawn.append((max(heights, default=0.0), axes.get_ylim()[1]))

    monkeypatch.setattr(figure, "savefig", look)
    many = {4: {"okibi": [run(201, memory=memory)]}}
    made = results([run(200, memory=memory)], [run(90)], many=many)
    draw(make_report(options(tmp_path), made, MACHINE), tmp_path)

    assert len(drawn) == 6
    assert all(highest * 1.05 < top for highest, top in drawn[2:])
