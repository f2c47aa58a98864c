"""The arithmetic of a month: Lambda against an always-on server."""

import attrs
import pytest

from okibi.bench.cost import MonthlyLoad, billed_ms, clamp_memory, estimate
from okibi.bench.prices import LambdaPrices, Prices, ServerPrice

PRICES = Prices(
    taken="2026-06",
    region="us-east-1",
    sources=[],
    hours_a_month=730,
    functions=LambdaPrices(0.20, 1769, {"x86_64": 0.0000166667, "arm64": 0.0000133334}),
    servers=[ServerPrice("small", 0.01, cores=2, memory_gb=2, sustained=0.2)],
)
LOAD = MonthlyLoad(
    monthly=3_000_000, busy_ms=[120.0], cpu_ms=1e-9, memory_mb=1536, process_mb=1536.0
)  # fmt: skip


@pytest.mark.parametrize(
    ("load", "x86_64", "arm64"),
    [
        # AWS's own example, without its free tier: 540,000 GB-seconds and 3 million requests.
        (LOAD, 9.00 + 0.60, 7.20 + 0.60),
        # A fraction of a millisecond is billed as one: 3,000 s of 1.5 GB.
        (attrs.evolve(LOAD, busy_ms=[0.2]), 0.075 + 0.60, 0.06 + 0.60),
        # Whole milliseconds stay; each event is rounded alone: 1 and 2 have a mean of 1.5.
        (attrs.evolve(LOAD, busy_ms=[1.0]), 0.075 + 0.60, 0.06 + 0.60),
        (attrs.evolve(LOAD, busy_ms=[0.1, 1.1]), 0.1125 + 0.60, 0.09 + 0.60),
        # Less memory lengthens computing, by 1769 / 128, but not waiting.
        (attrs.evolve(LOAD, busy_ms=[10.0], memory_mb=128), 0.0625 + 0.60, 0.05 + 0.60),
        (attrs.evolve(LOAD, busy_ms=[10.0], cpu_ms=10.0, memory_mb=128),
         139 * 0.00625 + 0.60, 139 * 0.005 + 0.60),
        # More memory than for one core does not shorten the measured time.
        (attrs.evolve(LOAD, busy_ms=[10.0], cpu_ms=10.0, memory_mb=3538),
         1.7275 + 0.60, 1.382 + 0.60),
        # Each event alone: the short one computes for its whole time, the long one waits.
        (attrs.evolve(LOAD, busy_ms=[1.0, 101.0], cpu_ms=1.0, memory_mb=128),
         (14 + 114) / 2 * 0.00625 + 0.60, (14 + 114) / 2 * 0.005 + 0.60),
        # Threads may compute for longer than the event's duration.
        (attrs.evolve(LOAD, busy_ms=[10.0], cpu_ms=30.0, memory_mb=128),
         139 * 0.00625 + 0.60, 139 * 0.005 + 0.60),
    ],
)  # fmt: skip
def test_lambda_bills_requests_and_rounded_milliseconds(
    load: MonthlyLoad, x86_64: float, arm64: float
) -> None:
    on_x86, on_arm, _ = estimate(load, PRICES)

    assert (on_x86.where, on_arm.where) == ("Lambda, x86_64", "Lambda, arm64")
    assert on_x86.monthly == pytest.approx(x86_64, rel=1e-4)
    assert on_arm.monthly == pytest.approx(arm64, rel=1e-4)


@pytest.mark.parametrize(
    ("busy_ms", "cpu_ms", "billed"),
    [
        # Two events compute for 1 ms each, so the third computes for 40 ms: 42 ms in all.
        ([1.0, 41.0, 1.0], 14.0, (10 + 10 + 401) / 3),
        # One event computes for its 1 ms; the longer two share the rest equally.
        ([31.0, 1.0, 21.0], 7.0, (10 + 111 + 121) / 3),
        # The computing time is limited by the duration, in spite of threads.
        ([1.0, 41.0, 1.0], 99.0, (10 + 10 + 410) / 3),
    ],
)
def test_computing_time_moves_from_short_to_long_events(
    busy_ms: list[float], cpu_ms: float, billed: float
) -> None:
    load = attrs.evolve(LOAD, busy_ms=busy_ms, cpu_ms=cpu_ms, memory_mb=1024)

    assert billed_ms(load, full_core_mb=10_240) == pytest.approx(billed)


# Each core serves 100/s, and 0.2 of that permanently. Lambda costs 2.60 per million.
SERVED = attrs.evolve(LOAD, cpu_ms=10.0)


def monthly(rate: float) -> float:
    """Convert a rate per second to requests per month."""
    return rate * 730 * 3600


@pytest.mark.parametrize(
    ("rate", "count"),
    [
        # 2 GB hold the 1,536 MB of one process, so one core serves 20 a second.
        (1.0, 1),
        (20.0, 1),
        (20.1, 2),
        (200.0, 10),
    ],
)
def test_the_number_of_machines_follows_the_rate(rate: float, count: int) -> None:
    server = estimate(attrs.evolve(SERVED, monthly=monthly(rate)), PRICES)[-1]

    assert server.where == "small, always on"
    assert server.monthly == pytest.approx(count * 7.30)
    assert server.how.startswith(f"{count} of 20/s; ")


@pytest.mark.parametrize(
    ("memory_per_event_mb", "rate"),
    [
        # 2 GB minus two processes of 128 MB hold 64 further events of 28 MB: 66 in flight,
        # each busy for 200 ms, seven tenths of the time.
        (28.0, "231"),
        # The cores are the limit if an event needs little or no memory.
        (0.1, "4k"),
        (0.0, "4k"),
        (None, "4k"),
    ],
)
def test_memory_limits_the_events_in_flight_of_a_server(
    memory_per_event_mb: float | None, rate: str
) -> None:
    load = attrs.evolve(
        SERVED,
        cpu_ms=0.1,
        busy_ms=[100.0, 300.0],
        process_mb=128.0,
        memory_per_event_mb=memory_per_event_mb,
    )

    assert estimate(load, PRICES)[-1].how.startswith(f"1 of {rate}/s; ")


def test_a_function_larger_than_a_server_cannot_be_served() -> None:
    server = estimate(attrs.evolve(SERVED, process_mb=5999.4), PRICES)[-1]

    assert (server.monthly, server.how) == (None, "has 2 GB, needs 6,000 MB")


@pytest.mark.parametrize(
    ("load", "dearer"),
    [
        # 7.80 for 3 million on arm64, 7.30 for the machine.
        (LOAD, "below 2.81M"),
        # As little as that costs, however few there are.
        (attrs.evolve(LOAD, monthly=1e-320), "below 2.81M"),
        # It serves 20 a second, 52.6 million a month: 2.3 million is what Lambda would do for that.
        (attrs.evolve(LOAD, cpu_ms=10.0, busy_ms=[120.0]), "below "),
        # It serves 2 a second, which is less than Lambda does for its price.
        (attrs.evolve(LOAD, cpu_ms=100.0, busy_ms=[0.1]), "at any rate"),
    ],
)
def test_a_server_tells_at_what_rate_it_is_dearer(load: MonthlyLoad, dearer: str) -> None:
    assert f"; dearer {dearer}" in estimate(load, PRICES)[-1].how


# A machine serves 20 a second, 52.6 million a month; Lambda takes 7.30, as one does, for 34.2.
BESIDE = attrs.evolve(LOAD, busy_ms=[1.0], memory_mb=1024, many_cpu_ms=10.0)


@pytest.mark.parametrize(
    ("rate", "how", "is_dearer"),
    [
        (34e6, "1 of 20/s; dearer below 34.2M", True),
        (35e6, "1 of 20/s; dearer below 34.2M", False),
        (53e6, "2 of 20/s; 2 dearer below 68.4M", True),
        (69e6, "2 of 20/s; 2 dearer below 68.4M", False),
        # Three are needed from 105 million on, and cost what 102.7 do on Lambda.
        (106e6, "3 of 20/s; 2 dearer below 68.4M", False),
    ],
)
def test_the_break_even_rate_counts_the_needed_machines(
    rate: float, how: str, is_dearer: bool
) -> None:
    *functions, server = estimate(attrs.evolve(BESIDE, monthly=rate), PRICES)
    least = min(each.monthly or 0.0 for each in functions)

    assert (server.how, (server.monthly or 0.0) > least) == (how, is_dearer)


@pytest.mark.parametrize(
    ("measured", "given"),
    [(None, 128), (40.0, 128), (128.0, 128), (128.1, 129), (20_000.0, 10_240)],
)
def test_the_configured_memory_stays_within_lambdas_limits(
    measured: float | None, given: int
) -> None:
    assert clamp_memory(measured) == given
