"""Log records as JSON, one object a line. Imported only if the platform asks for JSON.

Keys, their order and the encoder are those of the official client: None is left out, a dict as
message stays an object, other values become their `str`. One addition: the crash report of an actor
is an object too, so that log queries can select its path, reason and state.
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

# The attributes of every record. All others come from `extra`. As in the official client's list,
# `taskName` is missing, so the names of asyncio tasks are logged.
STANDARD_ATTRIBUTES: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "aws_request_id", "tenant_id", "_frame_type"} - {"taskName"}
)


def _replacement(value: object) -> object:
    """Replace a value that JSON cannot represent."""
    # Imported late: a successful start needs no such class.
    from ...actors.crash_report import CrashReport

    if isinstance(value, CrashReport):
        return attrs.asdict(value, filter=_is_logged, value_serializer=_as_dict)
    return str(value)


def _is_logged(field: "attrs.Attribute[Any]", value: object) -> bool:
    # The record has the traceback already.
    return bool(value) and field.name != "traceback"


def _as_dict(_: object, __: object, value: object) -> object:
    proxied = isinstance(value, MappingProxyType)
    return dict(cast("Mapping[str, object]", value)) if proxied else value


_encode = json.JSONEncoder(ensure_ascii=False, default=_replacement).encode


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    frames: int = JSON

    def __init__(self) -> None:
        super().__init__(datefmt=TIME)

    def format(self, record: logging.LogRecord) -> str:
        message: object = record.msg
        if not isinstance(message, dict) or record.args:
            message = record.getMessage()
        level = min(50, max(0, record.levelno)) // 10 * 10
        fields: dict[str, Any] = {
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
        # Outside an `except` block, `logger.exception` passes a triple of None.
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            fields["stackTrace"] = _stack_trace(record.name, trace)
            fields["errorType"] = class_name(kind)
            fields["errorMessage"] = error_text(error, TEXT_LIMIT)
            fields["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        tenant = getattr(record, "tenant_id", None)
        if tenant is not None:
            fields["tenantId"] = tenant
        for name, value in record.__dict__.items():
            if name not in STANDARD_ATTRIBUTES and name not in fields:
                fields[name] = value
        return json_line(fields)


def json_line(fields: Mapping[str, Any]) -> str:
    """Return an object as a line of JSON, without the values that are None."""
    return _encode({name: value for name, value in fields.items() if value is not None}) + "\n"


def _stack_trace(logger: str, trace: TracebackType | None) -> list[str]:
    """Return the frames of an exception; okibi's own loggers show only the user's frames."""
    if logger.partition(".")[0] != "okibi":
        return traceback.format_tb(trace)
    # Imported here: only an error needs the module.
    from ...actors.short_traceback import format_frames

    lines, left_out = format_frames(trace)
    return [*lines, TRACE_HINT] if left_out else lines
