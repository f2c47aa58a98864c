"""Prices and rates, as they are given."""

import re
from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.bench.prices import OWN, LambdaPrices, Server, read_prices, read_rate


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


def test_the_prices_that_are_shipped_are_dated_and_have_a_source() -> None:
    prices = read_prices()

    assert re.fullmatch(r"20\d\d-\d\d", prices.taken)
    assert prices.sources
    assert all(source.startswith("https://aws.amazon.com/") for source in prices.sources)
    gb_second = prices.functions.gb_second
    assert gb_second["arm64"] < gb_second["x86_64"]
    # Of what has instances that earn credits, no core may be used all day.
    assert all((server.sustained < 1) is server.name.startswith("t") for server in prices.servers)


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
        (OWN.read_text().replace("sustained =", "sustaned ="), "`sustaned` in [[servers]] means"),
        (OWN.read_text().replace("[lambda]", "[lambda]\nfree = 1"), "`free` in [lambda] means"),
        (f"hours = 730\n{OWN.read_text()}", "`hours` means nothing"),
        (OWN.read_text().replace("sustained = 0.2", "sustained = 5"), "is a share of its cores"),
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
