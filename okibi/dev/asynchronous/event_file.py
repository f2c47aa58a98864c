"""The file that keeps the queued events of one function (`okibi dev --data`).

Each change is one line, appended by one write: an event was accepted, an attempt failed, an event
left the queue. A process that is killed loses no line that was written. After a crash of the
machine the last lines may be missing: there is no fsync.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from .private_files import PrivateFile, replace_file
from .retry_rules import QueuedEvent


class EventFileError(OSError):
    """A file of queued events cannot be read. The message says which, where, and what to do."""


@attrs.define(eq=False)
class EventFile:
    """Records the changes of one function's queue. Created by `open_event_file`."""

    _file: PrivateFile

    def add_event(self, event: QueuedEvent) -> None:
        """Record an accepted event.

        Raises:
            OSError: the line could not be written, and nothing of it was.
        """
        self._append({"event": event})

    def add_attempt(self, event: QueuedEvent) -> None:
        """Record that an attempt failed, with the event's count of attempts."""
        self._append({"failed": event.request_id, "attempts": event.attempts})

    def add_end(self, request_id: str) -> None:
        """Record that an event left the queue."""
        self._append({"ended": request_id})

    def clear(self) -> None:
        """Empty the file: no event is queued."""
        self._file.clear()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.append(msgspec.json.encode(line) + b"\n")


def open_event_file(path: Path) -> tuple[EventFile, list[QueuedEvent]]:
    """Open the file of a function, and return its queued events, oldest first.

    The file is rewritten with these events alone. A last line without a line break was cut by a
    kill before its event was acknowledged. The line is dropped.

    Raises:
        EventFileError: a line is damaged.
        OSError: the file cannot be read or written.
    """
    events = read_events(path)
    lines = [msgspec.json.encode({"event": event}) + b"\n" for event in events]
    replace_file(path, b"".join(lines))
    return EventFile(PrivateFile(path)), events


def read_events(path: Path) -> list[QueuedEvent]:
    """Read the queued events of a file, oldest first; none if there is no file.

    Raises: see `open_event_file`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    events: dict[str, QueuedEvent] = {}
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            change = msgspec.json.decode(line, type=_Change)
        except msgspec.DecodeError as error:
            raise EventFileError(
                f"{path}, line {number}: not a queued event of okibi dev ({error}); remove the"
                " line, or the file"
            ) from error
        _apply(change, events)
    return list(events.values())


class _Change(msgspec.Struct):
    event: QueuedEvent | None = None
    failed: str = ""
    attempts: int = 0
    ended: str = ""


def _apply(change: _Change, events: dict[str, QueuedEvent]) -> None:
    if change.event is not None:
        events[change.event.request_id] = change.event
    elif change.failed in events:
        events[change.failed] = attrs.evolve(events[change.failed], attempts=change.attempts)
    else:
        events.pop(change.ended, None)
