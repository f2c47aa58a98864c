"""Web applications as handlers.

    from okibi import Function
    from okibi.web import ASGI

    function = Function(handler=ASGI(app, streams=True))

An application that is itself named as the handler is served with the defaults.
"""

from importlib import import_module

# As typing's. A start imports typing later, from a faster finder.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .runtime.adapters.asgi import ASGI
    from .runtime.adapters.failed_status import StatusFailed
    from .runtime.adapters.http_request import NoHttpRequest
    from .runtime.adapters.wsgi import WSGI
else:  # hidden from type checkers: they would accept any name

    def __getattr__(name: str) -> object:
        """Import a name when it is first used: ASGI imports asyncio, which WSGI does not need."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".runtime.adapters.{_MODULES[name]}", __package__)
        value: object = getattr(module, name)
        globals()[name] = value
        return value


__all__ = ["ASGI", "WSGI", "NoHttpRequest", "StatusFailed"]

_MODULES = {
    "ASGI": "asgi",
    "NoHttpRequest": "http_request",
    "StatusFailed": "failed_status",
    "WSGI": "wsgi",
}
