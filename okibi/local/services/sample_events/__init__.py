"""Sample events of AWS services, by name and with changes.

Example:
    >>> event = sample_event("sqs", body={"order": 1}, count=2)
    >>> [record["body"] for record in event["Records"]]
    ['{"order": 1}', '{"order": 1}']
"""

from .catalog import SAMPLES, describe_samples, sample_event
from .content import SampleError

__all__ = ["SAMPLES", "SampleError", "describe_samples", "sample_event"]
