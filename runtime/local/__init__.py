"""Lambda on your machine: the Runtime API and the Invoke path on trio, without Docker."""

from runtime.local.invocation import Invocation, InvokeResult
from runtime.local.journal import Entry, Happening, Journal
from runtime.local.local_lambda import LocalLambda, open_local_lambda
from runtime.local.runtime_api import RuntimeApi
from runtime.local.settings import FunctionSettings
from runtime.local.states import State

__all__ = [
    "Entry",
    "FunctionSettings",
    "Happening",
    "Invocation",
    "InvokeResult",
    "Journal",
    "LocalLambda",
    "RuntimeApi",
    "State",
    "open_local_lambda",
]
