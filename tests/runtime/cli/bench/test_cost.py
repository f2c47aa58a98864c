"""The arithmetic of a month: Lambda against an always-on server."""

from pathlib import Path

import attrs
import pytest

from runtime.cli.bench.cost import (
    OWN,
    LambdaPrices,
    Load,
    Prices,
    Server,
    estimate,
    memory_for,
    read_prices,
    read_rate,
)
from runtime.cli.given import BadInput

PRICES = Prices(
    taken="2026-06",
    region="us-east-1",
    sources=[],
    hours_a_month=730,
    functions=LambdaPrices(0.20, 1769, {"x86_64": 0.0000166667, "arm64": 0.0000133334}),
    servers=[Server("small", 0.01, cores=2, memory_gb=2, sustained=0.2)],
)
LOAD = Load(monthly=3_000_000, busy_ms=[120.0], cpu_ms=0.0, memory_mb=1536, core_rate=100.0)


@pytest.mark.parametrize(
    ("load", "x86_64", "arm64"),
    [
        # AWS's own example, without its free tier: 540,000 GB-seconds and 3 million requests.
        (LOAD, 9.00 + 0.60, 7.20 + 0.60),
        # Less than a millisecond is a millisecond: 3,000 s of 1.5 GB.
        (attrs.evolve(LOAD, busy_ms=[0.2]), 0.075 + 0.60, 0.06 + 0.60),
        # A whole one stays one; each event is rounded by itself: 1 and 2 are 1.5 in the mean.
        (attrs.evolve(LOAD, busy_ms=[1.0]), 0.075 + 0.60, 0.06 + 0.60),
        (attrs.evolve(LOAD, busy_ms=[0.1, 1.1]), 0.1125 + 0.60, 0.09 + 0.60),
        # What waits is no longer with less memory, what computes is: 1769 / 176.9 times.
        (attrs.evolve(LOAD, busy_ms=[10.0], memory_mb=128), 0.0625 + 0.60, 0.05 + 0.60),
        (attrs.evolve(LOAD, busy_ms=[10.0], cpu_ms=10.0, memory_mb=128),
         139 * 0.00625 + 0.60, 139 * 0.005 + 0.60),
        # More memory than a core's makes nothing faster than it was measured.
        (attrs.evolve(LOAD, busy_ms=[10.0], cpu_ms=10.0, memory_mb=3538),
         1.7275 + 0.60, 1.382 + 0.60),
        # Threads may compute for longer than the event takes.
        (attrs.evolve(LOAD, busy_ms=[10.0], cpu_ms=30.0, memory_mb=128),
         139 * 0.00625 + 0.60, 139 * 0.005 + 0.60),
    ],
)  # fmt: skip
def test_lambda_costs_each_request_and_its_milliseconds_rounded_up(
    load: Load, x86_64: float, arm64: float
) -> None:
    on_x86, on_arm, _ = estimate(load, PRICES)

    assert (on_x86.where, on_arm.where) == ("Lambda, x86_64", "Lambda, arm64")
    assert on_x86.monthly == pytest.approx(x86_64, rel=1e-4)
    assert on_arm.monthly == pytest.approx(arm64, rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "count"),
    [
        # One serves 2 cores x 0.2 x 100/s = 40 a second.
        (1.0, 1),
        (40.0, 1),
        (40.1, 2),
        (400.0, 10),
    ],
)
def test_a_server_is_as_many_machines_as_the_rate_needs_and_at_least_one(
    rate: float, count: int
) -> None:
    server = estimate(attrs.evolve(LOAD, monthly=rate * 730 * 3600), PRICES)[-1]

    assert server.where == f"{count} x small, always on"
    assert server.monthly == pytest.approx(count * 7.30)
    assert server.how.startswith("40/s each; ")


def test_a_server_tells_up_to_what_rate_lambda_is_cheaper() -> None:
    # 7.80 for 3 million on arm64, 7.30 for the machine.
    assert estimate(LOAD, PRICES)[-1].how.endswith("; Lambda is cheaper up to 2.81M/month")


@pytest.mark.parametrize(
    ("text", "monthly"),
    [
        ("1/s", 2_628_000),
        ("1/second", 2_628_000),
        ("0.5/s", 1_314_000),
        ("60/min", 2_628_000),
        ("3600/h", 2_628_000),
        ("24/day", 730),
        ("1000000/month", 1_000_000),
        ("3M/month", 3_000_000),
        ("20k / month", 20_000),
    ],
)
def test_a_rate_is_requests_in_a_time(text: str, monthly: float) -> None:
    assert read_rate(text, 730) == pytest.approx(monthly)


@pytest.mark.parametrize("text", ["", "10", "10/", "/s", "x/s", "0/s", "-1/s", "1/year", "inf/s",
                                  "1e308G/s", "nan/s"])  # fmt: skip
def test_what_is_no_rate_is_said_in_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"--rate .*: give a number of requests in a time, as 10/s"):
        read_rate(text, 730)


@pytest.mark.parametrize(
    ("measured", "given"),
    [(None, 128), (40.0, 128), (128.0, 128), (128.1, 129), (20_000.0, 10_240)],
)
def test_a_function_is_given_what_it_was_measured_to_take_and_no_less_than_128_mb(
    measured: float | None, given: int
) -> None:
    assert memory_for(measured) == given


def test_the_prices_that_are_shipped_are_dated_and_have_a_source() -> None:
    prices = read_prices()

    assert prices.taken
    assert all(source.startswith("https://aws.amazon.com/") for source in prices.sources)
    assert set(prices.functions.gb_second) == {"x86_64", "arm64"}
    assert {server.name for server in prices.servers} == {"t4g.small", "t3.small", "m7g.medium"}


def test_prices_may_come_from_a_file_of_one_s_own(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(
        'taken = "now"\nregion = "here"\nsources = []\nhours_a_month = 700\n'
        "[lambda]\nrequests_per_million = 1\nfull_core_mb = 2000\ngb_second = { riscv = 2 }\n"
        '[[servers]]\nname = "mine"\nhourly = 1\ncores = 4\nmemory_gb = 8\n'
    )

    prices = read_prices(own)

    assert prices.functions == LambdaPrices(1, 2000, {"riscv": 2})
    assert prices.servers == [Server("mine", 1, 4, 8)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("taken = ", "Invalid"),
        ('taken = "now"', "Object missing required field"),
        ('taken = 1\nregion = ""\nsources = []\nhours_a_month = 1\n', "Expected `str`"),
        ("lambda = 1", "Expected `object`, got `int` - at `$.lambda`"),
        *(
            (OWN.read_text().replace(was, f"{was.partition(' =')[0]} = {number}"), "more than 0")
            for was in (
                "hourly = 0.0168",
                "arm64 = 0.0000133334",
                "memory_gb = 4",
                "full_core_mb = 1769",
            )
            for number in ("0", "inf", "nan")
            if not was.startswith("memory") or number == "0"
        ),
        (OWN.read_text().replace("million = 0.20", "million = -1"), "more than 0"),
    ],
)
def test_a_bad_file_of_prices_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(text)

    with pytest.raises(BadInput) as error:
        read_prices(own)

    words = str(error.value)
    assert words.startswith(f"--prices {own}: ")
    assert sentence in words
    assert "\n" not in words


def test_a_file_of_prices_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_prices(tmp_path / "none.toml")
