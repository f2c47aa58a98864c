"""Derive the load for the cost estimate from the measured runs."""

import statistics
from collections.abc import Sequence

from .cost import MonthlyLoad, clamp_memory
from .options import BenchOptions
from .results import BenchResults, RunResult


def function_memory_mb(options: BenchOptions, runs: Sequence[RunResult]) -> int:
    return options.memory_mb or clamp_memory(peak_mb(runs))


def peak_mb(runs: Sequence[RunResult]) -> float | None:
    return _max_mb([run.peak for run in runs])


def _max_mb(sizes: Sequence[int | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return max(known) / 2**20 if known else None


def memory_per_event_mb(results: BenchResults, runtime: str) -> float | None:
    """Return the memory in MB of each further event in flight, in the same process or another."""
    most = max(results.many, default=1)
    alone, together = results.function_runs[runtime], results.most_at_once(runtime)
    peak = peak_mb(alone)
    if _processes(together) <= _processes(alone):
        return _per_further_event(peak, peak_mb(together), most)
    # With a process per event: the sum of peaks counts shared pages once per process, but the
    # memory at the end counts them once. So take the memory at the end, and add the memory that
    # one process allocates and frees again during an event.
    end = _max_mb([run.memory for run in alone])
    kept = _per_further_event(end, _max_mb([run.memory for run in together]), most)
    if kept is None or end is None or peak is None:
        return None
    return kept + max(0.0, peak - end)


def _processes(runs: Sequence[RunResult]) -> int:
    return max((run.processes or 1 for run in runs), default=0)


def _per_further_event(one: float | None, all_of_them: float | None, count: int) -> float | None:
    if one is None or all_of_them is None:
        return None
    return max(0.0, all_of_them - one) / (count - 1)


def make_load(options: BenchOptions, results: BenchResults, runtime: str) -> MonthlyLoad:
    runs = results.function_runs[runtime]
    seconds_per_event = statistics.mean(run.seconds / run.count for run in runs)
    return MonthlyLoad(
        monthly=options.rate,
        busy_ms=[each for run in runs for each in run.busy_ms],
        cpu_ms=_cpu_ms(runs) or seconds_per_event * 1000,
        memory_mb=function_memory_mb(options, runs),
        process_mb=peak_mb(runs) or function_memory_mb(options, runs),
        memory_per_event_mb=memory_per_event_mb(results, runtime),
        many_cpu_ms=_cpu_ms(results.most_at_once(runtime)),
    )


def _cpu_ms(runs: Sequence[RunResult]) -> float | None:
    """Return the processor time per event; None if the system does not provide it."""
    spent = [run.cpu_us for run in runs if run.cpu_us is not None]
    return statistics.median(spent) / 1000 if spent else None
