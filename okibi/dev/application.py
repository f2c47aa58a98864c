"""The ASGI application of `okibi dev`: who may call, and who answers."""

import logging
from collections.abc import Collection, MutableMapping
from typing import Any

import attrs

from ..local.invoke_api.invoke_errors import InvokeError
from ..local.invoke_api.lambda_operations import is_lambda_path
from ..local.invoke_api.operations import error_response
from ..local.server.browser_requests import SINGLE_HEADERS, browser_refusal, host_refusal
from .asgi import AsgiApplication, ClientLeft, Receive, Scope, Send, read_body, send_response
from .live_trees import TREE_PATH
from .scheduler_api import is_scheduler_request

_logger = logging.getLogger("okibi.dev")


@attrs.define(eq=False)
class DevApplication:
    """Passes requests on to Lambda's API or to the functions' HTTP routes (ASGI 3).

    A web page may call the HTTP routes, whose CORS configuration decides what it may read. It may
    not call Lambda's API. The Host header is checked everywhere, against DNS rebinding.

    Args:
        lambda_api: serves Lambda's API.
        http: serves function URLs and routes.
        allowed_hosts: host names that clients may use, besides `localhost`, `*.localhost` and
            loopback addresses.
        any_address: whether clients may use every IP address, for a server that listens beyond
            loopback.
        trees: serves the trees of the sandboxes; None leaves their path to `http`. A web page may
            not call it either.
        scheduler: serves the API of EventBridge Scheduler; None leaves it to `http`. A web page may
            not call it either.
    """

    lambda_api: AsgiApplication
    http: AsgiApplication
    allowed_hosts: Collection[str] = ()
    any_address: bool = False
    trees: AsgiApplication | None = None
    scheduler: AsgiApplication | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] == "websocket":
            # Neither function URLs nor HTTP APIs take WebSockets. The server answers 403.
            await receive()
            await send({"type": "websocket.close"})
        else:
            await self._serve_request(scope, receive, send)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracked = _TrackedSend(send)
        application = self._choose(scope)
        try:
            if refused := self._refuse(scope):
                await read_body(receive, 0)
                raise refused
            await application(scope, receive, tracked)
        except ClientLeft:
            return
        except InvokeError as error:
            await send_response(tracked, error_response(error))
        except Exception as error:
            # One request must not end the server.
            _logger.exception("cannot serve %s %s", scope["method"], scope["path"])
            if not tracked.started:
                failed = InvokeError(
                    500,
                    "ServiceException",
                    f"okibi dev could not serve the request: {type(error).__name__}: {error}",
                )
                await send_response(tracked, error_response(failed))

    def _choose(self, scope: Scope) -> AsgiApplication:
        path = scope["path"]
        if self.scheduler is not None and is_scheduler_request(scope):
            return self.scheduler
        if path == TREE_PATH and self.trees is not None:
            return self.trees
        return self.lambda_api if is_lambda_path(path) else self.http

    def _refuse(self, scope: Scope) -> InvokeError | None:
        """Return why the request is refused; None if it is served."""
        if malformed := _describe_malformed(scope):
            # What follows on the connection may be a part of this request.
            close = {"Connection": "close"} if scope["http_version"] != "2" else {}
            return InvokeError(400, "BadRequestException", malformed, headers=close)
        headers = dict(scope["headers"])
        is_http = self._choose(scope) is self.http
        refusal = host_refusal if is_http else browser_refusal
        why = refusal(headers, self.allowed_hosts, any_address=self.any_address)
        if b"host" not in headers and scope["http_version"] != "1.0":
            why = "the Host header is missing"
        return InvokeError(403, "AccessDeniedException", why) if why else None


def _describe_malformed(scope: Scope) -> str:
    """Return what two programs could read differently in the headers; "" if nothing."""
    names = [name for name, _ in scope["headers"]]
    for name in sorted(SINGLE_HEADERS):
        if names.count(name) > 1:
            return f"the request has two {name.decode().title()} headers; send one"
    if b"content-length" in names and b"transfer-encoding" in names:
        return "the request has Content-Length and Transfer-Encoding; send one of them"
    return ""


@attrs.define(eq=False)
class _TrackedSend:
    """ASGI's send, and whether the response has been started."""

    _send: Send
    started: bool = attrs.field(default=False, init=False)

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.started = True
        await self._send(message)
