"""Lambda on your machine, without Docker: the Runtime API and the Invoke API on trio."""

from .faults import Direction, Fault, Faults
from .hooks import RuntimeApiHooks
from .invocation import Invocation, InvokeResult
from .journal import EntryKind, Journal, JournalEntry
from .local_lambda import LocalLambda, open_local_lambda
from .runtime_api import RuntimeApi, RuntimeApiOptions
from .sandbox import ShutdownResult
from .settings import FunctionSettings
from .states import RuntimeState
from .streaming import ResponseStream

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
