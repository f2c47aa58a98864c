"""The rows of a report, made from runs."""

import attrs
import pytest

from okibi.bench.figures import Figure
from okibi.bench.results import BenchResults
from okibi.bench.rows import ReportRow, make_rows
from tests.bench.made_up_results import PEER, results, run


def found(made: BenchResults, peer: str | None = None) -> dict[tuple[str, str], ReportRow]:
    return {(row.section.partition(",")[0], row.name): row for row in make_rows(made, peer, 0.5)}


def test_a_row_is_the_median_of_the_rounds_with_their_spread() -> None:
    made = found(results([run(300), run(100), run(110)], [run(90)] * 3))

    assert made["warm", "a cycle, p50"] == ReportRow(
        "warm, one event at a time", "a cycle, p50", "us", Figure(110, 100, 300)
    )
    assert made["warm", "events"].okibi == Figure(1e6 / 110, 1e6 / 300, 1e6 / 100)
    assert made["warm", "event to answer, p99.9"].okibi == Figure(88, 80, 240)
    assert made["cold start", "to the first GET /next"].okibi == Figure(100, 100, 100)
    assert made["memory of all processes", "at the end"].okibi == Figure(20, 20, 20)
    assert made["memory of all processes", "peak"].okibi == Figure(22, 22, 22)
    # 0.3 of the measured time, by 1,000 events of 110 us each.
    api = made["warm", "processor time of the Runtime API"].okibi
    assert api is not None
    assert attrs.astuple(api) == pytest.approx((33, 30, 90))


def test_a_time_out_row_excludes_the_limit_and_has_no_ratio() -> None:
    made = found(results([run(100)], [run(90)], peer=True), PEER)
    row = made["crashes (okibi's test handler)", "time-out, from 0.5 s to next"]

    assert (row.okibi, row.peer, row.ratio) == (
        Figure(-100, -100, -100), Figure(80, 80, 80), None,
    )  # fmt: skip


def test_a_warm_restart_row_has_no_figure_of_the_peer() -> None:
    made = found(results([run(100)], [run(90)], peer=True), PEER)
    row = made["crashes (okibi's test handler)", "warm restart of a Handler to next"]

    assert (row.okibi, row.peer, row.ratio) == (Figure(3, 3, 3), None, None)


def test_the_runtimes_share_of_a_cycle_is_the_stand_ins() -> None:
    made = found(results([run(150), run(300)], [run(100), run(120)]))

    assert made["warm", "share of p50: runtime and API"].okibi == Figure(110, 100, 120)
    # The median of the rounds' differences, not the difference of two medians.
    assert made["warm", "share of p50: handler"].okibi == Figure(115, 50, 180)


def test_a_ratio_compares_the_same_round() -> None:
    made = found(results([run(100), run(200)], [run(90), run(90)], peer=True), PEER)

    assert made["warm", "a cycle, p50"].peer == Figure(300, 200, 400)
    assert made["warm", "a cycle, p50"].ratio == Figure(0.5, 0.5, 0.5)
    assert made["warm", "share of p50: runtime and API"].ratio == Figure(0.5, 0.5, 0.5)
    assert made["warm", "share of p50: handler"].ratio is None
    crashes = made["crashes (okibi's test handler)", "sys.exit to next good answer"]
    assert crashes.ratio == Figure(0.025, 0.025, 0.025)


def test_errors_have_a_row_if_there_are_any() -> None:
    shown = ("warm", "answers that are errors")

    assert shown not in found(results([run(100)], [run(90)]))
    made = found(results([run(100), run(100, errors={"A": 10, "B": 1})], [run(90)] * 2))
    assert made[shown].okibi == Figure(0.5, 0, 1)


@pytest.mark.parametrize(("processes", "ratio"), [(1, Figure(1, 1, 1)), (17, None)])
def test_peaks_of_several_processes_have_no_ratio(processes: int, ratio: Figure | None) -> None:
    of_16 = {"okibi": [run(100)], PEER: [run(100, processes=processes)]}
    made = results([run(100)], [run(90)], peer=True, many={16: of_16})
    functions = {"okibi": [run(100)], PEER: [run(100, processes=processes)]}
    shown = found(attrs.evolve(made, function_runs=functions), PEER)

    for name in (("16 events at once", "peak memory"), ("memory of all processes", "peak")):
        assert (shown[name].okibi, shown[name].peer) == (Figure(22, 22, 22), Figure(22, 22, 22))
        assert shown[name].ratio == ratio
    # At the end shared pages count once.
    assert shown["16 events at once", "memory at the end"].ratio == Figure(1, 1, 1)


@pytest.mark.parametrize("peer", [None, PEER])
def test_many_at_once_have_a_section(peer: str | None) -> None:
    of_16 = {"okibi": [run(100, processes=1)], PEER: [run(100, processes=17)]}
    made = found(results([run(100)], [run(90)], peer=peer is not None, many={16: of_16}), peer)

    processes = made["16 events at once", "processes"]
    assert processes.okibi == Figure(1, 1, 1)
    assert processes.peer == (Figure(17, 17, 17) if peer else None)
    assert made["16 events at once", "event to answer, p99"].okibi == Figure(80, 80, 80)
    cpu = made["16 events at once", "processor time of the runtime"]
    assert cpu.okibi == Figure(50, 50, 50)
    assert cpu.ratio == (Figure(1, 1, 1) if peer else None)
    # The cost estimate and the memory of a function with many slots use this row.
    assert made["16 events at once", "peak memory"].okibi == Figure(22, 22, 22)
