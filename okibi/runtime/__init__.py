"""The AWS Lambda runtime made of actors.

The third layer of okibi. `Function` and `Handler` are what a function is written with;
`python -P -m okibi.runtime` serves it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors.exceptions import DeadlineExceeded
    from .handlers.asyncio_loop.from_asyncio import from_asyncio
    from .handlers.asyncio_loop.leftover_tasks import keep_running
    from .handlers.context import Context
    from .handlers.function import Function, Workers
    from .handlers.handler import Handler
    from .handlers.response import Prelude, Response, streaming
    from .serving.freeze_detector import FREEZES, Freeze
    from .telemetry.invocation_context import xray_trace_id
else:  # hidden from type checkers, which would believe in any name then

    def __getattr__(name: str) -> object:
        """A name of a room that is imported when it is first asked for."""
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
        globals()[name] = value
        return value


__all__ = [
    "FREEZES",
    "Context",
    "DeadlineExceeded",
    "Freeze",
    "Function",
    "Handler",
    "Prelude",
    "Response",
    "Workers",
    "from_asyncio",
    "keep_running",
    "streaming",
    "xray_trace_id",
]

# All of them: `python -m okibi.runtime` imports this room before `__main__`, which has to be the
# first; and no start pays for what only a handler written for asyncio needs, or one that streams.
_ROOMS = {
    "Context": "handlers.context",
    "DeadlineExceeded": "errors.exceptions",
    "Function": "handlers.function",
    "Handler": "handlers.handler",
    "Prelude": "handlers.response",
    "Response": "handlers.response",
    "FREEZES": "serving.freeze_detector",
    "Freeze": "serving.freeze_detector",
    "Workers": "handlers.function",
    "from_asyncio": "handlers.asyncio_loop.from_asyncio",
    "keep_running": "handlers.asyncio_loop.leftover_tasks",
    "streaming": "handlers.response",
    "xray_trace_id": "telemetry.invocation_context",
}


def __dir__() -> list[str]:
    """What a shell completes: also what has not been imported yet."""
    return sorted({*globals(), *__all__})
