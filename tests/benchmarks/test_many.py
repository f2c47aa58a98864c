"""The rows and turns of many events at once."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from benchmarks.many import (
    BARE_LOOP,
    BARE_TRIO,
    CONTENDERS,
    SLOTS,
    WHERE_ALL_ARE_TAKEN,
    Measured,
    many,
    rows_of,
)
from benchmarks.reporting.rows import LAPS
from tests.endurance.concurrent import OFFICIAL, OKIBI, PLAIN, Figures
from tests.endurance.managed import ManagedContender


def test_throughput_is_the_median_lap_and_p99_is_of_all_laps() -> None:
    slow, fast = Figures(10, 2.0, [0.04] * 10), Figures(10, 1.0, [0.02] * 10)
    found = {
        OKIBI: Measured([Figures(memory=1)], [fast] * (LAPS - 1) + [slow]),
        **{each: Measured([Figures(memory=1)], [fast] * LAPS) for each in (OFFICIAL, PLAIN)},
        **{each: Measured([Figures(memory=1)], [fast] * LAPS) for each in (BARE_TRIO, BARE_LOOP)},
    }

    throughput, _, tail, *_ = rows_of(16, found)

    assert throughput.ratios == (1.0,)
    assert tail.ratios == (2.0,)


def test_no_contender_has_two_turns_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = list[tuple[ManagedContender, int, int]]()

    def server(contender: ManagedContender, slots: int, _: object) -> object:
        return nullcontext(SimpleNamespace(address=None, contender=contender, slots=slots))

    def fake_lap(managed: SimpleNamespace, _: int, clients: int) -> Figures:
        turns.append((managed.contender, managed.slots, clients))
        return Figures(1, 1.0, [0.02])

    stand_ins = {
        "server_of": lambda _: ("here", server),
        "serve_some": lambda *_: None,
        "measure": lambda *_: Figures(memory=1, processes=1),
        "Load": lambda *_: SimpleNamespace(run=lambda _: None),
        "lap": fake_lap,
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
