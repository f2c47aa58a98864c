"""Lambda on your machine: the Runtime API and the Invoke path on trio, without Docker."""

from .faults import Fault, Faults, Way
from .invocation import Invocation, InvokeResult
from .journal import Entry, Happening, Journal
from .local_lambda import LocalLambda, open_local_lambda
from .runtime_api import RuntimeApi
from .sandbox import Ending
from .settings import FunctionSettings
from .states import State
from .streaming import ResponseStream

__all__ = [
    "Ending",
    "Entry",
    "Fault",
    "Faults",
    "FunctionSettings",
    "Happening",
    "Invocation",
    "InvokeResult",
    "Journal",
    "LocalLambda",
    "ResponseStream",
    "RuntimeApi",
    "State",
    "Way",
    "open_local_lambda",
]
