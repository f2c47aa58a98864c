"""Recognise an ASGI or WSGI application that is given as a handler.

Imported only for a callable whose signature is not that of an ordinary handler. Nothing of
Starlette, Flask or Django is imported: the names of the parameters decide, and for a callable that
takes `*args`, the methods of the class.
"""

from inspect import Parameter
from typing import Any, Literal, cast

from ...actors.signatures import signature

_ASGI = ("scope", "receive", "send")
# Methods of Starlette (and FastAPI), and of Flask; a Mock's class has neither.
_ASGI_METHOD, _WSGI_METHOD = "build_middleware_stack", "wsgi_app"
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def find_web_interface(handler: Any) -> Literal["ASGI", "WSGI"] | None:
    """Return the interface of a web application; None for any other callable.

    Args:
        handler: any callable.
    """
    if _is_asgi(handler):
        return "ASGI"
    return "WSGI" if _is_wsgi(handler) else None


def find_web_application_error(handler: Any) -> str | None:
    """Return what to write instead if a handler is a web application, in one sentence; else None.

    Args:
        handler: any callable.
    """
    interface = find_web_interface(handler)
    if interface is None:
        return None
    name: str = getattr(handler, "__name__", type(handler).__name__)
    return (
        f"{name} is a web application of the interface {interface}, and Lambda calls "
        f"handler(event, context): write Function(handler=okibi.web.{interface}(app)), or name the "
        "application itself in the handler setting"
    )


def _is_asgi(handler: Any) -> bool:
    names = _required(handler)
    if names is None:
        return hasattr(cast("object", type(handler)), _ASGI_METHOD)
    return names == _ASGI


def _is_wsgi(handler: Any) -> bool:
    names = _required(handler)
    if names is None:
        return hasattr(cast("object", type(handler)), _WSGI_METHOD)
    return len(names) == 2 and names[1] == "start_response"


def _required(handler: Any) -> tuple[str, ...] | None:
    """Return the names of positional parameters without a default; None if `*args` hides them."""
    try:
        parameters = signature(handler).parameters.values()
    except Exception:
        # The callable may be a proxy whose attributes raise.
        return None
    if any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        return None
    return tuple(
        each.name
        for each in parameters
        if each.kind in _POSITIONAL and each.default is Parameter.empty
    )
