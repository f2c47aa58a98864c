"""An SQS queue that invokes the function, with partial failures and a dead-letter queue."""

from ...project.settings import ProjectFunction
from .dead_letters import OF_QUEUE, build_dead_letter_queue
from .intrinsics import Resource, Resources, get_att
from .lambda_function import target_arn

LONGEST_VISIBILITY = 43_200


def build_queues(function: ProjectFunction) -> Resources:
    """Build the queue and its dead-letter queue."""
    queue = function.queue
    if queue is None:
        return {}
    # Lambda's documentation: six times the function's time-out, plus the batching window.
    visibility = min(LONGEST_VISIBILITY, 6 * function.timeout + queue.batching_window)
    kind: Resource = {"FifoQueue": True} if queue.fifo else {}
    return {
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                **kind,
                "VisibilityTimeout": visibility,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {
                    "deadLetterTargetArn": get_att(OF_QUEUE, "Arn"),
                    "maxReceiveCount": queue.max_receive_count,
                },
            },
        },
        OF_QUEUE: build_dead_letter_queue(fifo=queue.fifo),
    }


def build_queue_mapping(function: ProjectFunction) -> Resources:
    """Build what sends the queue's messages to the function."""
    queue = function.queue
    if queue is None:
        return {}
    properties: Resource = {
        "EventSourceArn": get_att("Queue", "Arn"),
        "FunctionName": target_arn(function),
        "BatchSize": queue.batch_size,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    if queue.batching_window:
        properties["MaximumBatchingWindowInSeconds"] = queue.batching_window
    if queue.maximum_concurrency:
        properties["ScalingConfig"] = {"MaximumConcurrency": queue.maximum_concurrency}
    return {"QueueMapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}}
