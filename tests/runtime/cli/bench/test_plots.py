"""What is drawn against the number of events at once; that it is drawn, `test_command.py` shows."""

from pathlib import Path
from typing import Any

import pytest

from runtime.cli.bench.plots import draw, points
from runtime.cli.bench.report import make_report
from tests.runtime.cli.bench.made import MACHINE, order, results, run


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
    assert png.exists()


def test_what_is_almost_alike_for_each_number_of_events_at_once_lies_below_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure
    drawn: list[tuple[float, float]] = []

    def look(picture: Any, *_: object, **__: object) -> None:
        (axes,) = picture.axes
        highest = max(max(line.get_ydata()) for line in axes.get_lines())
        drawn.append((highest, axes.get_ylim()[1]))

    monkeypatch.setattr(figure, "savefig", look)
    many = {4: {"okibi": [run(201, memory=(20 << 20) + 4096)]}}
    draw(make_report(order(tmp_path), results([run(200)], [run(90)], many=many), MACHINE), tmp_path)

    assert len(drawn) == 6
    assert all(highest * 1.05 < top for highest, top in drawn[2:])


def test_where_the_system_tells_nothing_of_memory_its_picture_is_empty_and_nothing_is_warned_of(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    pytest.importorskip("matplotlib")
    many = {4: {"okibi": [run(201, memory=None)]}}
    measured = results([run(200, memory=None)], [run(90)], many=many)

    drawn = draw(make_report(order(tmp_path), measured, MACHINE), tmp_path)

    assert len(drawn) == 6
    assert not [str(each.message) for each in recwarn]
