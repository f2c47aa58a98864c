"""The AWS Lambda runtime made of actors: layer 3 of okibi.

A user's module defines a `Function` or a `Handler`; `python -P -m okibi.runtime` serves it.
"""

from importlib import import_module

# As typing's. A start imports typing later, from a faster finder.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..asyncio_loop.from_asyncio import from_asyncio
    from .errors.exceptions import DeadlineExceeded
    from .handlers.context import Context
    from .handlers.function import Function, Workers
    from .handlers.handler import Handler
    from .handlers.http_event import HttpEvent
    from .handlers.leftover_tasks import keep_running
    from .handlers.response import Prelude, Response, streaming
    from .logs.invocation_context import xray_trace_id
else:  # hidden from type checkers: they would accept any name

    def __getattr__(name: str) -> object:
        """Import a name when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(_MODULES[name], __name__), name)
        globals()[name] = value
        return value


__all__ = [
    "Context",
    "DeadlineExceeded",
    "Function",
    "Handler",
    "HttpEvent",
    "Prelude",
    "Response",
    "Workers",
    "from_asyncio",
    "keep_running",
    "streaming",
    "xray_trace_id",
]

# Every name is imported lazily. `python -m okibi.runtime` imports this package before `__main__`,
# and `__main__` must control the first imports. A start also saves what the function does not use.
_MODULES = {
    "Context": ".handlers.context",
    "DeadlineExceeded": ".errors.exceptions",
    "Function": ".handlers.function",
    "Handler": ".handlers.handler",
    "HttpEvent": ".handlers.http_event",
    "Prelude": ".handlers.response",
    "Response": ".handlers.response",
    "Workers": ".handlers.function",
    "from_asyncio": "..asyncio_loop.from_asyncio",
    "keep_running": ".handlers.leftover_tasks",
    "streaming": ".handlers.response",
    "xray_trace_id": ".logs.invocation_context",
}


def __dir__() -> list[str]:
    """Include names that are not imported yet, for completion in a shell."""
    return sorted({*globals(), *__all__})
