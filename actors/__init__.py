"""Actors on trio: mailboxes, servers, names, monitors and timers.

The first floor of okibi, which knows neither supervisors nor AWS. `Server` is the place to
start reading.
"""

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
from .mailbox import TIMEOUT, MailboxFull, MailboxPolicy, MailboxStatistics, WhenFull
from .monitors import Down, Monitor
from .names import AlreadyRegistered, Name
from .pending import Pending
from .ref import Address, Ref
from .reply import NO_REPLY, Reply, ReplyLost
from .server import Server, WhenStopped
from .start import start, stop
from .timers import Timer

__all__ = [
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
    "CallingSelf",
    "Down",
    "Exit",
    "ExitReason",
    "Ignore",
    "MailboxFull",
    "MailboxPolicy",
    "MailboxStatistics",
    "Monitor",
    "Name",
    "NoProcess",
    "Pending",
    "Ref",
    "Refusal",
    "Reply",
    "ReplyLost",
    "Server",
    "StartError",
    "Timer",
    "WhenFull",
    "WhenStopped",
    "crashed",
    "shutdown",
    "start",
    "stop",
]
