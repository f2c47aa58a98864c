"""The test kit: run a Function and its tree in a test, in virtual time; or in a real subprocess.

The pytest plugin imports this package in every pytest run. The first use of a name imports its
module; the package alone imports neither trio nor a layer of okibi.

    from okibi.testing import running, virtual_time
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..local.services.sample_events import SampleError, sample_event
    from .entity_sandboxes import EntitySandbox, EntityWorld, SandboxKilled, entity_world
    from .function_error import FunctionError, FunctionTimedOut
    from .handler_context import after_response, context
    from .message_inbox import Inbox, inbox
    from .running_function import RunningFunction, running
    from .subprocess_sandbox import Sandbox, sandbox
    from .virtual_clock import virtual_time
else:  # hidden from type checkers: they would accept any name

    def __getattr__(name: str) -> object:
        """Import a name when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value


__all__ = [
    "EntitySandbox",
    "EntityWorld",
    "FunctionError",
    "FunctionTimedOut",
    "Inbox",
    "RunningFunction",
    "SampleError",
    "Sandbox",
    "SandboxKilled",
    "after_response",
    "context",
    "entity_world",
    "inbox",
    "running",
    "sample_event",
    "sandbox",
    "virtual_time",
]

_MODULES = {
    "EntitySandbox": "entity_sandboxes",
    "EntityWorld": "entity_sandboxes",
    "FunctionError": "function_error",
    "FunctionTimedOut": "function_error",
    "Inbox": "message_inbox",
    "RunningFunction": "running_function",
    "SampleError": ".local.services.sample_events",
    "Sandbox": "subprocess_sandbox",
    "SandboxKilled": "entity_sandboxes",
    "after_response": "handler_context",
    "context": "handler_context",
    "entity_world": "entity_sandboxes",
    "inbox": "message_inbox",
    "running": "running_function",
    "sample_event": ".local.services.sample_events",
    "sandbox": "subprocess_sandbox",
    "virtual_time": "virtual_clock",
}


def __dir__() -> list[str]:
    """Return the names for completion in a shell, those not yet imported included."""
    return sorted({*globals(), *__all__})
