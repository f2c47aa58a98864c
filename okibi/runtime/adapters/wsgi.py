"""Serve a WSGI application, such as Flask's or Django's: its requests come as events (PEP 3333)."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

import attrs

from ...actors import logs
from ...supervisors import SpecError
from ...supervisors.spec_error import wrong_value
from ..handlers.handler import is_async
from ..in_flight.delivery import Delivery
from .failed_status import as_statuses, check_status
from .http_answer import (
    PLAIN_TEXT,
    SERVER_ERROR,
    AnswerTooLarge,
    answer_late,
    make_answer,
    refuse_large_answer,
)
from .http_request import HttpRequest
from .other_events import check_other
from .web_options import check_base_path, read_or_pass_on

logger = logs.logger("okibi")

_App: TypeAlias = Callable[..., Iterable[bytes]]
_ExceptionInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
_SERVER_ERROR, _GATEWAY_TIMEOUT = 500, 504
_NOT_STARTED = "the application has not called start_response"
# Names of headers whose keys are kept.
_MOST_VARIABLES = 200


@attrs.frozen
class WSGI:
    """Serves a WSGI application as a handler.

        from flask import Flask

        app = Flask(__name__)
        function = Function(handler=WSGI(app, fail_on={500}))

    The application runs where a plain `def` handler runs. The environ has the keys of PEP 3333, and
    `RAW_URI`, `REQUEST_URI`, `aws.event` and `aws.context`. An exception of the application is
    logged, and answered with 500. The answer leaves when the application's iterable is closed, so a
    stream arrives whole, and work that a framework does in `close()` comes before the answer.

    Args:
        app: the application, `app(environ, start_response)`.
        base_path: the base path of a custom domain, such as `/shop`: the application gets it as
            SCRIPT_NAME.
        fail_on: the statuses that fail the invocation in place of being answered.
        other: a handler for events that are no HTTP requests.

    Raises:
        SpecError: a field is wrong; `field` names it.
    """

    app: _App
    base_path: str = attrs.field(default="", kw_only=True)
    fail_on: frozenset[int] = attrs.field(
        default=frozenset[int](), kw_only=True, converter=as_statuses
    )
    other: Callable[[Any, Any], object] | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        app: object = self.app
        if not callable(app):
            raise wrong_value("app", "a WSGI application, app(environ, start_response)", app)
        if is_async(app):
            raise SpecError(
                "app must be a WSGI application, got an asynchronous one: write ASGI(app)",
                field="app",
                value=app,
            )
        check_base_path(self.base_path)
        check_other(self.other)

    def __call__(self, event: Any, context: Any) -> Any:
        """Answer an event.

        Raises:
            NoHttpRequest: the event is no HTTP request, and `other` is None.
            StatusFailed: the status of the answer is one of `fail_on`.
        """
        request = read_or_pass_on(event, self.base_path, self.other)
        if not isinstance(request, HttpRequest):
            return request(event, context)
        delivery: Delivery | None = getattr(context, "_delivery", None)
        if delivery is not None and _GATEWAY_TIMEOUT not in self.fail_on:
            delivery.prepare_late_answer(partial(answer_late, request.format))
        environ = _make_environ(request)
        environ["aws.event"], environ["aws.context"] = event, context
        status = _SERVER_ERROR
        try:
            reply = _run(self.app, environ)
            answer = make_answer(request.format, reply.status, reply.headers, reply.body)
            status = reply.status
        except AnswerTooLarge as error:
            answer = refuse_large_answer(request, error)
        except Exception as error:
            logger.exception("%s %s: the application raised", request.method, request.path)
            if delivery is not None and delivery.observed is not None:
                delivery.observed.note_error(error)
            answer = make_answer(request.format, status, PLAIN_TEXT, SERVER_ERROR)
        if self.fail_on:
            check_status(status, request, self.fail_on)
        return answer


def _make_environ(request: HttpRequest) -> dict[str, Any]:
    _, method, path, raw_path, root, query, headers, client, scheme, server, version, body = request
    if not path.isascii():
        # From the encoded path: the decoded one has no bytes that are not UTF-8.
        path, root = unquote_to_bytes(raw_path).decode("latin-1"), _as_latin_1(root)
    uri = f"{raw_path}?{query}" if query else raw_path
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": root,
        "PATH_INFO": path[len(root) :],
        "QUERY_STRING": query if query.isascii() else _as_latin_1(query),
        "REQUEST_URI": uri,
        "RAW_URI": uri,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{version}",
        "REMOTE_ADDR": client or "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": BytesIO(body),
        # Werkzeug: the input ends where the body ends.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        # A late event's thread may run beside the next one.
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        key = _VARIABLES[name]
        text = value if value.isascii() else _as_latin_1(value)
        if key in environ:
            environ[key] += f",{text}"
        elif key:
            environ[key] = text
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


class _Variables(dict[str, str]):
    """Maps a header's name to its key in the environ, and to "" if the header is left out.

    A name with `_` is left out, as Gunicorn, Werkzeug and Django leave it out: its key is that of a
    name with `-`, so that a client could forge a header of a proxy.
    """

    def __missing__(self, name: str) -> str:
        variable = name.upper().replace("-", "_")
        if name not in ("content-type", "content-length"):
            variable = "" if "_" in name else f"HTTP_{variable}"
        # Clients choose the names.
        if len(self) < _MOST_VARIABLES:
            self[name] = variable
        return variable


_VARIABLES = _Variables()


def _as_latin_1(text: str) -> str:
    """Return the UTF-8 bytes of a text as PEP 3333 has them, a character for each byte."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


class _Reply:
    """What the application has answered so far."""

    __slots__ = ("_pieces", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)

    def start(
        self,
        status: str,
        headers: Iterable[tuple[str, str]],
        exc_info: _ExceptionInfo | None = None,
    ) -> Callable[[bytes], None]:
        """PEP 3333's `start_response`. With `exc_info`, an error replaces status and headers."""
        if exc_info is not None and exc_info[1] is not None:
            if self._pieces:
                # A server would have sent the headers with the first piece.
                raise exc_info[1].with_traceback(exc_info[2])
        elif self.status:
            raise RuntimeError("the application has called start_response already")
        self.status = int(status[:3])
        # Django's cookies begin with a space.
        self.headers = [
            (name.encode("latin-1"), value.strip(" ").encode("latin-1")) for name, value in headers
        ]
        return self.write

    def write(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if piece:
            if not self.status:
                raise RuntimeError(_NOT_STARTED)
            self._pieces.append(piece)


def _run(app: _App, environ: dict[str, Any]) -> _Reply:
    """Call the application, and collect its answer."""
    reply = _Reply()
    pieces = app(environ, reply.start)
    try:
        for piece in pieces:
            reply.write(piece)
    finally:
        _close(pieces)
    if not reply.status:
        raise RuntimeError(_NOT_STARTED)
    return reply


def _close(pieces: object) -> None:
    """Close an iterable that can be closed. An error does not change the answer, as on a server."""
    close = getattr(pieces, "close", None)
    if close is not None:
        try:
            close()
        except Exception:
            logger.exception("the application raised when its answer was closed")
