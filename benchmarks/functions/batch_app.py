"""A batch's records, handled by okibi.batch, and by Powertools for AWS's client."""

from typing import Any

from aws_lambda_powertools.utilities import batch as powertools_batch

from okibi.batch import Batch, Record

# Powertools' function has no complete types.
process = getattr(powertools_batch, "process_partial_response")  # noqa: B009


def handle(record: Record[str]) -> None: ...


def handle_for_powertools(record: Any) -> None: ...


batch = Batch(handle)


def powertools(event: Any, context: Any) -> Any:
    processor = powertools_batch.BatchProcessor(event_type=powertools_batch.EventType.SQS)
    return process(event, handle_for_powertools, processor, context)
