"""`okibi logs`: each entry once, in the order of its time."""

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from okibi.cli.remote_logs import LogReader, parse_since
from okibi.deployment.aws import AwsError
from okibi.project.bad_input import BadInput
from tests.support.answering_aws import answering_aws


@attrs.define(eq=False)
class LogsOfAws:
    """Answers filter_log_events with pages of two entries."""

    entries: list[dict[str, Any]]
    asked: list[int] = attrs.Factory(list[int])

    def reader(self) -> LogReader:
        return LogReader(answering_aws(self.answer), "group", 0)

    def answer(self, operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        assert operation == "filter_log_events"
        self.asked.append(parameters["startTime"])
        entries = [e for e in self.entries if e["timestamp"] >= parameters["startTime"]]
        begin = int(parameters.get("nextToken", 0))
        more = {"nextToken": str(begin + 2)} if len(entries) > begin + 2 else {}
        return {"events": entries[begin : begin + 2], **more}


def entry(number: int, at: int, message: str = "") -> dict[str, Any]:
    return {"eventId": str(number), "timestamp": at, "message": f"{message or number}\n"}


def test_all_pages_are_read_in_order() -> None:
    logs = LogsOfAws([entry(1, 5_000), entry(2, 7_000), entry(3, 6_000)])

    assert logs.reader().read() == ["1", "3", "2"]


def test_an_entry_is_read_once_and_a_late_one_is_not_lost() -> None:
    logs = LogsOfAws([entry(1, 100_000)])
    reader = logs.reader()

    assert reader.read() == ["1"]
    logs.entries += [entry(2, 99_000), entry(3, 101_000)]
    assert reader.read() == ["2", "3"]
    assert reader.read() == []
    # Old entries are not asked for again and again.
    assert logs.asked[-1] == 101_000 - 30_000


def test_an_error_of_several_lines_is_shown_as_lines() -> None:
    logs = LogsOfAws([entry(1, 1_000, "[ERROR] Oops\rTraceback\r  File")])

    assert logs.reader().read() == ["[ERROR] Oops\nTraceback\n  File"]


def test_a_log_group_that_does_not_exist_yet_has_no_entries() -> None:
    def refuse(_operation: str, _parameters: object) -> Mapping[str, Any]:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")

    assert LogReader(answering_aws(refuse), "group", 0).read() == []


def test_since_needs_a_unit() -> None:
    with pytest.raises(BadInput, match="--since 10: must be a number and s, m, h or d"):
        parse_since("10")
