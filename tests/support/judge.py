"""Checks of a run in which actors were killed.

    each event           is received once, answered once, acknowledged
    its response         is its handler's own, begun once; or, if the worker that had begun the
                         event was killed, the runtime's error for that
    from its offer to    no time passes except the handler's own, the back-off of killed actors of
    the next /next       the lane, and times with fewer workers than lanes
    connections          one per lane, without refusals by the platform

Time is trio's virtual time, so a forgotten wake-up makes an event late, however soon another
wake-up repairs it.
"""

import json
import math
from collections import Counter

import attrs

from okibi.local.platform.invocation import Invocation
from okibi.local.platform.journal import EntryKind
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from tests.support.killer import Killer
from tests.support.memory_platform import RecordingLedger, World

BAD = {EntryKind.REFUSED, EntryKind.ABANDONED, EntryKind.SWALLOWED, EntryKind.TRUNCATED}
# Seconds that count as zero: the sums are of floats.
NONE = 1e-6


@attrs.frozen
class Result:
    """The result of a run.

    Args:
        steps: the number of task steps.
        lost: events answered with an error because their worker was killed, by error type.
        wrong: a line per violation.
    """

    steps: int
    lost: Counter[str]
    wrong: tuple[str, ...]


def judge(killer: Killer, world: World, ledger: RecordingLedger) -> Result:
    """Check a run that has ended."""
    wrong = [f"the instrument raised {error!r}" for error in killer.errors]
    wrong += [f"the process was ended: {why}" for why in world.failures]
    lost: Counter[str] = Counter()
    deliveries = {d.request_id: d for d in ledger.deliveries}
    if len(deliveries) != len(ledger.deliveries):
        wrong.append("an event was received twice")
    for invocation in world.invocations:
        delivery = deliveries.get(invocation.request_id)
        if invocation.outcome is None or delivery is None:
            wrong.append(f"{invocation.payload!r} was never answered")
            continue
        wrong += answered(killer, world, invocation, delivery, lost)
        late = lateness(killer, world, invocation, ledger, ledger.lane_of[delivery])
        if not late <= NONE:
            wrong.append(f"{invocation.payload!r} was through {late:.6g} s late")
        # FINISHED: functions ran after the response.
        if delivery.state not in (DeliveryState.ACKED, DeliveryState.FINISHED):
            wrong.append(f"{invocation.payload!r} is left {delivery.state.name}")
    wrong += [f"the API saw {e}" for e in world.journal.entries if e.kind in BAD]
    if world.connections != killer.point.lanes:
        wrong.append(f"{world.connections} connections were made")
    return Result(killer.steps, lost, tuple(wrong))


def answered(
    killer: Killer, world: World, invocation: Invocation, delivery: Delivery, lost: Counter[str]
) -> list[str]:
    """Return what is wrong with a response. Count one as lost if a killed worker explains it."""
    outcome, number = invocation.outcome, json.loads(invocation.payload)["n"]
    assert outcome is not None  # the caller checks
    if delivery.begun != 1:
        return [f"{invocation.payload!r} was begun {delivery.begun} times"]
    if world.is_own(number, outcome.payload):
        return []
    worker = delivery.worker.process() if delivery.worker is not None else None
    kind = outcome.error_type or ""
    if worker is None or kind not in killer.killed.get(worker, ()):
        return [f"{invocation.payload!r} came out as {outcome.payload!r}"]
    lost[kind] += 1
    return []


def lateness(
    killer: Killer, world: World, invocation: Invocation, ledger: RecordingLedger, lane: int
) -> float:
    """Return how many seconds an event was late; NaN if it never ended."""
    since, until = world.offered[invocation.request_id], invocation.ended_at
    explained = world.takes(json.loads(invocation.payload)["n"])
    waits = [(pause.since, pause.until) for pause in killer.pauses if pause.lane == lane]
    # There is one spare worker: a worker is missing only if two are down.
    for start, end in (*waits, *ledger.short):
        explained += max(0.0, min(until, end) - max(since, start))
    return math.nan if math.isnan(until) else until - since - explained
