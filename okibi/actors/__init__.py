"""Actors on trio: servers, mailboxes, names, groups, monitors and timers.

The lowest layer of okibi: it imports neither supervisors nor anything of AWS. Start reading at
`Server`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .actor import Actor
from .exits import (
    IGNORED,
    KILLED,
    NO_PROCESS,
    NORMAL,
    SHUTDOWN,
    ActorExited,
    CallCycle,
    CallingSelf,
    Exit,
    ExitReason,
    Ignore,
    NoProcess,
    Refusal,
    StartError,
    crashed,
    shutdown,
)
from .mailbox import TIMEOUT, MailboxFull, MailboxPolicy, WhenFull
from .monitors import Down, Monitor
from .names import AlreadyRegistered, Name, WaitingAddress
from .ref import Address, Ref
from .reply import NO_REPLY, Reply, ReplyLost
from .server import Server, WhenStopped
from .start import start, stop
from .timers import Timer

if TYPE_CHECKING:
    from .callers import Caller, CallingTask
    from .calling_event import CallingEvent
    from .crash_report import CrashReport
    from .freezes import FREEZES, Freeze
    from .groups import Group, GroupMonitor, Joined, Left
    from .mailbox_statistics import MailboxStatistics
    from .pending import Pending
    from .portals import Portal, PortalClosed, from_sync, from_thread
    from .registry import Registered
    from .results import Result, ResultMonitor, ResultSource, await_many
    from .secret import Secret
    from .state_machine import StateMachine
    from .status import Event, Status
else:  # Hidden from type checkers: they would accept every name.

    def __getattr__(name: str) -> object:
        """Import the module of a name at the first use of the name."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value


__all__ = [
    "FREEZES",
    "IGNORED",
    "KILLED",
    "NORMAL",
    "NO_PROCESS",
    "NO_REPLY",
    "SHUTDOWN",
    "TIMEOUT",
    "Actor",
    "ActorExited",
    "Address",
    "AlreadyRegistered",
    "CallCycle",
    "Caller",
    "CallingEvent",
    "CallingSelf",
    "CallingTask",
    "CrashReport",
    "Down",
    "Event",
    "Exit",
    "ExitReason",
    "Freeze",
    "Group",
    "GroupMonitor",
    "Ignore",
    "Joined",
    "Left",
    "MailboxFull",
    "MailboxPolicy",
    "MailboxStatistics",
    "Monitor",
    "Name",
    "NoProcess",
    "Pending",
    "Portal",
    "PortalClosed",
    "Ref",
    "Refusal",
    "Registered",
    "Reply",
    "ReplyLost",
    "Result",
    "ResultMonitor",
    "ResultSource",
    "Secret",
    "Server",
    "StartError",
    "StateMachine",
    "Status",
    "Timer",
    "WaitingAddress",
    "WhenFull",
    "WhenStopped",
    "await_many",
    "crashed",
    "from_sync",
    "from_thread",
    "shutdown",
    "start",
    "stop",
]

# Names and their modules, which a cold start does not import.
_LAZY = {
    "Caller": "callers",
    "CallingTask": "callers",
    "CallingEvent": "calling_event",
    "CrashReport": "crash_report",
    "Portal": "portals",
    "PortalClosed": "portals",
    "Group": "groups",
    "GroupMonitor": "groups",
    "Joined": "groups",
    "Event": "status",
    "FREEZES": "freezes",
    "Freeze": "freezes",
    "Left": "groups",
    "MailboxStatistics": "mailbox_statistics",
    "Pending": "pending",
    "Registered": "registry",
    "Result": "results",
    "ResultMonitor": "results",
    "ResultSource": "results",
    "Secret": "secret",
    "StateMachine": "state_machine",
    "Status": "status",
    "await_many": "results",
    "from_sync": "portals",
    "from_thread": "portals",
}


def __dir__() -> list[str]:
    """Return all public names, those not yet imported included, for completion in a shell."""
    return sorted({*globals(), *__all__})
