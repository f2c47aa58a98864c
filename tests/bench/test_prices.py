"""Price lists and rates."""

import re
from pathlib import Path

import pytest

from okibi.bench.prices import SHIPPED_PRICES, LambdaPrices, ServerPrice, read_prices, read_rate
from okibi.project.bad_input import BadInput


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
def test_a_rate_is_converted_to_requests_per_month(text: str, monthly: float) -> None:
    assert read_rate(text, 730) == pytest.approx(monthly)


@pytest.mark.parametrize("text", ["", "10", "10/", "/s", "x/s", "0/s", "-1/s", "1/year", "inf/s",
                                  "1e308G/s", "nan/s"])  # fmt: skip
def test_a_bad_rate_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_rate(text, 730)
    assert str(refused.value) == (
        f"--rate {text}: must be requests per time, as in --rate 10/s, 20k/day or 3M/month"
    )


def test_the_shipped_prices_have_a_date_and_sources() -> None:
    prices = read_prices()

    assert re.fullmatch(r"20\d\d-\d\d", prices.taken)
    assert prices.sources
    assert all(source.startswith("https://aws.amazon.com/") for source in prices.sources)
    gb_second = prices.functions.gb_second
    assert gb_second["arm64"] < gb_second["x86_64"]
    # Instances that earn CPU credits cannot use a whole core permanently.
    assert all((server.sustained < 1) is server.name.startswith("t") for server in prices.servers)


def test_prices_may_come_from_the_users_file(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(
        'taken = "now"\nregion = "here"\nsources = []\nhours_a_month = 700\n'
        "[lambda]\nrequests_per_million = 1\nfull_core_mb = 2000\ngb_second = { riscv = 2 }\n"
        '[[servers]]\nname = "mine"\nhourly = 1\ncores = 4\nmemory_gb = 8\n'
    )

    prices = read_prices(own)

    assert prices.functions == LambdaPrices(1, 2000, {"riscv": 2})
    assert prices.servers == [ServerPrice("mine", 1, 4, 8)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("taken = ", "Invalid"),
        ('taken = "now"', "Object missing required field"),
        ('taken = 1\nregion = ""\nsources = []\nhours_a_month = 1\n', "Expected `str`"),
        ("lambda = 1", "Expected `object`, got `int` - at `$.lambda`"),
        *(
            (
                SHIPPED_PRICES.read_text().replace(was, f"{was.partition(' =')[0]} = {number}"),
                "must be > 0",
            )
            for was in (
                "hourly = 0.0168",
                "arm64 = 0.0000133334",
                "memory_gb = 4",
                "full_core_mb = 1769",
            )
            for number in ("0", "inf", "nan")
            if not was.startswith("memory") or number == "0"
        ),
        (SHIPPED_PRICES.read_text().replace("million = 0.20", "million = -1"), "must be > 0"),
        (
            SHIPPED_PRICES.read_text().replace("sustained =", "sustaned ="),
            "unknown key `sustaned` in [[servers]]",
        ),
        (
            SHIPPED_PRICES.read_text().replace("[lambda]", "[lambda]\nfree = 1"),
            "unknown key `free` in [lambda]",
        ),
        (f"hours = 730\n{SHIPPED_PRICES.read_text()}", "unknown key `hours`"),
        (
            SHIPPED_PRICES.read_text().replace("sustained = 0.2", "sustained = 5"),
            "must be a share of its cores",
        ),
    ],
)
def test_a_bad_price_file_is_reported_in_one_line(text: str, sentence: str, tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(text)

    with pytest.raises(BadInput) as error:
        read_prices(own)

    words = str(error.value)
    assert words.startswith(f"--prices {own}: ")
    assert sentence in words
    assert "\n" not in words
