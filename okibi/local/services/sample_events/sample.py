"""A sample event in a JSON file, and how the user's content gets into it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from .content import pack

# JSON paths, and what makes the new value there of what the user gives and of the file's value.
Fields: TypeAlias = Mapping[str, Callable[[Any, Any], Any]]

FOLDER = Path(__file__).parent
# Records in an event at most (Lambda: batch size).
MOST_RECORDS = 10_000
# The fields of Changes that have a value for each record.
RECORD_FIELDS = ("body", "key", "group")


@attrs.frozen
class Changes:
    """The arguments of `sample_event`, as text. A default leaves the content of the sample.

    Body, key and group have one value for all records, or `count` values.
    """

    body: Sequence[str | bytes] = ()
    path: str = ""
    method: str = ""
    headers: Sequence[tuple[str, str]] = ()
    query: Sequence[tuple[str, str]] = ()
    route: str = ""
    key: Sequence[str] = ()
    group: Sequence[str] = ()
    count: int = 1

    def given(self) -> dict[str, Any]:
        """Return the fields that change the sample."""
        return {
            field.name: value
            for field in attrs.fields(Changes)
            if (value := getattr(self, field.name)) != field.default
        }

    def of_record(self, index: int) -> dict[str, Any]:
        """Return the fields that change the sample, with the values of one record."""
        return {
            name: value[index % len(value)] if name in RECORD_FIELDS else value
            for name, value in self.given().items()
        }


@attrs.frozen
class SampleEvent:
    """A sample event in the file `NAME.json` of this folder, as AWS documents the event.

    JSON paths are keys and indices with dots between them, such as `Records.0.body`.

    Args:
        name: the name, such as `sqs`.
        description: one line for the list of samples.
        content: the fields to fill, for each field of Changes that the event takes.
        records: JSON path of a list with one record, which `count` repeats; "" for none.
        most_records: the number of records that an event has at most.
        numbered: JSON paths within a record. The numbers there, or at the end of a text there,
            differ between records.
        packed: JSON path of an object that AWS sends as gzip in Base64; "" for none.
    """

    name: str
    description: str
    content: Mapping[str, Fields] = attrs.field(factory=dict[str, Fields])
    records: str = ""
    most_records: int = MOST_RECORDS
    numbered: Sequence[str] = ()
    packed: str = ""

    @property
    def takes(self) -> tuple[str, ...]:
        """The fields of Changes that change the event."""
        return (*self.content, "count") if self.records else tuple(self.content)

    def build(self, changes: Changes) -> dict[str, Any]:
        """Make the event.

        Raises:
            SampleError: the content does not fit the event.
        """
        sample = Path(FOLDER, f"{self.name}.json").read_bytes()
        # One event for each record; the first one gets the records of the others.
        events = [self._fill(sample, changes.of_record(index)) for index in range(changes.count)]
        event = events[0]
        if self.records:
            records = [
                self._number(index, _find(each, self.records)[0])
                for index, each in enumerate(events)
            ]
            _change(event, self.records, lambda _: records)
        if self.packed:
            _change(event, self.packed, pack)
        return event

    def _fill(self, sample: bytes, given: Mapping[str, Any]) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(sample)
        for field, value in given.items():
            for path, replace in self.content.get(field, {}).items():
                _change(event, path, partial(replace, value))
        return event

    def _number(self, index: int, record: dict[str, Any]) -> dict[str, Any]:
        for path in self.numbered:
            _change(record, path, partial(_count_up, index))
        return record


def _change(event: dict[str, Any], path: str, change: Callable[[Any], Any]) -> None:
    """Replace the value at a JSON path. A missing value is None for `change`."""
    parents, _, last = path.rpartition(".")
    place = _find(event, parents)
    place[last] = change(place.get(last))


def _find(event: dict[str, Any], path: str) -> Any:
    """Return the value at a JSON path; the event itself for an empty path."""
    place: Any = event
    for key in filter(None, path.split(".")):
        place = place[int(key) if isinstance(place, list) else key]
    return place


def _count_up(index: int, value: Any) -> Any:
    """Add the index to a number, or to the digits at the end of a text."""
    if isinstance(value, int):
        return value + index
    return re.sub(r"\d+$", lambda digits: f"{int(digits[0]) + index:0{len(digits[0])}}", value)
