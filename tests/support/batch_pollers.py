"""Pollers of a stream and of Kafka: invoke a function until AWS would have nothing to send."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.support.batch_events import Item, make_event
from tests.support.batch_model import Reading, sent_again


async def poll(
    invoke: Callable[[Any], Awaitable[Any]],
    service: str,
    records: Sequence[Item],
    reading: Reading,
    size: int,
) -> int:
    """Send all records, and those again that an answer names, until none is left.

    Args:
        invoke: invokes the function with an event.
        service: the service of the records.
        records: the records of one shard, or of the partitions of a topic.
        reading: AWS's rule for what comes again.
        size: the number of records in an event (Lambda: `BatchSize`).

    Returns:
        The number of events.
    """
    waiting, events = [*records], 0
    while waiting:
        batch, rest = waiting[:size], waiting[size:]
        answer = await invoke(make_event(service, batch))
        # Retries come before new records of their shard or partition.
        waiting = sent_again(service, batch, answer, reading) + rest
        events += 1
    return events
