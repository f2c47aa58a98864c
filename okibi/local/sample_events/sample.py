"""What a sample event is made from."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import attrs

from ..settings import ACCOUNT_ID

__all__ = ["ACCOUNT", "REGION", "TIME", "TIME_MS", "Changes", "Event", "SampleError", "SampleEvent"]

Event: TypeAlias = dict[str, Any]

ACCOUNT = ACCOUNT_ID
REGION = "us-east-1"
TIME = "2026-01-01T12:00:00.000Z"
"""The time of every sample event."""
TIME_MS = 1_767_268_800_000
"""The same, in milliseconds since the epoch."""


class SampleError(ValueError):
    """A sample event cannot be made. The message says what to write instead."""


@attrs.frozen
class Changes:
    """What an event is to contain in place of the sample's content.

    Args:
        body: the content as text, or None for the sample's.
        path: the path of a request, or the key of an object; "" for the sample's.
        method: the method of a request; "" for the sample's.
        headers: names and values, added to the headers of the sample's request.
        query: names and values of a request's query parameters.
        route: the route of a request, such as `/visits/{name}`; "" for the path itself.
        count: the number of records.
    """

    body: str | bytes | None = None
    path: str = ""
    method: str = ""
    headers: Sequence[tuple[str, str]] = ()
    query: Sequence[tuple[str, str]] = ()
    route: str = ""
    count: int = 1

    def text(self, default: str) -> str:
        """Return the body as text.

        Raises:
            SampleError: the body is not UTF-8.
        """
        if isinstance(self.body, bytes):
            try:
                return self.body.decode()
            except UnicodeDecodeError as error:
                raise SampleError(f"body: must be text in UTF-8 ({error})") from error
        return default if self.body is None else self.body

    def data(self, default: str) -> bytes:
        """Return the body as bytes."""
        return self.body if isinstance(self.body, bytes) else self.text(default).encode()

    def mapping(self, default: Event) -> Event:
        """Return the body as a JSON object.

        Raises:
            SampleError: it is none.
        """
        if self.body is None:
            return default
        try:
            value = json.loads(self.text(""))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise SampleError("""body: must be a JSON object, as in '{"order": 1}'""")
        return cast(Event, value)


@attrs.frozen
class SampleEvent:
    """One sample event.

    Args:
        name: its name, such as `sqs`.
        description: one line for the list of samples.
        build: makes the event.
        takes: the fields of Changes that change it.
    """

    name: str
    description: str
    build: Callable[[Changes], Event]
    takes: tuple[str, ...] = ()
