"""A report: what it costs, and what has to be said beside the figures."""

import re
from pathlib import Path

import attrs
import msgspec
import pytest

from runtime.cli.bench.figures import Figure
from runtime.cli.bench.loads import load_of
from runtime.cli.bench.prices import OWN
from runtime.cli.bench.record import Run
from runtime.cli.bench.report import Report, make_report, notes
from tests.runtime.cli.bench.made import MACHINE, PEER, order, results, run

ONE = results([run(100)], [run(90)])


def said(tmp_path: Path, made: object = ONE, **given: object) -> str:
    machine = given.pop("machine", MACHINE)
    return "\n".join(notes(order(tmp_path, **given), made, machine))  # type: ignore[arg-type]


def test_a_report_is_json_and_back(tmp_path: Path) -> None:
    report = make_report(order(tmp_path), ONE, MACHINE)

    encoded = msgspec.json.encode(report)
    again = msgspec.to_builtins(msgspec.json.decode(encoded, type=Report))
    assert msgspec.json.decode(msgspec.json.encode(again)) == msgspec.json.decode(encoded)


def test_it_says_what_was_measured_where_and_when(tmp_path: Path) -> None:
    report = make_report(order(tmp_path), ONE, MACHINE)

    assert (report.handler, report.event_bytes, report.answer_bytes) == ("app.handler", 8, 2)
    assert (report.rounds, report.machine, report.peer) == (3, MACHINE, None)
    assert report.taken
    assert report.prices.startswith("us-east-1, 20")


def test_costs_are_reckoned_from_what_was_measured(tmp_path: Path) -> None:
    # 20 ms, of which half is processor time, and 300 MB.
    slow = run(20_000, cpu_us=10_000, peak=300 << 20)
    report = make_report(order(tmp_path), results([slow], [slow]), MACHINE)

    # 10 ms of waiting and 10 of computing on 300 / 1769 of a core.
    assert report.memory_mb == 300
    assert report.costs[0].where == "Lambda, x86_64"
    assert report.costs[0].how.startswith("300 MB, 69.0 ms billed")
    assert report.costs[2].how.startswith("1 of 40/s")
    assert report.costs[0].peer is None


def test_costs_are_reckoned_from_the_round_that_took_most_memory(tmp_path: Path) -> None:
    rounds = [run(20_000, peak=megabytes << 20) for megabytes in (200, 300, 250)]
    report = make_report(order(tmp_path), results(rounds, rounds), MACHINE)

    assert report.memory_mb == 300


def test_where_the_system_tells_of_no_processor_time_an_event_computes_while_it_lasts(
    tmp_path: Path,
) -> None:
    untold = run(20_000, cpu_us=None)
    load = load_of(order(tmp_path), results([untold], [untold]), "okibi")

    assert load.cpu_ms == pytest.approx(20)


def test_of_several_rounds_it_is_the_one_with_fewest_cycles_that_is_told_of(tmp_path: Path) -> None:
    rounds = [run(100), run(100, cycles_us=[100] * 7), run(100)]

    assert "A round had 7 cycles" in said(tmp_path, results(rounds, rounds))


def test_what_events_in_flight_take_is_what_most_at_once_took_beyond_one(tmp_path: Path) -> None:
    # A second each, and hardly any processor time. t4g.small has 2 GB.
    slow, peak = run(1e6, cpu_us=1.0, peak=100 << 20), (100 + 15 * 50) << 20
    many = {4: {"okibi": [run(100, peak=999 << 20)]}, 16: {"okibi": [run(100, peak=peak)]}}
    made = results([slow], [slow], many=many)
    report = make_report(order(tmp_path), made, MACHINE)

    # 2 processes, and 1,848 MB for 50 each.
    small = next(cost for cost in report.costs if cost.where.startswith("t4g.small"))
    assert small.how.startswith("1 of 27.3/s")
    assert "50.0 MB for each event in flight beside the first, as measured with 16 at" in said(
        tmp_path, made
    )
    assert "is not counted" not in said(tmp_path, made)
    assert "fills it; --concurrency measures it." in said(tmp_path)
    unknown = results([slow], [slow], many={4: {"okibi": [run(100, peak=None)]}})
    assert said(tmp_path, unknown).endswith("fills it.")


def test_a_server_s_processor_time_is_that_of_most_at_once(tmp_path: Path) -> None:
    one = run(20_000, cpu_us=10_000)
    many = {
        4: {"okibi": [run(100, cpu_us=9_000)]},
        16: {"okibi": [run(100, cpu_us=each) for each in (1_000, 2_500, 9_000)]},
    }
    alone = results([one], [one])
    made = attrs.evolve(alone, many=many)
    report = make_report(order(tmp_path), made, MACHINE)
    before = make_report(order(tmp_path), alone, MACHINE)

    # A fifth of two cores: 2.5 ms of it each.
    assert report.costs[2].how.startswith("1 of 160/s")
    assert before.costs[2].how.startswith("1 of 40/s")
    assert report.costs[:2] == before.costs[:2]
    assert "does here with 16 events at once, under" in said(tmp_path, made)
    assert "sleeps between its events; --concurrency measures it" in said(tmp_path, alone)
    assert "sleeps between" not in said(tmp_path, made)


def test_it_says_that_each_core_is_taken_to_be_as_quick_as_those_it_was_measured_on(
    tmp_path: Path,
) -> None:
    report = make_report(order(tmp_path), ONE, MACHINE)

    on_x86, on_arm, *_ = report.costs
    assert on_x86.how == on_arm.how
    assert "Lambda's cores, of either architecture, are taken to be as quick as this machine's" in (
        said(tmp_path)
    )
    assert "A server's cores are taken to do what one does here" in said(tmp_path)


# Of the peer: 15 MB, and 64 at once are a process more, of which each peak has what all share.
ONE_PROCESS = run(1e6, cpu_us=1.0, memory=15 << 20, peak=15 << 20)
MANY_PROCESSES = run(1e6, cpu_us=1.0, memory=141 << 20, peak=900 << 20, processes=65)


def beside(tmp_path: Path, alone: Run, many: dict[int, Run]) -> tuple[str, str]:
    """What the peer's t4g.small, which has 2 GB, is reckoned to take, and what is said."""
    made = results([ONE_PROCESS], [ONE_PROCESS], peer=True)
    made = attrs.evolve(
        made,
        functions={"okibi": [ONE_PROCESS], PEER: [alone]},
        many={slots: {"okibi": [ONE_PROCESS], PEER: [each]} for slots, each in many.items()},
    )
    asked = attrs.evolve(order(tmp_path), peer="app.plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.cli.bench.report.peer_version", lambda: "4.2.2")
        report = make_report(asked, made, MACHINE)
    small = next(cost for cost in report.costs if cost.where.startswith("t4g.small"))
    return small.peer_how, "\n".join(report.notes)


def test_what_a_process_more_takes_is_what_most_at_once_took_at_the_end_beyond_one(
    tmp_path: Path,
) -> None:
    how, words = beside(tmp_path, ONE_PROCESS, {4: run(1e6, peak=None), 64: MANY_PROCESSES})

    # 2 processes, and 2,018 MB for 2 each; a second each, seven tenths of the time.
    assert how.startswith("1 of 708/s")
    assert f"{PEER}'s is to have room for 2.0 MB for each event in flight beside the first" in words
    assert "okibi's is to have room for 0.0 MB for each event in flight beside the first" in words
    assert "is not counted" not in words


def test_what_an_event_gives_back_each_process_more_takes_too(tmp_path: Path) -> None:
    peak = attrs.evolve(ONE_PROCESS, peak=113 << 20)
    how, words = beside(tmp_path, peak, {64: MANY_PROCESSES})

    # 2 processes of 113 MB, and 1,822 MB for 100 each.
    assert "for 100.0 MB for each event" in words
    assert how.startswith("1 of 14.2/s")


def test_what_events_in_flight_take_of_the_peer_is_not_counted_where_nobody_measured_it(
    tmp_path: Path,
) -> None:
    how, words = beside(tmp_path, ONE_PROCESS, {})

    assert how.startswith("1 of 400k/s")
    assert (
        "What more than one event in flight takes on a server of okibi's or of awslambdaric's is"
        " not counted, and may be what fills it; --concurrency measures it."
    ) in words
    unknown = attrs.evolve(MANY_PROCESSES, memory=None)
    _, words = beside(tmp_path, ONE_PROCESS, {64: unknown})
    assert f"on a server of {PEER}'s is not counted, and may be what fills it." in words


def test_where_nobody_tells_of_processor_time_an_event_computes_all_the_time(
    tmp_path: Path,
) -> None:
    slow = results([run(20_000, cpu_us=None, peak=None)], [run(20_000)])
    report = make_report(order(tmp_path), slow, MACHINE)

    # On 128 / 1769 of a core.
    assert report.costs[0].how == "128 MB, 277.0 ms billed"
    assert "does not tell of processor time" in said(tmp_path, slow)
    assert "does not tell" not in said(tmp_path)


@pytest.mark.parametrize(("given", "reckoned"), [({}, 128), ({"memory_size": "256"}, 256)])
def test_where_nobody_tells_of_memory_it_is_said_what_is_paid_for(
    given: dict[str, object], reckoned: int, tmp_path: Path
) -> None:
    untold = results([run(100, peak=None, memory=None, processes=None)], [run(90)])

    words = said(tmp_path, untold, **given)
    assert f"does not tell of memory: the costs are reckoned from {reckoned} MB" in words
    assert "PSS" not in words
    assert "PSS" in said(tmp_path)


def test_a_peer_is_paid_for_with_its_own_figures(tmp_path: Path) -> None:
    slow = run(20_000, cpu_us=10_000)
    made = results([slow], [slow], peer=True)
    asked = attrs.evolve(order(tmp_path), peer="app.plain")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.cli.bench.report.peer_version", lambda: "4.2.2")
        report = make_report(asked, made, MACHINE)

    assert report.peer == f"{PEER} 4.2.2"
    assert report.peer_handler == "app.plain"
    own, other = report.costs[0].okibi, report.costs[0].peer
    assert own is not None
    assert other is not None
    assert report.costs[0].how != report.costs[0].peer_how
    assert 1.9 < (other - 0.2) / (own - 0.2) < 2.1


def test_a_ratio_is_explained_where_there_is_a_peer(tmp_path: Path) -> None:
    beside = results([run(100)], [run(90)], peer=True)

    assert "a ratio is okibi's to the peer's" in " ".join(
        notes(attrs.evolve(order(tmp_path), peer="app.plain"), beside, MACHINE)
    )
    assert "peer" not in said(tmp_path)


@pytest.mark.parametrize(
    ("usual", "first", "differ"),
    [
        (1_000_002, 12, True),
        (12, 1_000_002, True),
        (1026, 1, True),
        # No time is to be measured by which these would differ.
        (1025, 1, False),
        (1_000_000, 900_000, False),
        (1_000_000, 899_999, True),
        (None, 12, False),
        (12, None, False),
    ],
)
def test_where_the_first_answer_is_not_like_the_others_what_p50_is_made_of_is_not_to_be_trusted(
    usual: int | None, first: int | None, differ: bool, tmp_path: Path
) -> None:
    # In the median of the rounds.
    runs = [run(100, answer_bytes=each) for each in (first, usual, usual)]
    made = results(runs, [run(90, answer_bytes=first)] * 3, peer=True)

    words = said(tmp_path, made)
    assert ("but the first one has" in words) is differ
    if differ:
        assert f"On okibi an answer has {usual:,} bytes in the median, but the first one" in words


def test_a_start_that_lambda_cuts_is_named(tmp_path: Path) -> None:
    short, long = run(100, first_next_ms=9_999.0), run(100, first_next_ms=12_345.0)
    both = results([short, long, short], [run(90)] * 3, peer=True)

    words = said(tmp_path, both)
    assert "On okibi the start took 12.3 s to the first GET /next: Lambda cuts it at 10 s" in words
    assert f"On {PEER} the start" not in words
    theirs = attrs.evolve(both, functions={"okibi": [short], PEER: [long]})
    assert f"On {PEER} the start took 12.3 s" in said(tmp_path, theirs)
    assert "Lambda cuts" not in said(tmp_path, results([short], [run(90)]))


def test_errors_are_named(tmp_path: Path) -> None:
    made = results([run(100, errors={"Function.ValueError": 1})], [run(90)])

    assert "On okibi some answers are errors: Function.ValueError. " in said(tmp_path, made)
    assert "errors" not in said(tmp_path)


def test_who_passed_its_time_out_is_named_and_what_came_of_it(tmp_path: Path) -> None:
    late = run(100, errors={"Sandbox.Timedout": 1})

    words = "On okibi some events passed their time-out of 3 s: "
    assert words in said(tmp_path, results([late], [run(90)]))
    assert words in said(
        tmp_path, results([run(100)], [run(90)], many={2: {"okibi": [late, run(100)]}})
    )
    other = results([run(100, errors={"Function.ValueError": 1})], [run(90)])
    assert "passed their time-out" not in said(tmp_path, other)


def test_that_children_have_ended_is_said_of_the_memory(tmp_path: Path) -> None:
    made = results([run(100, children_ended=True)], [run(90)])

    assert "On okibi processes were started that ended with their event: " in said(tmp_path, made)
    assert "processes were started" not in said(tmp_path)


def test_a_server_that_was_busy_is_named_and_one_core_too(tmp_path: Path) -> None:
    busy = results([run(100)], [run(90)], many={16: {"okibi": [run(100, server_share=0.95)]}})

    assert "the server was busy" in said(tmp_path, busy)
    # One event at a time: it may be busy and takes nothing from a runtime that waits for it.
    assert "the server was busy" not in said(tmp_path, results([run(9, server_share=1)], [run(9)]))
    alone = attrs.evolve(MACHINE, cores=1)
    assert "There is one core" in said(tmp_path, machine=alone)


def test_that_okibi_is_kept_busy_while_it_is_measured_is_said(tmp_path: Path) -> None:
    assert "OKIBI_BUSY_WAIT_US (300) before it sleeps" in said(tmp_path)
    assert "is part of its processor time. With" in said(tmp_path)
    beside = results([run(200)], [run(90)], peer=True)
    assert "processor time; the peer sleeps each time." in said(tmp_path, beside, peer=PEER)


def test_variables_of_okibi_s_are_told_as_they_were_while_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "OKIBI_DEADLINE_MARGIN_MS (100) before it" in said(tmp_path)
    assert "a process that looks for its next event for a moment" in said(tmp_path)

    monkeypatch.setenv("OKIBI_DEADLINE_MARGIN_MS", "200")
    monkeypatch.setenv("OKIBI_BUSY_WAIT_US", "1000")
    assert "OKIBI_DEADLINE_MARGIN_MS (200) before it" in said(tmp_path)
    assert "OKIBI_BUSY_WAIT_US (1000) before it sleeps" in said(tmp_path)

    monkeypatch.setenv("OKIBI_BUSY_WAIT_US", "0")
    beside = results([run(200)], [run(90)], peer=True)
    assert "; OKIBI_BUSY_WAIT_US is 0, so okibi sleeps before it" in said(tmp_path)
    assert "further apart; the peer sleeps each time." in said(tmp_path, beside, peer=PEER)
    assert "is that of a process that sleeps between" in said(tmp_path)
    assert "looks for" not in said(tmp_path)


def test_a_machine_whose_cores_others_wanted_is_named(tmp_path: Path) -> None:
    def waited(*shares: float | None) -> str:
        runs = [run(200, server_waited=share) for share in shares]
        return said(tmp_path, results(runs, [run(90)] * len(runs)))

    # One round of three may be unlucky, on a quiet machine too.
    assert "it waited 45% for them" in waited(0.02, 0.45, 0.6)
    assert "Others wanted the cores" not in waited(0.02, 0.03, 0.6)
    assert "Others wanted the cores" not in waited(None)


def test_what_computes_on_several_cores_at_once_is_said_to_cost_more_than_is_reckoned(
    tmp_path: Path,
) -> None:
    def of(cpu_us: float, **given: object) -> str:
        one = run(20_000, cpu_us=cpu_us)
        return said(tmp_path, results([one], [one]), **given)

    words = "On okibi an event computes for 3.0 times as long as it lasts, on several cores at once"
    assert f"{words}: with 128 MB a function has 0.072 of a core" in of(60_000)
    assert "several cores" not in of(25_000)
    # Five cores and more.
    assert "several cores" not in of(60_000, memory_size="10240")


def test_too_few_cycles_for_the_tail_are_named(tmp_path: Path) -> None:
    few = results([run(100, cycles_us=[1.0] * 999)], [run(90)])

    assert "A round had 999 cycles" in said(tmp_path, few)
    assert "A round had" not in said(tmp_path)


@pytest.mark.parametrize(("count", "words"), [(1, "1 cycle"), (2, "2 cycles"), (999, "999 cycles")])
def test_what_is_said_of_few_cycles_holds_for_the_percentiles_that_are_shown(
    count: int, words: str, tmp_path: Path
) -> None:
    few = results([run(100, cycles_us=[100.0] * count)], [run(90)])
    shown = {row.name: row.okibi for row in make_report(order(tmp_path), few, MACHINE).rows}

    # Of one cycle less than one lies past the median, too, and of 999 past p99.9.
    assert (shown["a cycle, p50"], shown["a cycle, p99.9"]) == (Figure(100, 100, 100), None)
    assert f"A round had {words}: a percentile above p50 that leaves less than one" in said(
        tmp_path, few
    )


def test_a_function_that_takes_more_memory_than_it_is_to_have_is_named(tmp_path: Path) -> None:
    large = results([run(100, peak=200 << 20)], [run(90)])

    words = said(tmp_path, large, memory_size="128")
    assert "200 MB were measured, more than --memory-size 128" in words
    assert "were measured" not in said(tmp_path, large)


def test_a_peer_that_takes_more_memory_than_it_is_to_have_is_named(tmp_path: Path) -> None:
    small, large = run(100, peak=100 << 20), run(100, peak=200 << 20)
    made = results([small], [run(90)], peer=True)
    theirs = attrs.evolve(made, functions={"okibi": [small], PEER: [large]})
    both = attrs.evolve(made, functions={"okibi": [large], PEER: [large]})

    words = said(tmp_path, theirs, memory_size="128")
    assert f"On {PEER} 200 MB were measured, more than --memory-size 128: it would not" in words
    assert "On okibi 200 MB" not in words
    assert said(tmp_path, both, memory_size="128").count("200 MB were measured, more than") == 2
    assert "were measured" not in said(tmp_path, both)


def test_prices_without_a_source_are_to_be_checked_all_the_same(tmp_path: Path) -> None:
    own = OWN.read_text()
    (tmp_path / "own.toml").write_text(
        re.sub(r"sources = \[.*?\]", "sources = []", own, flags=re.S)
    )

    words = said(tmp_path, ONE, prices=str(tmp_path / "own.toml"))
    assert "us-east-1, 2026-06, that you must check; without free tier" in words


def test_prices_are_dated_with_their_source_and_to_be_checked(tmp_path: Path) -> None:
    words = said(tmp_path)

    assert "us-east-1, 2026-06, that you must check (https://aws.amazon.com/lambda/" in words
