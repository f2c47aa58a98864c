"""Whole events with ten records of a queue, compared with Powertools on the official client."""

import json

import attrs

from okibi.bench.measured_runtime import OFFICIAL_CLIENT, start_command

from .batch_own_time import sqs_event
from .contenders import PLAIN, Contender
from .overhead import EventSize, print_medians, row, take_turns
from .reporting.rows import RatioRow

EVENT = EventSize("SQS, 10 records", json.dumps(sqs_event(10)), 0.5)
BY_POWERTOOLS = "batch_app.powertools"
POWERTOOLS = Contender(
    f"{OFFICIAL_CLIENT}, Powertools", start_command(OFFICIAL_CLIENT, BY_POWERTOOLS), BY_POWERTOOLS
)
BATCH = attrs.evolve(PLAIN, name="okibi, Batch", handler="batch_app.batch")


def batches(rounds: int, count: int) -> list[RatioRow]:
    """Measure whole events."""
    found = take_turns((BATCH, POWERTOOLS), EVENT, rounds, count)
    print_medians(EVENT, found)
    cpu = ((BATCH, "cpu_us"), (POWERTOOLS, "cpu_us"))
    return [row(EVENT, found, cpu, "CPU, Batch / Powertools on awslambdaric", (1.0, 0.75))]
