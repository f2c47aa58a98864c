"""The life cycle of one incarnation of an actor: decisions only, without trio.

    STARTING   the factory and `init` run. The starter waits; messages wait in the mailbox.
    RUNNING    `init` has returned and the starter has been woken.
    DYING      the body has ended; `terminate` may be running.
    DEAD       calls have failed, the name is free, monitors have their Down, in this order.

    STARTING -> RUNNING    init returned
    STARTING -> DEAD       init failed, or was cancelled by a stop or kill; `terminate` not run
    RUNNING  -> DYING      the body returned or raised, perhaps after a stop or kill
    DYING    -> DEAD       `terminate` returned, raised, or exceeded its grace

A stop or kill request does not change the phase, but sets `ending_reason` at once: calls and sends
then fail, although the body may still run.
"""

import enum

from .exits import KILLED, ExitReason


class Phase(enum.Enum):
    """The phase of an incarnation; the module docstring has the transitions."""

    STARTING = "starting"
    RUNNING = "running"
    DYING = "dying"
    DEAD = "dead"


# For the code that runs at each start and end: a global is found faster than a member of an enum.
STARTING, RUNNING, DYING, DEAD = Phase


class Life:
    """The phase of one incarnation, the requests to end it, and how it ended.

    Attributes:
        phase: the phase.
        asked: the reason of the first stop request; None before one.
        killed: whether a kill was requested.
        ending_reason: set as soon as the end is requested or certain. Each send and call checks
            it, and fails with it.
        reason: the exit reason, redacted; None until `init` has failed or the body has ended.
        start_failed: whether the actor ended before it ran. Only the starter learns of such an end.
        reported_elsewhere: whether another object reports a crash. A task's crash is raised to its
            awaiter.
        stop_report: the StopReport that an ended supervisor leaves to its own supervisor.
    """

    __slots__ = (
        "asked", "ending_reason", "killed", "phase", "reason", "reported_elsewhere",
        "start_failed", "stop_report",
    )  # fmt: skip

    def __init__(self) -> None:
        self.phase = STARTING
        self.asked: ExitReason | None = None
        self.killed = self.start_failed = self.reported_elsewhere = False
        self.ending_reason: ExitReason | None = None
        self.reason: ExitReason | None = None
        self.stop_report: object = None

    def run(self) -> None:
        """Note that `init` has returned."""
        self.phase = RUNNING

    def ask(self, reason: ExitReason) -> bool:
        """Request the end. False if it was requested before, or the body has ended."""
        if self.asked is not None or self.reason is not None:
            return False
        self.asked = reason
        self.ending_reason = self.ending_reason or reason
        return True

    def kill(self) -> None:
        """Request the end without `terminate`."""
        self.killed = True
        self.ending_reason = self.ending_reason or KILLED

    def refuse_messages(self, reason: ExitReason) -> None:
        """Fail calls and sends from now on. The first reason counts."""
        self.ending_reason = self.ending_reason or reason

    def begin_to_die(self, reason: ExitReason) -> None:
        """Note that the body has ended, and why."""
        self.reason = self.ending_reason = reason
        self.phase = DYING

    def end(self, reason: ExitReason) -> None:
        """Note the end. `terminate` may have changed the reason."""
        self.start_failed = self.phase is STARTING
        self.reason = self.ending_reason = reason
        self.phase = DEAD

    def report_elsewhere(self, elsewhere: bool = True) -> None:
        """Leave the report of a crash to another object, or take it back."""
        self.reported_elsewhere = elsewhere

    def leave_stop_report(self, report: object) -> None:
        """Leave the report of a supervisor's stop to the supervisor above."""
        self.stop_report = report
