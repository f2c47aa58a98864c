"""A web application is recognised when it is named as the handler."""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import pytest

from okibi.runtime import Function, Response, streaming
from okibi.runtime.startup.find_function import as_function
from okibi.supervisors import SpecError
from okibi.web import ASGI, WSGI


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


class Starlette:
    """Called as Starlette, FastAPI, Quart, Litestar and Django's ASGIHandler are."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Flask:
    """Called as Flask, Bottle, Pyramid and Django's WSGIHandler are."""

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WrappedStarlette:
    def build_middleware_stack(self) -> None: ...

    def __call__(self, *args: Any) -> Any: ...


class WrappedFlask:
    def wsgi_app(self) -> None: ...

    def __call__(self, *args: Any) -> Any: ...


class AdaptedFlask(WrappedFlask):
    """Called as a handler."""

    def __call__(self, event: Any = None, context: Any = None) -> Any: ...


ASGI_APPLICATIONS = [asgi, Starlette(), WrappedStarlette(), partial(asgi)]
WSGI_APPLICATIONS = [wsgi, Flask(), WrappedFlask()]


@pytest.mark.parametrize("application", ASGI_APPLICATIONS)
def test_an_asgi_application_is_served_when_it_is_named(application: Callable[..., Any]) -> None:
    served: Any = as_function(application).handler.handler
    assert (type(served), served.app) == (ASGI, application)


@pytest.mark.parametrize("application", WSGI_APPLICATIONS)
def test_a_wsgi_application_is_served_when_it_is_named(application: Callable[..., Any]) -> None:
    served: Any = as_function(application).handler.handler
    assert (type(served), served.app) == (WSGI, application)


@pytest.mark.parametrize(("application", "interface"), [(asgi, "ASGI"), (wsgi, "WSGI")])
def test_a_bare_application_in_a_function_is_refused_with_what_to_write(
    application: Callable[..., Any], interface: str
) -> None:
    with pytest.raises(SpecError, match=rf"handler=okibi.web.{interface}\(app\)"):
        Function(application)


class FlaskLambda(Flask):
    """A Flask application that is a Lambda handler, as flask-lambda makes one."""

    def wsgi_app(self) -> None: ...

    def __call__(self, event: Any, context: Any) -> Any: ...


class Mangum:
    def __call__(self, event: Any, context: Any) -> Any: ...


@streaming
async def writes(event: Any, response: Response, context: Any) -> None: ...


class Hostile:
    @property
    def __signature__(self) -> Any:
        raise LookupError

    def __call__(self, *args: Any) -> Any: ...


@pytest.mark.parametrize(
    "handler",
    [Mangum(), FlaskLambda(), writes, MagicMock(), Hostile(), print, lambda *_: None,
     lambda environ, context: None, lambda event, context, send=None: None],
)  # fmt: skip
def test_any_other_callable_is_a_handler(handler: Callable[..., Any]) -> None:
    assert Function(handler).handler.handler is handler


def test_an_application_that_is_called_as_a_handler_is_accepted() -> None:
    assert isinstance(as_function(AdaptedFlask()), Function)
