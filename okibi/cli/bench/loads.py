"""What a function was measured to take, of which its costs are reckoned."""

import statistics
from collections.abc import Sequence

from .cost import Load, memory_for
from .order import BenchOrder
from .record import Results, Run

__all__ = ["event_mb", "load_of", "measured_mb", "memory_of"]


def memory_of(order: BenchOrder, runs: Sequence[Run]) -> int:
    return order.memory_mb or memory_for(measured_mb(runs))


def measured_mb(runs: Sequence[Run]) -> float | None:
    return _most_mb([run.peak for run in runs])


def _most_mb(sizes: Sequence[int | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return max(known) / 2**20 if known else None


def event_mb(results: Results, name: str) -> float | None:
    """What each event in flight takes beside the first, in its process or in one of its own."""
    most = max(results.many, default=1)
    alone, together = results.functions[name], results.most_at_once(name)
    peak = measured_mb(alone)
    if _processes(together) <= _processes(alone):
        return _further(peak, measured_mb(together), most)
    # Peaks count for each process what they share; what is there at the end counts it once. What
    # an event takes and gives back each of them takes.
    end = _most_mb([run.memory for run in alone])
    kept = _further(end, _most_mb([run.memory for run in together]), most)
    if kept is None or end is None or peak is None:
        return None
    return kept + max(0.0, peak - end)


def _processes(runs: Sequence[Run]) -> int:
    return max((run.processes or 1 for run in runs), default=0)


def _further(one: float | None, all_of_them: float | None, count: int) -> float | None:
    if one is None or all_of_them is None:
        return None
    return max(0.0, all_of_them - one) / (count - 1)


def load_of(order: BenchOrder, results: Results, name: str) -> Load:
    runs = results.functions[name]
    each = statistics.mean(run.seconds / run.count for run in runs)
    return Load(
        monthly=order.rate,
        busy_ms=[each for run in runs for each in run.busy_ms],
        cpu_ms=_cpu_ms(runs) or each * 1000,
        memory_mb=memory_of(order, runs),
        process_mb=measured_mb(runs) or memory_of(order, runs),
        event_mb=event_mb(results, name),
        many_cpu_ms=_cpu_ms(results.most_at_once(name)),
    )


def _cpu_ms(runs: Sequence[Run]) -> float | None:
    """Processor time of an event; None where the system does not tell."""
    spent = [run.cpu_us for run in runs if run.cpu_us is not None]
    return statistics.median(spent) / 1000 if spent else None
