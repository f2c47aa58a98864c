"""A model of Lambda's side of a batch: what has an order, and what AWS sends again."""

from collections.abc import Sequence
from typing import Any, Literal

import attrs

from tests.support.batch_events import Item, identifier_of

# AWS's documents differ on streams and Kafka: only what is named comes again, or all from there on.
Reading = Literal["named", "from the lowest"]


def chain_of(service: str, order: str, item: Item) -> object:
    """Return what a record shares with those that are handled before and after it, or None."""
    if service == "SQS" or order == "none":
        return None
    whole = item.key if service == "SQS FIFO" else item.partition
    by_key = order == "key" and service in ("Kinesis", "DynamoDB", "Kafka")
    return (whole, item.key) if by_key else whole


def stop_group_of(service: str, order: str, item: Item) -> object:
    """Return what a record shares with those that do not start after its failure, or None."""
    if service in ("Kinesis", "DynamoDB", "ActiveMQ"):
        return "whole batch"
    if service == "SQS" or order == "none":
        return None
    return item.key if service == "SQS FIFO" else item.partition


def sent_again(service: str, records: Sequence[Item], answer: Any, reading: Reading) -> list[Item]:
    """Return the records that AWS sends again after an answer, in their order."""
    failures = {repr(each["itemIdentifier"]) for each in answer["batchItemFailures"]}
    named = [each for each in records if repr(identifier_of(service, each)) in failures]
    if service.startswith("SQS") or reading == "named":
        return named
    lowest: dict[str, int] = {}
    for each in named:
        lowest.setdefault(each.partition, each.number)
    return [each for each in records if each.number >= lowest.get(each.partition, each.number + 1)]


@attrs.define(eq=False)
class Trace:
    """What the handler has seen: each step with its record, in order.

    Attributes:
        steps: "begins", "ends" or "fails", and the record.
    """

    steps: list[tuple[str, Item]] = attrs.Factory(list[tuple[str, Item]])

    def of(self, what: str) -> list[Item]:
        return [item for step, item in self.steps if step == what]

    def place(self, what: str, item: Item) -> int:
        """Return when a record took a step; the end of the batch if never."""
        step = (what, item)
        return self.steps.index(step) if step in self.steps else len(self.steps)

    def most_at_once(self) -> int:
        count = most = 0
        for step, _ in self.steps:
            count += 1 if step == "begins" else -1
            most = max(most, count)
        return most

    def check_order(self, service: str, order: str, records: Sequence[Item]) -> None:
        """Check that records are handled in order, and that nothing starts after a failure."""
        for number, item in enumerate(records):
            begins = self.place("begins", item)
            for before in records[:number]:
                chain = chain_of(service, order, before)
                if chain is not None and chain == chain_of(service, order, item):
                    assert begins >= self.place("ends", before), f"{item} before {before}"
            for failed in self.of("fails"):
                stop = stop_group_of(service, order, failed)
                if stop is not None and stop == stop_group_of(service, order, item):
                    last = len(self.steps)
                    assert begins == last or begins < self.place("fails", failed), f"{item}"

    def check_complete(
        self, service: str, order: str, records: Sequence[Item], unreadable: list[Item]
    ) -> None:
        """Check that each record has begun that no failure has stopped."""
        failed = [*self.of("fails"), *unreadable]
        stops = {stop_group_of(service, order, each) for each in failed} - {None}
        seen = [*self.of("begins"), *unreadable]
        for item in records:
            assert item in seen or stop_group_of(service, order, item) in stops, f"{item}"
