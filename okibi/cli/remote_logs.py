"""`okibi logs`: print the log of a deployed function, and follow it."""

import re
import time
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from ..deployment.aws import Aws, AwsError, call_in_thread, connect
from ..deployment.remote_function import MISSING, describe_missing, find_function
from ..project.arguments import find_current_folder
from ..project.bad_input import BadInput
from ..project.reader import read_project
from .output import write_text
from .until_signal import run_command

OUTPUT = "the log"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
PAUSE = 1.0
# An entry can become visible this much later than entries with a later time.
OVERLAP_MS = 30_000


def print_logs(
    name: str | None,
    *,
    follow: bool = False,
    since: str = "10m",
    stack: str | None = None,
    region: str | None = None,
    endpoint_url: str | None = None,
) -> int:
    """Print the log of a deployed function.

    Args:
        name: a function of pyproject.toml, its handler, or a function on Lambda; None for the only
            function of the project.
        follow: wait for new lines until Ctrl-C.
        since: the age of the first lines, such as `10m` or `2h`.
        stack: the function's stack; None for the stack of the function's name.
        region: the AWS region; None for the choice of the AWS SDK.
        endpoint_url: an emulator's address.

    Returns:
        The exit code: 0, 2 for bad input, or 130 after Ctrl-C.
    """

    def find_log() -> LogReader:
        begin = time.time() - parse_since(since)
        project = read_project(find_current_folder())
        aws = connect(region or project.region or None, endpoint_url)
        function = find_function(aws, project, name, stack)
        return LogReader(aws, find_log_group(aws, function), int(begin * 1000))

    async def run() -> int:
        reader = await call_in_thread(find_log)()
        while True:
            # Written here: a thread that writes while the process ends would abort it.
            for line in await call_in_thread(reader.read)():
                write_text(line + "\n", OUTPUT)
            if not follow:
                return 0
            await trio.sleep(PAUSE)

    return run_command(OUTPUT, lambda: run)


def parse_since(text: str) -> float:
    """Parse a length of time into seconds.

    Raises:
        BadInput: the text is none.

    >>> parse_since("10m")
    600.0
    """
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise BadInput(f"--since {text}: must be a number and s, m, h or d, as in --since 10m")
    return float(found[1]) * UNITS[found[2]]


def find_log_group(aws: Aws, function: str) -> str:
    """Ask Lambda where a function logs.

    Raises:
        BadInput: there is no such function.
    """
    try:
        told = aws.call("lambda", "get_function_configuration", FunctionName=function)
    except AwsError as error:
        if error.code != MISSING:
            raise
        raise describe_missing(aws, function) from error
    logging: Mapping[str, str] = told.get("LoggingConfig") or {}
    return logging.get("LogGroup") or f"/aws/lambda/{told['FunctionName']}"


@attrs.define(eq=False)
class LogReader:
    """Reads a log group again and again, and each entry once.

    Args:
        aws: the account.
        group: the log group.
        since: milliseconds since the epoch.
    """

    _aws: Aws
    _group: str
    _since: int
    _seen: dict[str, int] = attrs.field(init=False, factory=dict[str, int])

    def read(self) -> list[str]:
        """Read the entries that no call has returned yet, in the order of their times."""
        try:
            pages = self._aws.pages(
                "logs", "filter_log_events", logGroupName=self._group, startTime=self._since
            )
        except AwsError as error:
            if error.code != MISSING:
                raise
            # Lambda makes the group of a function without one at its first log line.
            return []
        fresh = list[Mapping[str, Any]]()
        for event in (event for page in pages for event in page["events"]):
            if self._key(event) not in self._seen:
                fresh.append(event)
                self._seen[self._key(event)] = int(event["timestamp"])
        if self._seen:
            self._since = max(self._since, max(self._seen.values()) - OVERLAP_MS)
            self._seen = {key: at for key, at in self._seen.items() if at >= self._since}
        fresh.sort(key=lambda event: int(event["timestamp"]))
        # Lines of an error are joined by carriage returns.
        return [str(e["message"]).rstrip("\r\n").replace("\r", "\n") for e in fresh]

    @staticmethod
    def _key(event: Mapping[str, Any]) -> str:
        """The entry's id; an emulator may have none."""
        key = event.get("eventId")
        return str(key or (event.get("logStreamName"), event["timestamp"], event["message"]))
