"""Supervision of actors as OTP defines it.

The second floor of okibi; it knows `actors` only. `Supervisor` is the place to start reading.
"""

from .snapshot import Snapshot, snapshot
from .spec import (
    BRUTAL_KILL,
    INFINITY,
    Child,
    DuplicateChild,
    DuplicateName,
    InvalidChild,
    InvalidId,
    InvalidIntensity,
    InvalidName,
    InvalidPeriod,
    InvalidRestart,
    InvalidShutdown,
    InvalidStart,
    InvalidStartTimeout,
    InvalidStrategy,
    Restart,
    SpecError,
    Strategy,
    Supervision,
)
from .supervisor import Supervisor, SupervisorGaveUp, supervise

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "Child",
    "DuplicateChild",
    "DuplicateName",
    "InvalidChild",
    "InvalidId",
    "InvalidIntensity",
    "InvalidName",
    "InvalidPeriod",
    "InvalidRestart",
    "InvalidShutdown",
    "InvalidStart",
    "InvalidStartTimeout",
    "InvalidStrategy",
    "Restart",
    "Snapshot",
    "SpecError",
    "Strategy",
    "Supervision",
    "Supervisor",
    "SupervisorGaveUp",
    "snapshot",
    "supervise",
]
