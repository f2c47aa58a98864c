"""The AWS Lambda runtime made of actors.

The third floor of okibi. `Function` and `Handler` are what a function is written with;
`python -P -m runtime` serves it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aio.calls import from_asyncio
    from .aio.left import keep
    from .context import Context
    from .current import xray_trace_id
    from .failure import DeadlineExceeded
    from .function import Function, InvalidCount, InvalidHandler, InvalidLoop, Workers
    from .handler import Handler
    from .response import Prelude, Response, streaming
    from .thaw import SANDBOX, Thawed
else:  # hidden from type checkers, which would believe in any name then

    def __getattr__(name: str) -> object:
        """A name of a room that is imported when it is first asked for."""
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
        globals()[name] = value
        return value


__all__ = [
    "SANDBOX",
    "Context",
    "DeadlineExceeded",
    "Function",
    "Handler",
    "InvalidCount",
    "InvalidHandler",
    "InvalidLoop",
    "Prelude",
    "Response",
    "Thawed",
    "Workers",
    "from_asyncio",
    "keep",
    "streaming",
    "xray_trace_id",
]

# All of them: `python -m runtime` imports this room before `__main__`, which has to be the first;
# and no start pays for what only a handler written for asyncio needs, or one that streams.
_ROOMS = {
    "Context": "context",
    "DeadlineExceeded": "failure",
    "Function": "function",
    "Handler": "handler",
    "InvalidCount": "function",
    "InvalidHandler": "function",
    "InvalidLoop": "function",
    "Prelude": "response",
    "Response": "response",
    "SANDBOX": "thaw",
    "Thawed": "thaw",
    "Workers": "function",
    "from_asyncio": "aio.calls",
    "keep": "aio.left",
    "streaming": "response",
    "xray_trace_id": "current",
}


def __dir__() -> list[str]:
    """What a shell completes: also what has not been imported yet."""
    return sorted({*globals(), *__all__})
