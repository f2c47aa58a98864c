"""What is drawn against the number of events at once; that it is drawn, `test_command.py` shows."""

from pathlib import Path
from typing import Any

import pytest

from okibi.cli.bench.plots import draw, points
from okibi.cli.bench.report import make_report
from tests.cli.bench.made import MACHINE, order, results, run


def test_one_event_at_a_time_is_the_first_point_and_many_follow_in_order(tmp_path: Path) -> None:
    many = {16: {"okibi": [run(50)]}, 4: {"okibi": [run(100)]}}
    report = make_report(order(tmp_path), results([run(200)], [run(90)], many=many), MACHINE)

    found = points(report)

    assert list(found) == [1, 4, 16]
    middles = [each["throughput"].okibi for each in found.values()]
    assert [middle.median for middle in middles if middle is not None] == [5000, 10_000, 20_000]
    assert all("memory" in each for each in found.values())


def test_a_picture_says_of_what_it_is_and_when_that_was_taken(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = make_report(order(tmp_path), results([run(200)], [run(90)]), MACHINE)

    svg, png = draw(report, tmp_path)

    assert "app.handler, CPython 3.13.0, 2 cores" in svg.read_text()
    assert report.taken in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("memory", [20 << 20, None])
def test_figures_that_are_alike_lie_below_the_frame_and_none_at_all_are_drawn_too(
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
    draw(make_report(order(tmp_path), made, MACHINE), tmp_path)

    assert len(drawn) == 6
    assert all(highest * 1.05 < top for highest, top in drawn[2:])
