"""Write the notes of a report: how it was measured, and findings that affect the figures."""

import os
import statistics

from ..local.sandbox.sandbox import INIT_LIMIT
from .figures import pluralize
from .machine import Machine
from .measured_load import function_memory_mb, make_load, peak_mb
from .options import BenchOptions
from .results import BenchResults

# A share of a core. Above it, the local Runtime API may limit the throughput.
BUSY_API = 0.9
# A share of the local Runtime API's runnable time. Waiting less than this for a core is usual.
QUIET = 0.1
# A ratio of processor time to duration. Above it, the handler uses several cores. It is above 1
# because processor time includes the runtime's work between two events.
SEVERAL_CORES = 1.5

ROUNDS = (
    "Each figure is the median of {} ({} for crashes), with minimum and maximum{}. The"
    ' page "Benchmark your function" of the documentation describes the measurements and the limits'
    " of the cost estimate."
)
RATIOS = "; each ratio compares okibi with the peer in the same round"
BUSY_WAIT = (
    "Each event follows the last answer immediately. okibi polls for OKIBI_BUSY_WAIT_US ({})"
    " before sleeping; polling counts as processor time."
)
COSTS = "Costs are estimates from list prices of {}, {}; check the current prices{}."

ERRORS = "On {} some answers are errors: {}. Their cost counts as the handler's."
INIT_CUT = (
    "On {} the start took {:.1f} s to the first GET /next. Lambda stops an init after {:g} s and"
    " repeats it within the first event's time-out, so a cold start takes longer on Lambda; shorten"
    " import and init."
)
TOO_LITTLE_MEMORY = (
    "On {} the function needed {:.0f} MB, more than --memory-size {}; give a larger --memory-size."
)
USES_SEVERAL_CORES = (
    "On {} an event computes for {:.1f} times its duration, on several cores. With {:,} MB a"
    " function has {:.2g} of a core, so Lambda takes longer and costs more than estimated."
)
NOT_MEASURED = (
    "The system does not provide all memory and processor times. For missing values the costs"
    " assume {} MB (set with --memory-size) and events that compute for their whole duration."
)
ONE_CORE = "The machine has one core; the local Runtime API takes time from the runtime."
BUSY = (
    "With many events at once the local Runtime API was busy most of the time; the figures show its"
    " limit, not the runtime's."
)
OTHER_PROCESSES = (
    "Other processes used the cores: the local Runtime API waited {:.0%} of its runnable time."
    " Measure again on a quiet machine."
)


def make_notes(options: BenchOptions, results: BenchResults, machine: Machine) -> tuple[str, ...]:
    """Make the notes of a report, one sentence or more each."""
    return (
        *_method(options),
        *(
            note
            for runtime in results.function_runs
            for note in (
                *_errors(runtime, results),
                *_init_cut(runtime, results),
                *_too_little_memory(runtime, options, results),
                *_uses_several_cores(runtime, options, results),
            )
        ),
        *_not_measured(options, results),
        *_machine_notes(results, machine),
    )


def _method(options: BenchOptions) -> list[str]:
    prices, effort = options.prices, options.effort
    sources = f" ({', '.join(prices.sources)})" if prices.sources else ""
    return [
        ROUNDS.format(
            pluralize(effort.rounds, "round"), effort.crash_rounds, RATIOS if options.peer else ""
        ),
        # The measured processes inherit this variable.
        BUSY_WAIT.format(os.environ.get("OKIBI_BUSY_WAIT_US") or "300"),
        COSTS.format(prices.region, prices.taken, sources),
    ]


def _errors(runtime: str, results: BenchResults) -> list[str]:
    many = [run for found in results.many.values() for run in found.get(runtime, ())]
    kinds = sorted(
        {kind for run in (*results.function_runs[runtime], *many) for kind in run.errors}
    )
    return [ERRORS.format(runtime, ", ".join(kinds))] if kinds else []


def _init_cut(runtime: str, results: BenchResults) -> list[str]:
    seconds = max(run.first_next_ms for run in results.function_runs[runtime]) / 1000
    return [INIT_CUT.format(runtime, seconds, INIT_LIMIT)] if seconds > INIT_LIMIT else []


def _too_little_memory(runtime: str, options: BenchOptions, results: BenchResults) -> list[str]:
    given, most = options.memory_mb, peak_mb(results.function_runs[runtime])
    if given is None or most is None or most <= given:
        return []
    return [TOO_LITTLE_MEMORY.format(runtime, most, given)]


def _uses_several_cores(runtime: str, options: BenchOptions, results: BenchResults) -> list[str]:
    load = make_load(options, results, runtime)
    times = load.cpu_ms / statistics.mean(load.busy_ms)
    share = load.memory_mb / options.prices.functions.full_core_mb
    if times <= max(SEVERAL_CORES, share):
        return []
    return [USES_SEVERAL_CORES.format(runtime, times, load.memory_mb, share)]


def _not_measured(options: BenchOptions, results: BenchResults) -> list[str]:
    runs = results.one_at_a_time
    if all(run.cpu_us is not None and run.peak is not None for run in runs):
        return []
    return [NOT_MEASURED.format(function_memory_mb(options, runs))]


def _machine_notes(results: BenchResults, machine: Machine) -> list[str]:
    many = results.many_at_once
    found: list[str] = []
    if machine.cores == 1:
        found.append(ONE_CORE)
    if any(run.api_share > BUSY_API for run in many):
        found.append(BUSY)
    waited = [run.api_waited for run in (*results.one_at_a_time, *many)]
    known = [share for share in waited if share is not None]
    # The median, because one disturbed run does not affect the others.
    if known and (usual := statistics.median(known)) > QUIET:
        found.append(OTHER_PROCESSES.format(usual))
    return found
