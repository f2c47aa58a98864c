"""The record of an event that was dropped (Lambda: on-failure destinations)."""

import json
from datetime import UTC, datetime
from typing import Any

from ...local.platform.invocation import InvokeResult
from .retry_rules import DropEvent

LATEST = "$LATEST"


def failure_record(
    drop: DropEvent, function_arn: str, result: InvokeResult | None, now: float
) -> dict[str, Any]:
    """Build the record that Lambda sends to an on-failure destination.

    Args:
        drop: the event and why it was dropped.
        function_arn: the function's ARN, used if the invoker named none.
        result: the result of the last attempt. None if there was none: the record has no
            `responseContext` and no `responsePayload` then.
        now: seconds since the epoch.
    """
    arn = drop.event.function_arn or function_arn
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": moment.replace("+00:00", "Z"),
        "requestContext": {
            "requestId": drop.event.request_id,
            # An unqualified ARN has seven parts.
            "functionArn": arn if arn.count(":") > 6 else f"{arn}:{LATEST}",
            "condition": str(drop.condition),
            "approximateInvokeCount": drop.event.attempts,
        },
        "requestPayload": _json_or_text(drop.event.payload),
    }
    if result is not None:
        record["responseContext"] = {
            "statusCode": result.status_code,
            "executedVersion": LATEST,
            "functionError": result.function_error,
        }
        record["responsePayload"] = _json_or_text(result.payload.decode("utf-8", "replace"))
    return record


def encode_record(record: dict[str, Any]) -> bytes:
    """Encode a record as one line of JSON."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
