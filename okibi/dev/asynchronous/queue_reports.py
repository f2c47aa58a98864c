"""Reports about queued events: frozen values for the lines that `okibi dev` prints."""

from pathlib import Path
from typing import TypeAlias

import attrs

from .retry_rules import Condition


@attrs.frozen
class EventRetried:
    """An event will run again after an error of the function.

    Args:
        function: the function's name.
        request_id: the request id of all attempts.
        attempts: the number of failed attempts.
        delay: seconds until the next attempt.
    """

    function: str
    request_id: str
    attempts: int
    delay: float


@attrs.frozen
class EventDropped:
    """An event will not run again. Its record is in the on-failure file.

    Args:
        function: the function's name.
        request_id: the request id of all attempts.
        attempts: the number of failed attempts.
        condition: the reason for the drop.
        file: the on-failure file.
    """

    function: str
    request_id: str
    attempts: int
    condition: Condition
    file: Path


QueueReport: TypeAlias = EventRetried | EventDropped
