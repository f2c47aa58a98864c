"""Schedules in their time zones, also when clocks change."""

from datetime import UTC, datetime

import pytest

from okibi.local.schedules.schedule_error import ScheduleError
from okibi.local.schedules.schedule_expression import parse_schedule

BERLIN = "Europe/Berlin"
START = datetime(2026, 1, 1, tzinfo=UTC)


def times(expression: str, timezone: str, after: str, count: int) -> list[str]:
    """The next times in UTC."""
    next_time, found = parse_schedule(expression, timezone, START), list[str]()
    moment: datetime | None = datetime.fromisoformat(after)
    for _ in range(count):
        assert moment is not None
        moment = next_time(moment)
        found.append("never" if moment is None else moment.strftime("%m-%d %H:%M"))
    return found


def test_a_cron_expression_is_of_its_time_zone() -> None:
    assert times("cron(0 9 * * ? *)", BERLIN, "2026-01-10T00:00Z", 1) == ["01-10 08:00"]
    assert times("cron(0 9 * * ? *)", BERLIN, "2026-07-10T00:00Z", 1) == ["07-10 07:00"]


def test_a_time_that_clocks_skip_is_skipped() -> None:
    # Clocks go from 2:00 to 3:00 on 29 March.
    assert times("cron(30 2 * * ? *)", BERLIN, "2026-03-28T00:00Z", 2) == [
        "03-28 01:30",
        "03-30 00:30",
    ]


def test_a_time_that_comes_twice_counts_the_first_time() -> None:
    # Clocks go from 3:00 back to 2:00 on 25 October, at 1:00 UTC.
    assert times("cron(30 2 * * ? *)", BERLIN, "2026-10-24T12:00Z", 2) == [
        "10-25 00:30",
        "10-26 01:30",
    ]
    assert times("cron(30 2 * * ? *)", BERLIN, "2026-10-25T01:10Z", 1) == ["10-26 01:30"]


def test_a_rate_ignores_changes_of_clocks() -> None:
    assert times("rate(1 day)", BERLIN, "2026-03-28T12:00Z", 2) == ["03-29 00:00", "03-30 00:00"]


def test_an_at_expression_has_one_time() -> None:
    table = "at(2026-05-01T12:00:00)"

    assert times(table, BERLIN, "2026-04-01T00:00Z", 2) == ["05-01 10:00", "never"]


@pytest.mark.parametrize(
    ("expression", "timezone", "message"),
    [
        (
            "rate 5 minutes",
            "UTC",
            "expression must be as in rate(5 minutes), cron(0 3 * * ? *) or at(",
        ),
        ("at(2026-05-01)", "UTC", "at(2026-05-01): must be yyyy-mm-ddThh:mm:ss"),
        ("at(2026-03-29T02:30:00)", BERLIN, "clocks in Europe/Berlin go forward, and skip this"),
        ("rate(5 minutes)", "Berlin", "timezone 'Berlin': unknown; give a name of the IANA"),
        ("rate(5 minutes)", "../etc", "timezone '../etc': unknown"),
    ],
)
def test_an_error_says_what_to_write(expression: str, timezone: str, message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_schedule(expression, timezone, START)

    assert message in str(refused.value)
