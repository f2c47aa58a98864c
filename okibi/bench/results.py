"""Values passed between the processes of a benchmark as JSON."""

from collections.abc import Mapping, Sequence

import attrs

# The error type of an event without an answer before its time-out.
TIMED_OUT = "Sandbox.Timedout"
# Both error types of a time-out; okibi answers with the first shortly before the time-out.
LATE = ("Runtime.DeadlineExceeded", TIMED_OUT)
# Why a run has no result.
DISK_FULL = (
    "the disk of temporary files is full, so the function cannot log; set TMPDIR to a folder on"
    " another disk, or give an event for which the function logs less"
)


@attrs.frozen
class RunSpec:
    """One run: start a runtime, warm up, measure, stop.

    Args:
        command: starts the runtime.
        event: the payload of each event.
        timeout: time-out of an event in seconds.
        warm_events, warm_seconds: the warm-up ends at the first of these limits.
        seconds: measured time after the warm-up.
        slots: events at once (AWS_LAMBDA_MAX_CONCURRENCY); None for the classic mode.
        silence: seconds without a request, in addition to `timeout`, until the run fails.
    """

    command: Sequence[str]
    event: bytes
    timeout: float
    warm_events: int
    warm_seconds: float
    seconds: float
    slots: int | None = None
    silence: float = 15.0


@attrs.frozen
class RunResult:
    """The result of one run. Values that the system does not provide are None.

    Args:
        first_next_ms, first_answer_ms: milliseconds from the start of the process to the first GET
            /next, and to the first answer.
        served: events answered, warm-up included.
        errors: counts of error answers, by error type.
        count: events that ended in the measured time.
        seconds: the measured time.
        cycles_us: times from each hand-out to the next, for the events that began in the measured
            time; empty with many slots.
        answers_us: times from hand-out to answer of these events.
        busy_ms: times from hand-out of these events until the runtime asks for the next event.
        cpu_us: processor time per event of all processes of the runtime.
        api_share: processor time of the local Runtime API as a share of the measured time.
        memory: bytes of all processes at the end, as if alone on the machine: pages shared among
            these processes count once.
        peak: sum of the peak bytes of all processes. Of the processes that have ended, only the
            largest counts, and only if it is larger than the living ones.
        processes: the number of processes at the end.
        api_waited: share of its runnable time for which the local Runtime API waited for a core;
            None if it shares a core with the runtime.
    """

    first_next_ms: float
    first_answer_ms: float
    served: int
    errors: Mapping[str, int]
    count: int
    seconds: float
    cycles_us: Sequence[float]
    answers_us: Sequence[float]
    busy_ms: Sequence[float]
    cpu_us: float | None
    api_share: float
    memory: int | None
    peak: int | None
    processes: int | None
    api_waited: float | None = None


@attrs.frozen
class CrashTimes:
    """Milliseconds from the start of a failing event to the next good answer.

    Args:
        exception: the handler raised an exception.
        exit: the handler called `sys.exit`.
        death: the handler ended its process with `os._exit`.
        timeout: the handler timed out; the time-out is included.
        restart: a `Handler` raised, and its instance was replaced; None for a runtime without
            instances.
        good: the first event was good too; the part of the other times that no crash causes.
    """

    exception: float
    exit: float
    death: float
    timeout: float
    restart: float | None = None
    good: float | None = None


@attrs.frozen
class BenchResults:
    """All measurements, by the name of the runtime, in the order of the rounds.

    Args:
        function_runs: runs of the function, one event at a time.
        stand_in_runs: runs of the stand-in handler, which only returns the saved answer.
        crashes: times of crashes.
        many: runs of the function, by the number of events at once.
        answer: the first answer of okibi.
    """

    function_runs: Mapping[str, Sequence[RunResult]]
    stand_in_runs: Mapping[str, Sequence[RunResult]]
    crashes: Mapping[str, Sequence[CrashTimes]]
    many: Mapping[int, Mapping[str, Sequence[RunResult]]]
    answer: bytes

    def most_at_once(self, runtime: str) -> Sequence[RunResult]:
        """The runs of a runtime with the most events at once; empty if there are none."""
        return self.many[max(self.many)].get(runtime, ()) if self.many else ()

    @property
    def one_at_a_time(self) -> list[RunResult]:
        """All runs of the function with one event at a time."""
        return [run for runs in self.function_runs.values() for run in runs]

    @property
    def many_at_once(self) -> list[RunResult]:
        """All runs of the function with many events at once."""
        return [run for found in self.many.values() for runs in found.values() for run in runs]
