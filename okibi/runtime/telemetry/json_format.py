"""Log records as JSON, one object a line. Imported when the platform asks for that format.

Keys, their order and the encoder are the official client's: what is None is left out, a dict
given as the message stays an object, and what JSON cannot say becomes its `str`. But the report of
an actor's crash is an object too, so that its path, its reason and its state can be asked for.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, cast

import attrs

from ...actors.logs import TRACE_HINT
from ...actors.safe_repr import TEXT_LIMIT, class_name, error_text
from .sinks import JSON

TIME: Final = "%Y-%m-%dT%H:%M:%SZ"

# What every record has; whatever else stands in one is an `extra` of the user's. The official
# list is older than `taskName`: asyncio's tasks are named there too, and the rest have none.
ORDINARY: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "aws_request_id", "tenant_id", "_frame_type"} - {"taskName"}
)


def _other(value: object) -> object:
    """What stands for a value that JSON cannot say."""
    # Late, as it is in the actors: a start that goes well makes no class for it.
    from ...actors.crash_report import CrashReport

    if isinstance(value, CrashReport):
        return attrs.asdict(value, filter=_told, value_serializer=_as_dict)
    return str(value)


def _told(field: "attrs.Attribute[Any]", value: object) -> bool:
    # Its traceback is the record's own.
    return bool(value) and field.name != "traceback"


def _as_dict(_: object, __: object, value: object) -> object:
    proxied = isinstance(value, MappingProxyType)
    return dict(cast("Mapping[str, object]", value)) if proxied else value


_encode = json.JSONEncoder(ensure_ascii=False, default=_other).encode


class JsonLines(logging.Formatter):
    """Formats a record as a line of JSON."""

    frames: int = JSON

    def __init__(self) -> None:
        super().__init__(datefmt=TIME)

    def format(self, record: logging.LogRecord) -> str:
        message: object = record.msg
        if not isinstance(message, dict) or record.args:
            message = record.getMessage()
        level = min(50, max(0, record.levelno)) // 10 * 10
        told: dict[str, Any] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(level),
            "message": message,
            "logger": record.name,
            "stackTrace": None,
            "errorType": None,
            "errorMessage": None,
            "requestId": getattr(record, "aws_request_id", None),
            "location": None,
        }
        # Outside an `except` block `logger.exception` gives a triple of None.
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            told["stackTrace"] = _stack_trace(record.name, trace)
            told["errorType"] = class_name(kind)
            told["errorMessage"] = error_text(error, TEXT_LIMIT)
            told["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        tenant = getattr(record, "tenant_id", None)
        if tenant is not None:
            told["tenantId"] = tenant
        for name, value in record.__dict__.items():
            if name not in ORDINARY and name not in told:
                told[name] = value
        return json_line(told)


def _stack_trace(logger: str, trace: TracebackType | None) -> list[str]:
    """The frames of an exception; okibi's own loggers leave out frames that are not the user's."""
    if logger.partition(".")[0] != "okibi":
        return traceback.format_tb(trace)
    # Imported here: only an error needs the module.
    from ...actors.short_traceback import format_frames

    lines, left_out = format_frames(trace)
    return [*lines, TRACE_HINT] if left_out else lines


def json_line(told: Mapping[str, Any]) -> str:
    """One object as a line, without what is None."""
    return _encode({name: value for name, value in told.items() if value is not None}) + "\n"
