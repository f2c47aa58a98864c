"""Supervision of actors as OTP defines it.

The second floor of okibi; it knows `actors` only. `Supervisor` is the place to start reading.
"""

from .admin import (
    AlreadyPresent,
    AlreadyStarted,
    ChildFailed,
    ChildInfo,
    Counts,
    MaxChildren,
    NotFound,
    Restarting,
    Running,
)
from .flags import AutoShutdown, Backoff, Flags
from .life import State
from .parent import stop_report
from .report import Stopped, StopReport
from .snapshot import Snapshot, snapshot
from .spec import BRUTAL_KILL, INFINITY, Child, Restart, Strategy, Supervision
from .spec_errors import (
    BadCombination,
    DuplicateChild,
    DuplicateName,
    InvalidAutoShutdown,
    InvalidBackoff,
    InvalidChild,
    InvalidId,
    InvalidIntensity,
    InvalidName,
    InvalidPeriod,
    InvalidRestart,
    InvalidShutdown,
    InvalidSignificant,
    InvalidStart,
    InvalidStartTimeout,
    InvalidStrategy,
    SpecError,
)
from .supervisor import Supervisor, SupervisorGaveUp, supervise

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "AlreadyPresent",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "BadCombination",
    "Child",
    "ChildFailed",
    "ChildInfo",
    "Counts",
    "DuplicateChild",
    "DuplicateName",
    "Flags",
    "InvalidAutoShutdown",
    "InvalidBackoff",
    "InvalidChild",
    "InvalidId",
    "InvalidIntensity",
    "InvalidName",
    "InvalidPeriod",
    "InvalidRestart",
    "InvalidShutdown",
    "InvalidSignificant",
    "InvalidStart",
    "InvalidStartTimeout",
    "InvalidStrategy",
    "MaxChildren",
    "NotFound",
    "Restart",
    "Restarting",
    "Running",
    "Snapshot",
    "SpecError",
    "State",
    "StopReport",
    "Stopped",
    "Strategy",
    "Supervision",
    "Supervisor",
    "SupervisorGaveUp",
    "snapshot",
    "stop_report",
    "supervise",
]
