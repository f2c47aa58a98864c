"""A web application given as handler is refused at the start, with what to write instead."""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import pytest

from okibi.runtime import Function, Response, streaming
from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.startup.find_function import as_function
from okibi.supervisors import SpecError


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


def asgi_error(name: str) -> str:
    return (
        f"{name} is an ASGI application, and Lambda calls handler(event, context): install "
        "mangum, write handler = Mangum(app), and name that handler"
    )


def wsgi_error(name: str) -> str:
    return (
        f"{name} is a WSGI application, and Lambda calls handler(event, context): install "
        "apig-wsgi, write handler = apig_wsgi.make_lambda_handler(app), and name that handler"
    )


APPLICATIONS: list[tuple[Callable[..., Any], str]] = [
    (asgi, asgi_error("asgi")),
    (Starlette(), asgi_error("Starlette")),
    (WrappedStarlette(), asgi_error("WrappedStarlette")),
    (partial(asgi), asgi_error("partial")),
    (wsgi, wsgi_error("wsgi")),
    (Flask(), wsgi_error("Flask")),
    (WrappedFlask(), wsgi_error("WrappedFlask")),
]


@pytest.mark.parametrize(("application", "message"), APPLICATIONS)
def test_a_web_application_is_refused_with_what_to_write(
    application: Callable[..., Any], message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        Function(application)
    assert str(refused.value) == message

    with pytest.raises(InitError) as failed:
        as_function(application)
    assert failed.value.message == message


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
