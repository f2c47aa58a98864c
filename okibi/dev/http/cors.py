"""Answer preflight requests and add headers as function URLs and API Gateway do.

An HTTP API replaces the CORS headers of the function. A function URL adds its own to those of the
function; a browser refuses the duplicates. A REST API only answers preflight requests: the function
itself adds the headers to other responses. (Lambda: function URL configuration; API Gateway:
CORS for HTTP APIs and REST APIs.)
"""

from collections.abc import Sequence

from ...local.services.http_events import IncomingRequest
from ...local.services.http_results import OutgoingResponse
from ..dev_function import Cors

_PREFIX = "access-control-"


def is_preflight(request: IncomingRequest) -> bool:
    """Whether a browser asks if it may send a request."""
    return (
        request.method == "OPTIONS"
        and bool(request.header("origin"))
        and bool(requested_method(request))
    )


def requested_method(request: IncomingRequest) -> str:
    """Return the method that a preflight request asks for, or ""."""
    return request.header("access-control-request-method").upper()


def answer_preflight(cors: Cors, request: IncomingRequest, kind: str) -> OutgoingResponse:
    """Return the answer to a preflight request; the function is not invoked.

    An origin that is not allowed gets an answer without CORS headers.

    Args:
        cors: the configuration.
        request: the preflight request.
        kind: `url`, or the kind of the route.
    """
    status = 204 if kind == "http-api" else 200
    headers = _origin_headers(cors, request, kind)
    if headers:
        headers += _list_header("allow-methods", cors.allow_methods)
        headers += _list_header("allow-headers", cors.allow_headers)
        if cors.max_age is not None:
            headers.append((f"{_PREFIX}max-age", str(cors.max_age)))
    return OutgoingResponse(status, headers)


def add_cors_headers(
    cors: Cors | None, request: IncomingRequest, kind: str, headers: Sequence[tuple[str, str]]
) -> tuple[list[tuple[str, str]], str]:
    """Return the headers of a response with those of the configuration, and a remark or "".

    Args:
        cors: the configuration, or None.
        request: the request.
        kind: `url`, or the kind of the route.
        headers: the headers of the function.
    """
    kept = list(headers)
    if cors is None or kind not in ("url", "http-api"):
        return kept, ""
    if kind == "http-api":
        kept = [(name, value) for name, value in kept if not name.lower().startswith(_PREFIX)]
    if not request.header("origin"):
        return kept, ""
    added = _origin_headers(cors, request, kind)
    both = {name.lower() for name, _ in kept} & {name for name, _ in added}
    remark = ""
    if f"{_PREFIX}allow-origin" in both:
        remark = (
            "both the function and the CORS configuration of its URL send"
            " Access-Control-Allow-Origin; browsers refuse two, so leave it out of the function"
        )
    return kept + added, remark


def _origin_headers(cors: Cors, request: IncomingRequest, kind: str) -> list[tuple[str, str]]:
    origin = request.header("origin")
    if not any(_is_allowed(origin, allowed) for allowed in cors.allow_origins):
        return []
    if "*" in cors.allow_origins and kind != "url":
        # With "*", a function URL still repeats the origin.
        origin = "*"
    headers = [(f"{_PREFIX}allow-origin", origin)]
    if origin != "*":
        headers.append(("vary", "Origin"))
    if cors.allow_credentials:
        headers.append((f"{_PREFIX}allow-credentials", "true"))
    return headers + _list_header("expose-headers", cors.expose_headers)


def _is_allowed(origin: str, allowed: str) -> bool:
    if allowed.endswith("*"):
        # "*", "http://*", "https://*"
        return origin.startswith(allowed[:-1])
    return origin == allowed.removesuffix("/")


def _list_header(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(_PREFIX + name, ",".join(values))] if values else []
