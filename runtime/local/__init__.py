"""Lambda on your machine: the Runtime API and the Invoke path on trio, without Docker."""

from runtime.local.faults import Fault, Faults, Way
from runtime.local.invocation import Invocation, InvokeResult
from runtime.local.journal import Entry, Happening, Journal
from runtime.local.local_lambda import LocalLambda, open_local_lambda
from runtime.local.runtime_api import RuntimeApi
from runtime.local.sandbox import Ending
from runtime.local.settings import FunctionSettings
from runtime.local.states import State
from runtime.local.streaming import ResponseStream

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
