"""AWS's rate expressions."""

from datetime import UTC, datetime, timedelta

import pytest

from okibi.local.schedules.rate_expression import parse_rate
from okibi.local.schedules.schedule_error import ScheduleError

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("1 minute", timedelta(minutes=1)),
        ("5 minutes", timedelta(minutes=5)),
        ("1 hour", timedelta(hours=1)),
        ("12 hours", timedelta(hours=12)),
        ("1 day", timedelta(days=1)),
        (" 30  days ", timedelta(days=30)),
    ],
)
def test_a_rate_is_a_value_and_a_unit(text: str, period: timedelta) -> None:
    assert parse_rate(text).period == period


def test_the_first_time_is_one_period_after_the_start() -> None:
    rate = parse_rate("5 minutes")

    assert rate.next_time(START, START) == START + timedelta(minutes=5)
    assert rate.next_time(START - timedelta(days=1), START) == START + timedelta(minutes=5)


def test_later_times_are_whole_periods_after_the_start() -> None:
    rate = parse_rate("5 minutes")

    after = START + timedelta(minutes=12)
    assert rate.next_time(after, START) == START + timedelta(minutes=15)
    assert rate.next_time(START + timedelta(minutes=15), START) == START + timedelta(minutes=20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 minute", "the unit must be minutes with a value of 5"),
        ("1 minutes", "the unit must be minute with a value of 1"),
        ("0 minutes", "the value must be an integer >= 1, got '0'"),
        ("-5 minutes", "the value must be an integer >= 1, got '-5'"),
        ("1.5 hours", "the value must be an integer >= 1, got '1.5'"),
        ("5 weeks", "the unit must be minutes, hours or days, got 'weeks'"),
        ("5", "the unit must be minutes, hours or days, got ''"),
        ("9999999 days", "the value must be at most 365000 days"),
    ],
)
def test_an_error_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_rate(text)

    assert message in str(refused.value)
