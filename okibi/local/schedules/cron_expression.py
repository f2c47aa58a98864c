"""AWS's cron expressions (EventBridge: cron expressions reference).

They differ from Unix's: six fields, days of the week from 1 (SUN) to 7 (SAT), exactly one `?` among
the two fields for days, and the wildcards `L`, `W` and `#`.
"""

import calendar
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

import attrs

from .schedule_error import ScheduleError

FIRST_YEAR, LAST_YEAR = 1970, 2199
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SATURDAY = 7


@attrs.frozen
class DaysOfMonth:
    """A field of days that counts from the first day of a month.

    Args:
        days: the days; none of the wildcards below.
        from_last: `L` and `L-3`: days before the last one; None for none.
        weekday: `W`: the weekday (Monday to Friday) nearest to the one day, in the same month.
    """

    days: Sequence[int] = ()
    from_last: int | None = None
    weekday: bool = False

    def matching(self, year: int, month: int) -> list[int]:
        """Return the days of a month, in order."""
        last = calendar.monthrange(year, month)[1]
        days = self.days if self.from_last is None else (last - self.from_last,)
        inside = [day for day in days if 1 <= day <= last]
        return [_nearest_weekday(year, month, day) for day in inside] if self.weekday else inside


@attrs.frozen
class DaysOfWeek:
    """A field of days of the week: 1 for Sunday to 7 for Saturday.

    Args:
        days: the days.
        occurrence: `#`: only the one with this number in the month; -1 for the last (`L`). None for
            all.
    """

    days: Sequence[int]
    occurrence: int | None = None

    def matching(self, year: int, month: int) -> list[int]:
        """Return the days of a month, in order."""
        last = calendar.monthrange(year, month)[1]
        # Monday is 0 for Python and 2 for AWS.
        found = [
            day
            for day in range(1, last + 1)
            if (calendar.weekday(year, month, day) + 1) % 7 + 1 in self.days
        ]
        if self.occurrence is None:
            return found
        if self.occurrence == -1:
            return found[-1:]
        return found[self.occurrence - 1 : self.occurrence]


@attrs.frozen
class CronExpression:
    """The times of a `cron(…)`, without a time zone. Made by `parse_cron`.

    Args:
        minutes: the minutes of an hour, in order.
        hours: the hours of a day, in order.
        days: the days of a month.
        months: the months, in order.
        years: the years, in order.
    """

    minutes: Sequence[int]
    hours: Sequence[int]
    days: DaysOfMonth | DaysOfWeek
    months: Sequence[int]
    years: Sequence[int]

    def next_time(self, after: datetime) -> datetime | None:
        """Return the first time later than `after`; None if there is none.

        Args:
            after: a time without a time zone.

        Example:
            >>> parse_cron("0 3 ? * MON *").next_time(datetime(2026, 1, 1))
            datetime.datetime(2026, 1, 5, 3, 0)
        """
        start = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for day in self._days_from(start.date()):
            first = start.time() if day == start.date() else datetime.min.time()
            for hour in self.hours[bisect_left(self.hours, first.hour) :]:
                least = first.minute if hour == first.hour else 0
                at = bisect_left(self.minutes, least)
                if at < len(self.minutes):
                    return datetime(day.year, day.month, day.day, hour, self.minutes[at])
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        for year in self.years[bisect_left(self.years, first.year) :]:
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                for day in self.days.matching(year, month):
                    if (found := date(year, month, day)) >= first:
                        yield found


def parse_cron(text: str) -> CronExpression:
    """Parse the fields of an AWS cron expression, without `cron(` and `)`.

    Args:
        text: minutes, hours, day-of-month, month, day-of-week and year, separated by spaces.

    Raises:
        ScheduleError: a field is wrong.

    Example:
        >>> parse_cron("15 10 ? * 6L 2026").hours
        [10]
    """
    fields = text.split()
    if len(fields) != 6:
        hint = "; Unix's expressions have no year" if len(fields) == 5 else ""
        raise ScheduleError(
            f"cron({text}) has {len(fields)} fields; write six: minutes hours day-of-month month"
            f" day-of-week year, as in cron(0 3 * * ? *){hint}"
        )
    minutes, hours, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ScheduleError(
            f"cron({text}): exactly one of day-of-month and day-of-week must be ?, got {day} and"
            f" {weekday}"
        )
    return CronExpression(
        _MINUTES.parse(minutes),
        _HOURS.parse(hours),
        _parse_days_of_week(weekday) if day == "?" else _parse_days_of_month(day),
        _MONTHS.parse(month),
        _YEARS.parse(year),
    )


@attrs.frozen
class _Field:
    """Numbers in a field, with `*`, lists, ranges and steps."""

    name: str
    least: int
    most: int
    names: Sequence[str] = ()
    hint: str = ""
    # Whether a range may go on after the highest value, as 20-2 does for hours.
    wraps: bool = True

    def parse(self, text: str) -> list[int]:
        """Return the numbers of a field, in order."""
        return sorted({number for part in text.split(",") for number in self._part(part, text)})

    def number(self, text: str, field: str) -> int:
        """Return one number, or the number of a name.

        Args:
            text: the number's text.
            field: the text of the whole field, for the error.
        """
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.least
        if not re.fullmatch("[0-9]{1,4}", text) or not self.least <= int(text) <= self.most:
            raise self.error(field)
        return int(text)

    def error(self, field: str) -> ScheduleError:
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        wildcards = f", with {self.hint}" if self.hint else ""
        return ScheduleError(
            f"{self.name} {field!r}: must be {self.least} to {self.most}{names}, a list (a,b), a"
            f" range (a-b), a step (a/b) or *{wildcards}"
        )

    def _part(self, part: str, field: str) -> Iterable[int]:
        span, slash, step = part.partition("/")
        if slash and not re.fullmatch("0*[1-9][0-9]{0,3}", step):
            raise self.error(field)
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = self.least, self.most
        elif dash:
            begin, end = self.number(first, field), self.number(last, field)
        else:
            begin = self.number(span, field)
            end = self.most if slash else begin
        size = self.most - self.least + 1
        if begin > end:
            if not self.wraps:
                raise ScheduleError(
                    f"{self.name} {field!r}: the range {span} must begin with the lower value"
                )
            end += size
        numbers = range(begin, end + 1, int(step) if slash else 1)
        return ((number - self.least) % size + self.least for number in numbers)


_MINUTES = _Field("minutes", 0, 59)
_HOURS = _Field("hours", 0, 23)
_DAYS = _Field("day-of-month", 1, 31, hint="L, LW, L-3 or 3W")
_MONTHS = _Field("month", 1, 12, MONTHS)
_WEEKDAYS = _Field("day-of-week", 1, 7, DAYS, hint="L, 6L or 6#3")
_YEARS = _Field("year", FIRST_YEAR, LAST_YEAR, wraps=False)


def _parse_days_of_month(text: str) -> DaysOfMonth:
    found = re.fullmatch(r"L(?:-([0-9]{1,2}))?|LW|([0-9]{1,2})W", text.upper())
    if found is None:
        return DaysOfMonth(_DAYS.parse(text))
    if text.upper() == "LW":
        return DaysOfMonth(from_last=0, weekday=True)
    if found[2]:
        return DaysOfMonth((_DAYS.number(found[2], text),), weekday=True)
    before = int(found[1] or 0)
    if before > 30:
        raise _DAYS.error(text)
    return DaysOfMonth(from_last=before)


def _parse_days_of_week(text: str) -> DaysOfWeek:
    if text.upper() == "L":
        # The last day of the week.
        return DaysOfWeek((SATURDAY,))
    found = re.fullmatch(r"(\w+?)(?:L|#([1-5]))", text.upper())
    if found is None:
        return DaysOfWeek(_WEEKDAYS.parse(text))
    day = _WEEKDAYS.number(found[1], text)
    return DaysOfWeek((day,), int(found[2]) if found[2] else -1)


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Return the day from Monday to Friday that is nearest, in the same month."""
    last = calendar.monthrange(year, month)[1]
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day
