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
from .mailbox import MailboxFull, MailboxPolicy, MailboxStatistics, WhenFull
from .monitors import Down, Monitor
from .names import AlreadyRegistered, Name
from .ref import Address, Ref
from .server import Server
from .start import start, stop
from .timers import Timer

__all__ = [
    "IGNORED",
    "KILLED",
    "NORMAL",
    "NO_PROCESS",
    "SHUTDOWN",
    "Actor",
    "ActorExited",
    "Address",
    "AlreadyRegistered",
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
    "Ref",
    "Refusal",
    "Server",
    "StartError",
    "Timer",
    "WhenFull",
    "crashed",
    "shutdown",
    "start",
    "stop",
]
