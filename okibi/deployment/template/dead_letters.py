"""The queues that keep what failed too often, and what sends there."""

from ...project.settings import ProjectFunction, ReadingSettings
from .intrinsics import Resource, get_att

# The dead-letter queue of each source of batches.
OF_QUEUE, OF_STREAM, OF_KAFKA = "DeadLetterQueue", "StreamDeadLetterQueue", "KafkaDeadLetterQueue"
FOURTEEN_DAYS = 1_209_600


def list_dead_letter_queues(function: ProjectFunction) -> list[str]:
    """List the dead-letter queues of a function by their logical ids."""
    sources = {OF_QUEUE: function.queue, OF_STREAM: function.stream, OF_KAFKA: function.kafka}
    return [name for name, source in sources.items() if source is not None]


def build_dead_letter_queue(*, fifo: bool = False) -> Resource:
    """Build a dead-letter queue. That of a FIFO queue must be a FIFO queue (SQS)."""
    kind: Resource = {"FifoQueue": True} if fifo else {}
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            **kind,
            "MessageRetentionPeriod": FOURTEEN_DAYS,
            "SqsManagedSseEnabled": True,
        },
    }


def build_reading(settings: ReadingSettings, dead_letters: str) -> Resource:
    """Build the properties of a mapping that reads a stream or a topic.

    Without limits, Lambda would send a batch that fails again until its records expire, and nothing
    behind it.

    Args:
        settings: the stream or the topic.
        dead_letters: the logical id of its dead-letter queue.
    """
    properties: Resource = {
        "StartingPosition": settings.starting_position.upper(),
        "BatchSize": settings.batch_size,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        # Lambda splits the batch at the record that the answer names first, and sends only what
        # begins there again. Without such an answer, as after a time-out, it halves the batch.
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": settings.maximum_retry_attempts,
        "MaximumRecordAgeInSeconds": settings.maximum_record_age,
        "DestinationConfig": {"OnFailure": {"Destination": get_att(dead_letters, "Arn")}},
    }
    if settings.batching_window:
        properties["MaximumBatchingWindowInSeconds"] = settings.batching_window
    return properties
