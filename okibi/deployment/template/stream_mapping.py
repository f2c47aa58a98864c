"""What sends the records of a Kinesis stream, or of a table's stream, to the function."""

from ...project.settings import ProjectFunction
from .dead_letters import OF_STREAM, build_dead_letter_queue, build_reading
from .intrinsics import Resource, Resources, make_statement
from .lambda_function import target_arn

# Lambda's documentation: permissions of the execution role.
READ_KINESIS = (
    *("kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords"),
    *("kinesis:GetShardIterator", "kinesis:ListShards", "kinesis:SubscribeToShard"),
)
READ_DYNAMODB = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")


def build_stream_mapping(function: ProjectFunction) -> Resources:
    """Build the mapping and its dead-letter queue. The stream exists already."""
    stream = function.stream
    if stream is None:
        return {}
    properties: Resource = {
        "EventSourceArn": stream.arn,
        "FunctionName": target_arn(function),
        **build_reading(stream, OF_STREAM),
        "ParallelizationFactor": stream.parallelization_factor,
    }
    return {
        OF_STREAM: build_dead_letter_queue(),
        "StreamMapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties},
    }


def list_stream_statements(function: ProjectFunction) -> list[Resource]:
    """List the rights to read the stream."""
    if function.stream is None:
        return []
    arn = function.stream.arn
    if ":kinesis:" in arn:
        return [make_statement(READ_KINESIS, arn)]
    # ListStreams takes all streams of a table, and not one.
    streams = f"{arn.rpartition('/')[0]}/*"
    return [
        make_statement(READ_DYNAMODB, arn),
        make_statement(("dynamodb:ListStreams",), streams),
    ]
