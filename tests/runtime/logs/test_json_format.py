"""Records as JSON. test_logs_beside_official.py compares bytes with the official client."""

import json
import logging
import sys
from types import MappingProxyType
from typing import Any

import okibi
from okibi.actors.crash_report import CrashReport
from okibi.runtime.logs.json_format import JsonFormatter


def told(message: object, *arguments: object, level: int = 20, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("shop", level, "/app.py", 7, message, arguments, None, "f")
    vars(record).update(extra)
    line = JsonFormatter().format(record)
    assert line.endswith("}\n")
    assert "\n" not in line[:-1]
    value: dict[str, Any] = json.loads(line)
    return value


def test_none_is_left_out() -> None:
    assert list(told("a")) == ["timestamp", "level", "message", "logger"]
    assert list(told("a", order=None, aws_request_id="")) == [
        "timestamp", "level", "message", "logger", "requestId",
    ]  # fmt: skip


def test_extra_fields_do_not_replace_the_record_s_own() -> None:
    assert told("a", order=7, level_of="x")["order"] == 7
    assert "errorType" not in told("a", errorType="mine")
    assert told("a", taskName="Task-1")["taskName"] == "Task-1"


def test_a_dict_stays_an_object_unless_it_has_arguments() -> None:
    assert told({"a": object})["message"] == {"a": str(object)}
    assert told("%(a)s", {"a": 1})["message"] == "1"


def test_a_level_between_two_is_the_one_below() -> None:
    assert [told("a", level=n)["level"] for n in (5, 25, 59)] == ["NOTSET", "INFO", "CRITICAL"]


def test_an_exception_has_its_place_and_stack() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        record = told("a", exc_info=sys.exc_info())

    assert (record["errorType"], record["errorMessage"]) == ("ValueError", "no")
    assert record["location"] == "/app.py:f:7"
    assert record["stackTrace"][0].startswith(f'  File "{__file__}"')


def test_okibis_own_loggers_show_the_users_frames_only() -> None:
    try:
        okibi.Function(handler=None)
    except ValueError:
        [user, *others] = told("a", exc_info=sys.exc_info())["stackTrace"]
        own = told("a", name="okibi.actors", exc_info=sys.exc_info())["stackTrace"]

    assert others
    assert own == [user, "OKIBI_TRACE=full shows all frames"]


def test_a_crash_report_is_an_object() -> None:
    report = CrashReport(
        "/function/a", 2, "boom", state=MappingProxyType({"seen": "1"}), traceback="long"
    )

    assert told("a", report=report)["report"] == {
        "path": "/function/a", "incarnation": 2, "reason": "boom", "state": {"seen": "1"},
    }  # fmt: skip


def test_exc_info_without_an_exception_is_left_out() -> None:
    assert "errorType" not in told("a", exc_info=(None, None, None))
