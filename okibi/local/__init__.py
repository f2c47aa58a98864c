"""Lambda on your machine, without Docker: the Runtime API and the Invoke API on trio."""

from .local_lambda import LocalLambda, open_local_lambda
from .platform.hooks import RuntimeApiHooks
from .platform.invocation import Invocation, InvokeResult
from .platform.journal import EntryKind, Journal, JournalEntry
from .platform.states import RuntimeState
from .platform.streaming import ResponseStream
from .sandbox.sandbox import ShutdownResult
from .server.faults import Direction, Fault, Faults
from .server.runtime_api import RuntimeApi, RuntimeApiOptions
from .settings import FunctionSettings

__all__ = [
    "Direction",
    "EntryKind",
    "Fault",
    "Faults",
    "FunctionSettings",
    "Invocation",
    "InvokeResult",
    "Journal",
    "JournalEntry",
    "LocalLambda",
    "ResponseStream",
    "RuntimeApi",
    "RuntimeApiHooks",
    "RuntimeApiOptions",
    "RuntimeState",
    "ShutdownResult",
    "open_local_lambda",
]
