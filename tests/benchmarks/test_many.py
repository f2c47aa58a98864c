"""What is asked of many events at once."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from benchmarks.contenders import Absent
from benchmarks.many import (
    BARE_LOOP,
    BARE_THREADS,
    BARE_TRIO,
    CONTENDERS,
    SLOTS,
    WHERE_ALL_ARE_TAKEN,
    Found,
    many,
    rows_alone,
    rows_of,
    rows_of_taken,
)
from benchmarks.reporting.rows import LAPS
from tests.endurance.concurrent import OFFICIAL, OKIBI, PLAIN, Figures
from tests.endurance.managed import Contender


def figures(seconds: float, memory: int, latency: float) -> Found:
    one = Figures(10, seconds, [latency] * 10, memory=memory << 20)
    return Found([one] * 3, [one] * 3 * LAPS)


def test_more_throughput_is_better_and_less_of_all_else() -> None:
    found = {
        OKIBI: figures(1.0, 20, 0.02),
        OFFICIAL: figures(1.2, 60, 0.02),
        PLAIN: figures(1.3, 30, 0.03),
        BARE_TRIO: figures(1.0, 15, 0.02),
        BARE_LOOP: figures(0.8, 10, 0.02),
    }

    rows = {row.name: (round(row.median, 2), row.met) for row in rows_of(16, found)}
    assert rows == {
        "throughput, async def / awslambdaric": (1.2, True),
        "memory (PSS), async def / awslambdaric": (0.33, True),
        "p99, async def / awslambdaric": (1.0, True),
        "throughput, plain def / awslambdaric": (0.92, False),
        "memory (PSS), plain def / awslambdaric": (0.5, False),
        "p99, plain def / awslambdaric": (1.5, False),
        "throughput, bare trio / awslambdaric": (1.2, True),
        "throughput, a bare loop / awslambdaric": (1.5, True),
    }


def test_memory_as_if_alone_has_a_row_and_no_bar_where_it_was_measured() -> None:
    okibi, official, plain = (
        Found([Figures(memory=1, memory_alone=size << 20)] * 3) for size in (25, 60, 0)
    )

    (row,) = rows_alone(16, {OKIBI: okibi, OFFICIAL: official, PLAIN: plain})

    assert (row.group, row.name) == ("16 slots", "memory alone, async def / awslambdaric")
    assert (round(row.median, 3), row.bar, row.told) == (0.417, None, "25.0 of 60.0 MiB")


def test_a_round_counts_by_the_median_of_its_laps_and_the_tail_of_all_of_them() -> None:
    slow, fast = Figures(10, 2.0, [0.04] * 10), Figures(10, 1.0, [0.02] * 10)
    found = {
        OKIBI: Found([Figures(memory=1)], [fast] * (LAPS - 1) + [slow]),
        **{each: Found([Figures(memory=1)], [fast] * LAPS) for each in (OFFICIAL, PLAIN)},
        **{each: Found([Figures(memory=1)], [fast] * LAPS) for each in (BARE_TRIO, BARE_LOOP)},
    }

    throughput, _, tail, *_ = rows_of(16, found)

    assert throughput.ratios == (1.0,)
    assert tail.ratios == (2.0,)


def test_with_a_client_for_each_slot_throughput_and_tail_count_and_memory_is_told_once() -> None:
    slow, fast = [Figures(10, 2.0, [0.04] * 10)] * LAPS, [Figures(10, 1.0, [0.02] * 10)] * LAPS
    taken = {
        each: Found([], fast) for each in (OKIBI, OFFICIAL, BARE_TRIO, BARE_LOOP, BARE_THREADS)
    }

    rows = rows_of_taken(16, {**taken, PLAIN: Found([], slow)})

    assert {row.group for row in rows} == {"16 slots, all taken"}
    assert {row.name: (row.median, row.met) for row in rows} == {
        "throughput, async def / awslambdaric": (1.0, True),
        "p99, async def / awslambdaric": (1.0, True),
        "throughput, plain def / awslambdaric": (0.5, False),
        "p99, plain def / awslambdaric": (2.0, False),
        "throughput, bare trio / awslambdaric": (1.0, True),
        "throughput, a bare loop / awslambdaric": (1.0, True),
        "throughput, bare threads / awslambdaric": (1.0, True),
    }


def test_nobody_has_two_turns_in_a_row_and_all_slots_are_taken_in_every_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = list[tuple[Contender, int, int]]()

    def server(contender: Contender, slots: int, _: object) -> object:
        return nullcontext(SimpleNamespace(address=None, contender=contender, slots=slots))

    def noted(managed: SimpleNamespace, _: int, clients: int) -> Figures:
        turns.append((managed.contender, managed.slots, clients))
        return Figures(1, 1.0, [0.02])

    stand_ins = {
        "server_of": lambda _: ("here", server),
        "serve_some": lambda *_: None,
        "measure": lambda *_: Figures(memory=1, processes=1),
        "Load": lambda *_: SimpleNamespace(run=lambda _: None),
        "lap": noted,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(f"benchmarks.many.{name}", stand_in)

    many(1, 10)

    assert turns == [
        (contender, slots, clients)
        for slots, fewer in SLOTS.items()
        for _ in range(LAPS)
        for clients, contenders in ((fewer, CONTENDERS), (slots, WHERE_ALL_ARE_TAKEN))
        for contender in contenders
    ]


@pytest.mark.parametrize("error", [ConnectionRefusedError("not there"), TimeoutError("no answer")])
def test_one_that_does_not_serve_is_absent(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> Figures:
        raise error

    monkeypatch.setattr("benchmarks.many.server_of", lambda _: ("here", None))
    monkeypatch.setattr("benchmarks.many.measure", measure)
    with pytest.raises(Absent, match=f"okibi, async def with 16 slots: {error}"):
        many(1, 10)
