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


@attrs.frozen
class Changes:
    """The arguments of `sample_event`, as text. A default leaves the content of the sample."""

    body: str | bytes | None = None
    path: str = ""
    method: str = ""
    headers: Sequence[tuple[str, str]] = ()
    query: Sequence[tuple[str, str]] = ()
    route: str = ""
    count: int = 1

    def given(self) -> dict[str, Any]:
        """Return the fields that change the sample."""
        return {
            field.name: value
            for field in attrs.fields(Changes)
            if (value := getattr(self, field.name)) != field.default
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
        numbered: JSON paths within a record. The numbers there, or at the end of a text there,
            differ between records.
        packed: JSON path of an object that AWS sends as gzip in Base64; "" for none.
    """

    name: str
    description: str
    content: Mapping[str, Fields] = attrs.field(factory=dict[str, Fields])
    records: str = ""
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
        event: dict[str, Any] = json.loads(Path(FOLDER, f"{self.name}.json").read_bytes())
        for field, given in changes.given().items():
            for path, replace in self.content.get(field, {}).items():
                _change(event, path, partial(replace, given))
        if self.records:
            _change(event, self.records, partial(self._repeat, changes.count))
        if self.packed:
            _change(event, self.packed, pack)
        return event

    def _repeat(self, count: int, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        record = json.dumps(records[0])
        repeated: list[dict[str, Any]] = [json.loads(record) for _ in range(count)]
        for index, each in enumerate(repeated):
            for path in self.numbered:
                _change(each, path, partial(_count_up, index))
        return repeated


def _change(event: dict[str, Any], path: str, change: Callable[[Any], Any]) -> None:
    """Replace the value at a JSON path. A missing value is None for `change`."""
    *parents, last = path.split(".")
    place: Any = event
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[last] = change(place.get(last))


def _count_up(index: int, value: Any) -> Any:
    """Add the index to a number, or to the digits at the end of a text."""
    if isinstance(value, int):
        return value + index
    return re.sub(r"\d+$", lambda digits: f"{int(digits[0]) + index:0{len(digits[0])}}", value)
