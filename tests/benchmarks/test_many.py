"""What is asked of many events at once."""

import pytest

from benchmarks.contenders import Absent
from benchmarks.many import many, rows_of
from tests.runtime.concurrent import OFFICIAL, OKIBI, PLAIN, Figures


def figures(seconds: float, memory: int, latency: float) -> list[Figures]:
    return [Figures(10, seconds, [latency] * 10, memory=memory << 20)] * 3


def test_more_throughput_is_better_and_less_of_all_else() -> None:
    found = {
        OKIBI: figures(1.0, 20, 0.02),
        OFFICIAL: figures(1.2, 60, 0.02),
        PLAIN: figures(1.3, 30, 0.03),
    }

    rows = {row.name: (round(row.median, 2), row.met) for row in rows_of(16, found)}
    assert rows == {
        "throughput, async def / awslambdaric": (1.2, True),
        "memory (PSS), async def / awslambdaric": (0.33, True),
        "p99, async def / awslambdaric": (1.0, True),
        "throughput, plain def / awslambdaric": (0.92, False),
        "memory (PSS), plain def / awslambdaric": (0.5, False),
        "p99, plain def / awslambdaric": (1.5, False),
    }


@pytest.mark.parametrize("error", [ConnectionRefusedError("not there"), TimeoutError("no answer")])
def test_one_that_does_not_serve_is_absent(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> Figures:
        raise error

    monkeypatch.setattr("benchmarks.many.server_of", lambda _: ("here", None))
    monkeypatch.setattr("benchmarks.many.measure", measure)
    with pytest.raises(Absent, match=f"okibi, async def with 16 slots: {error}"):
        many(1, 10)
