"""What is drawn against the number of events at once; that it is drawn, `test_command.py` shows."""

from pathlib import Path

from runtime.cli.bench.plots import points
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
