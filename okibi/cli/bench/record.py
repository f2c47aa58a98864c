"""What passes between the processes of a benchmark, as frozen values that are JSON on the way."""

from collections.abc import Mapping, Sequence

import attrs

__all__ = ["LATE", "NO_ROOM", "TIMED_OUT", "CrashTimes", "Results", "Run", "RunOrder"]

TIMED_OUT = "Sandbox.Timedout"
"""The error type of an event that was not answered in its time."""
LATE = ("Runtime.DeadlineExceeded", TIMED_OUT)
"""Those of one that took too long, where okibi has answered for it before that, too."""
NO_ROOM = (
    "the disk of temporary files, where what it prints is kept, is full; set TMPDIR to a folder"
    " with room, or give an event that has it print less"
)
"""Why a run has no figures whose function could not print."""


@attrs.frozen
class RunOrder:
    """One run: a runtime's process from its start to its end.

    Args:
        command: of the runtime.
        event: the payload of each event.
        timeout: seconds that an event has.
        warm_events, warm_seconds: the warm-up is over after so many events, or after so long.
        seconds: what is measured after it.
        slots: events at once (AWS_LAMBDA_MAX_CONCURRENCY), or None for the classic mode.
        silence: seconds besides an event's own time until the runtime is given up.
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
class Run:
    """What one run came to; what the system did not tell is None.

    Args:
        first_next_ms, first_answer_ms: from just before the process was started.
        served: events answered, warm-up and all.
        errors: of these, by error type.
        count: events that ended in the measured time, and
        seconds: how long that was.
        cycles_us: of each that began in it, from its hand-out to the next one's; empty with many
            slots.
        answers_us: of each, from its hand-out to its answer.
        busy_ms: of each, from its hand-out until the runtime has come back.
        cpu_us: processor time of all its processes, an event.
        server_share: the processor time of the server, as a share of the measured time.
        memory: bytes of all its processes at the end, as if they were alone on the machine.
        peak: bytes that each of them has had at most, in all; of those that have ended the largest
            alone, and only if it was larger than those that live.
        processes: how many there were at the end; None where the system does not tell.
        server_waited: for how much of the time that the server wanted its core others had it, as a
            share; None where it shares the one there is with the runtime.
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
    server_share: float
    memory: int | None
    peak: int | None
    processes: int | None
    server_waited: float | None = None


@attrs.frozen
class CrashTimes:
    """Milliseconds from the start of a bad event to the next good answer.

    Args:
        exception: the handler raised.
        exit: it called `sys.exit`.
        death: it ended its process.
        timeout: it did not end in its time, which is part of it.
        restart: a `Handler` raised, whose instance is replaced; None of a runtime without any.
        good: the first event was a good one, too: what of the others is no crash's.
    """

    exception: float
    exit: float
    death: float
    timeout: float
    restart: float | None = None
    good: float | None = None


@attrs.frozen
class Results:
    """All that was measured, by the runtime's name, in the order of the rounds.

    Args:
        functions: the function, one event at a time.
        stand_ins: a handler that does nothing, in its place.
        crashes: what crashes cost.
        many: the function, by how many events at once.
        answer: the bytes of okibi's first answer.
    """

    functions: Mapping[str, Sequence[Run]]
    stand_ins: Mapping[str, Sequence[Run]]
    crashes: Mapping[str, Sequence[CrashTimes]]
    many: Mapping[int, Mapping[str, Sequence[Run]]]
    answer: bytes

    def most_at_once(self, name: str) -> Sequence[Run]:
        """A runtime's runs of the function with the most events at once; none without many."""
        return self.many[max(self.many)].get(name, ()) if self.many else ()

    @property
    def one_at_a_time(self) -> list[Run]:
        """All runs of the function with one event at a time."""
        return [run for runs in self.functions.values() for run in runs]

    @property
    def many_at_once(self) -> list[Run]:
        """All runs of the function with many events at once."""
        return [run for found in self.many.values() for runs in found.values() for run in runs]
