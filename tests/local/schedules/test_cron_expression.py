"""AWS's cron expressions: times as pyawscron finds them, and errors that name the field."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pyawscron import AWSCron

from okibi.local.schedules.cron_expression import parse_cron
from okibi.local.schedules.schedule_error import ScheduleError

START = datetime(2026, 1, 1)  # a Thursday
HALF_HOURS = ("01:00", "01:30", "02:00", "02:30")


def times(text: str, count: int, start: datetime = START) -> list[str]:
    """The next times of an expression."""
    cron, found = parse_cron(text), list[str]()
    moment: datetime | None = start
    for _ in range(count):
        assert moment is not None
        moment = cron.next_time(moment)
        if moment is None:
            break
        found.append(moment.strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # AWS's own examples
        ("0 10 * * ? *", ["2026-01-01 10:00", "2026-01-02 10:00"]),
        ("15 12 * * ? *", ["2026-01-01 12:15", "2026-01-02 12:15"]),
        ("0 18 ? * MON-FRI *", ["2026-01-01 18:00", "2026-01-02 18:00", "2026-01-05 18:00"]),
        ("0 8 1 * ? *", ["2026-01-01 08:00", "2026-02-01 08:00"]),
        ("0/10 * ? * MON-FRI *", ["2026-01-01 00:10", "2026-01-01 00:20"]),
        (
            "0/30 20-2 ? * MON-FRI *",
            ["2026-01-01 00:30", *(f"2026-01-01 {t}" for t in HALF_HOURS), "2026-01-01 20:00"],
        ),
        # the days
        ("0 9 ? * 3#2 *", ["2026-01-13 09:00", "2026-02-10 09:00"]),
        ("0 9 ? * TUE#5 *", ["2026-03-31 09:00", "2026-06-30 09:00"]),
        ("0 9 ? * 6L *", ["2026-01-30 09:00", "2026-02-27 09:00"]),
        ("0 9 ? * FRIL *", ["2026-01-30 09:00", "2026-02-27 09:00"]),
        ("0 9 ? * L *", ["2026-01-03 09:00", "2026-01-10 09:00"]),
        ("0 9 ? * FRI-SUN *", ["2026-01-02 09:00", "2026-01-03 09:00", "2026-01-04 09:00"]),
        ("0 9 ? * 1,7 *", ["2026-01-03 09:00", "2026-01-04 09:00"]),
        ("0 0 L * ? *", ["2026-01-31 00:00", "2026-02-28 00:00"]),
        ("0 0 L-2 * ? *", ["2026-01-29 00:00", "2026-02-26 00:00"]),
        ("0 0 LW * ? *", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("0 0 3W * ? *", ["2026-01-02 00:00", "2026-02-03 00:00"]),
        ("0 0 1W 8 ? *", ["2026-08-03 00:00"]),
        ("0 0 31W 1,5 ? 2026", ["2026-01-30 00:00", "2026-05-29 00:00"]),
        ("0 0 29 2 ? *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 30 2 ? *", []),
        # lists, steps, names
        ("5,10-12,50/5 3 1 1 ? 2026", [f"2026-01-01 03:{m}" for m in ("05", 10, 11, 12, 50, 55)]),
        ("0 0 1 jan,DEC ? *", ["2026-12-01 00:00", "2027-01-01 00:00"]),
        ("0 0 1 1 ? 2020/7", ["2027-01-01 00:00", "2034-01-01 00:00"]),
        ("59 23 31 12 ? 2199", ["2199-12-31 23:59"]),
        ("0 0 1 1 ? 1970-2025", []),
    ],
)  # fmt: skip
def test_a_cron_expression_gives_these_times(text: str, expected: list[str]) -> None:
    assert times(text, max(len(expected), 1)) == expected


def numbers(least: int, most: int) -> "st.SearchStrategy[str]":
    """A field of numbers, as pyawscron parses them."""
    number = st.integers(least, most)
    pairs = st.tuples(number, number)
    return st.one_of(
        st.just("*"),
        st.lists(number, min_size=1, max_size=4).map(lambda many: ",".join(map(str, many))),
        pairs.map(lambda two: f"{min(two)}-{max(two)}"),
        pairs.map(lambda two: f"{two[0]}/{max(two[1], 1)}"),
    )


days_of_month = st.one_of(
    numbers(1, 31),
    st.just("L"),
    st.integers(1, 27).map("L-{}".format),
    st.integers(1, 28).map("{}W".format),
)
days_of_week = st.one_of(
    numbers(1, 7),
    st.sampled_from(["MON-FRI", "SUN,SAT", "TUE"]),
    st.integers(1, 7).map("{}L".format),
    st.tuples(st.integers(1, 7), st.integers(1, 5)).map(lambda two: f"{two[0]}#{two[1]}"),
)
days = st.one_of(days_of_month.map(lambda text: (text, "?")), days_of_week.map(lambda t: ("?", t)))


@given(
    minutes=numbers(0, 59),
    hours=numbers(0, 23),
    both_days=days,
    months=st.one_of(numbers(1, 12), st.sampled_from(["FEB", "JAN-MAR", "OCT,DEC"])),
    years=st.sampled_from(["*", "2026", "2026-2028", "2024/3"]),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)),
)
def test_times_are_those_that_pyawscron_finds(
    minutes: str, hours: str, both_days: tuple[str, str], months: str, years: str, start: datetime
) -> None:
    day, weekday = both_days
    text = f"{minutes} {hours} {day} {months} {weekday} {years}"
    # pyawscron looks for times from the next minute on, and gives up after some years.
    start = start.replace(second=0, microsecond=0)
    oracle = AWSCron(text)
    expected: datetime | None = start.replace(tzinfo=UTC)
    found: datetime | None = start
    for _ in range(4):
        assert expected is not None
        assert found is not None
        try:
            expected = oracle.occurrence(expected).next()
        except Exception:
            # pyawscron fails for days 29 to 31 in shorter months, and where it must look far.
            reject()
        found = parse_cron(text).next_time(found)
        if expected is None:
            limit = start + timedelta(days=365 * 5)
            assert found is None or found > limit
            break
        assert found == expected.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 3 * * *", "has 5 fields; write six: minutes hours day-of-month month day-of-week year"),
        ("0 3 * * * *", "exactly one of day-of-month and day-of-week must be ?, got * and *"),
        ("0 3 ? * ? *", "exactly one of day-of-month and day-of-week must be ?, got ? and ?"),
        ("60 3 * * ? *", "minutes '60': must be 0 to 59, a list (a,b)"),
        ("0 24 * * ? *", "hours '24': must be 0 to 23,"),
        ("0 3 0 * ? *", "day-of-month '0': must be 1 to 31,"),
        ("0 3 32W * ? *", "day-of-month '32W': must be 1 to 31,"),
        ("0 3 L-31 * ? *", "day-of-month 'L-31': must be 1 to 31,"),
        ("0 3 1 JANUARY ? *", "month 'JANUARY': must be 1 to 12 or JAN to DEC,"),
        ("0 3 ? * 0 *", "day-of-week '0': must be 1 to 7 or SUN to SAT,"),
        ("0 3 ? * 3#6 *", "day-of-week '3#6': must be 1 to 7 or SUN to SAT,"),
        ("0 3 ? * 3#1,6#3 *", "day-of-week '3#1,6#3': must be 1 to 7"),
        ("0 3 * * ? 1969", "year '1969': must be 1970 to 2199,"),
        ("0 3 * * ? 2030-2026", "the range 2030-2026 must begin with the lower value"),
        ("0/0 3 * * ? *", "minutes '0/0': must be 0 to 59,"),
        ("1,,2 3 * * ? *", "minutes '1,,2': must be 0 to 59,"),
        ("+1 3 * * ? *", "minutes '+1': must be 0 to 59,"),
    ],
)
def test_an_error_names_the_field(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_cron(text)

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
