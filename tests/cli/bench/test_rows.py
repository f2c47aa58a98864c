"""From runs to rows."""

import attrs
import pytest

from okibi.cli.bench.figures import Figure
from okibi.cli.bench.record import Results
from okibi.cli.bench.rows import Row, rows
from tests.cli.bench.made import PEER, results, run


def found(made: Results, peer: str | None = None) -> dict[tuple[str, str], Row]:
    return {(row.section.partition(",")[0], row.name): row for row in rows(made, peer, 0.5)}


def test_a_row_is_the_median_of_the_rounds_with_their_spread() -> None:
    made = found(results([run(300), run(100), run(110)], [run(90)] * 3))

    assert made["warm", "a cycle, p50"] == Row(
        "warm, one event at a time", "a cycle, p50", "us", Figure(110, 100, 300)
    )
    assert made["warm", "events"].okibi == Figure(1e6 / 110, 1e6 / 300, 1e6 / 100)
    assert made["warm", "event to answer, p99.9"].okibi == Figure(88, 80, 240)
    assert made["cold start", "to the first GET /next"].okibi == Figure(100, 100, 100)
    assert made["memory of all processes", "at the end"].okibi == Figure(20, 20, 20)
    assert made["memory of all processes", "at most"].okibi == Figure(22, 22, 22)
    # 0.3 of the measured time, by 1,000 events of 110 us each.
    server = made["warm", "processor time of the server"].okibi
    assert server is not None
    assert attrs.astuple(server) == pytest.approx((33, 30, 90))


def test_a_time_out_is_told_from_the_end_of_its_time_and_has_no_ratio() -> None:
    made = found(results([run(100)], [run(90)], peer=True), PEER)
    row = made["crashes (a handler of okibi's own)", "time-out, from 0.5 s to next"]

    assert (row.okibi, row.peer, row.ratio) == (
        Figure(-100, -100, -100), Figure(80, 80, 80), None,
    )  # fmt: skip


def test_a_warm_restart_is_told_of_who_has_one() -> None:
    made = found(results([run(100)], [run(90)], peer=True), PEER)
    row = made["crashes (a handler of okibi's own)", "warm restart of a Handler to next"]

    assert (row.okibi, row.peer, row.ratio) == (Figure(3, 3, 3), None, None)


def test_the_runtime_s_part_of_a_cycle_is_the_stand_in_s_and_the_rest_the_handler_s() -> None:
    made = found(results([run(150), run(300)], [run(100), run(120)]))

    assert made["warm", "of p50 the runtime's and the server's"].okibi == Figure(110, 100, 120)
    # Of each round the difference: not the difference of two medians.
    assert made["warm", "of p50 the handler's"].okibi == Figure(115, 50, 180)


def test_beside_a_peer_each_row_is_a_ratio_of_the_same_round() -> None:
    made = found(results([run(100), run(200)], [run(90), run(90)], peer=True), PEER)

    assert made["warm", "a cycle, p50"].peer == Figure(300, 200, 400)
    assert made["warm", "a cycle, p50"].ratio == Figure(0.5, 0.5, 0.5)
    assert made["warm", "of p50 the runtime's and the server's"].ratio == Figure(0.5, 0.5, 0.5)
    assert made["warm", "of p50 the handler's"].ratio is None
    crashes = made["crashes (a handler of okibi's own)", "sys.exit to next good answer"]
    assert crashes.ratio == Figure(0.025, 0.025, 0.025)


def test_errors_are_shown_if_there_are_any() -> None:
    shown = ("warm", "answers that are errors")

    assert shown not in found(results([run(100)], [run(90)]))
    made = found(results([run(100), run(100, errors={"A": 10, "B": 1})], [run(90)] * 2))
    assert made[shown].okibi == Figure(0.5, 0, 1)


@pytest.mark.parametrize(("processes", "ratio"), [(1, Figure(1, 1, 1)), (17, None)])
def test_peaks_of_several_processes_count_what_they_share_for_each_and_have_no_ratio(
    processes: int, ratio: Figure | None
) -> None:
    of_16 = {"okibi": [run(100)], PEER: [run(100, processes=processes)]}
    made = results([run(100)], [run(90)], peer=True, many={16: of_16})
    functions = {"okibi": [run(100)], PEER: [run(100, processes=processes)]}
    shown = found(attrs.evolve(made, functions=functions), PEER)

    for name in (("16 events at once", "memory at most"), ("memory of all processes", "at most")):
        assert (shown[name].okibi, shown[name].peer) == (Figure(22, 22, 22), Figure(22, 22, 22))
        assert shown[name].ratio == ratio
    # At the end what they share counts once.
    assert shown["16 events at once", "memory at the end"].ratio == Figure(1, 1, 1)


@pytest.mark.parametrize("peer", [None, PEER])
def test_many_at_once_have_rows_of_their_own(peer: str | None) -> None:
    of_16 = {"okibi": [run(100, processes=1)], PEER: [run(100, processes=17)]}
    made = found(results([run(100)], [run(90)], peer=peer is not None, many={16: of_16}), peer)

    processes = made["16 events at once", "processes"]
    assert processes.okibi == Figure(1, 1, 1)
    assert processes.peer == (Figure(17, 17, 17) if peer else None)
    assert made["16 events at once", "event to answer, p99"].okibi == Figure(80, 80, 80)
    cpu = made["16 events at once", "processor time of the runtime"]
    assert cpu.okibi == Figure(50, 50, 50)
    assert cpu.ratio == (Figure(1, 1, 1) if peer else None)
    # Of which the costs are reckoned, and by which a function that serves many is given its memory.
    assert made["16 events at once", "memory at most"].okibi == Figure(22, 22, 22)
