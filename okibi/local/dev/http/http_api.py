"""HTTP APIs of API Gateway: payload format 2.0 behind routes.

The path is decoded in `rawPath`, also in `%2F` (observed). An error of the function is a 500; the
API waits 30 s for the function. (API Gateway: HTTP APIs.)
"""

import base64
import uuid
from typing import Any
from urllib.parse import unquote

from ...settings import ACCOUNT_ID
from ..dev_function import DEFAULT_PATH
from . import payload_format_2
from .http_service import HttpService
from .incoming_request import IncomingRequest
from .outgoing_response import OutgoingResponse, json_answer
from .route_table import RouteMatch

__all__ = ["HTTP_API", "NOT_FOUND"]

_FAILED = json_answer(500, '{"message":"Internal Server Error"}')
_UNAVAILABLE = json_answer(503, '{"message":"Service Unavailable"}')

NOT_FOUND = json_answer(404, '{"message":"Not Found"}')
"""The answer to a request without a route."""


def short_request_id(request_id: str) -> str:
    """Return a request id in the short form of API Gateway, such as `LV7fzho-PHcEJPw=`."""
    return base64.urlsafe_b64encode(uuid.UUID(request_id).bytes[:11]).decode()


def make_event(request: IncomingRequest, match: RouteMatch) -> dict[str, Any]:
    """Return the event of a request."""
    route = match.route
    return payload_format_2.make_event(
        request,
        path=unquote(request.raw_path),
        route_key=DEFAULT_PATH if route.is_default else f"{route.method} {route.path}",
        context={
            "accountId": ACCOUNT_ID,
            "apiId": "local",
            "domainPrefix": "local",
            "requestId": short_request_id(request.request_id),
        },
        path_parameters=match.path_parameters,
        keep_cookie_header=False,
    )


def make_response(payload: bytes, request: IncomingRequest) -> OutgoingResponse:
    """Return the response for the payload of a successful invocation."""
    return payload_format_2.make_response(
        payload, content_type="text/plain; charset=utf-8", remap=False
    )


def _answer_headers(request: IncomingRequest) -> list[tuple[str, str]]:
    return [("apigw-requestid", short_request_id(request.request_id))]


HTTP_API = HttpService(
    title="HTTP API",
    make_event=make_event,
    make_response=make_response,
    malformed=_FAILED,
    failed=_FAILED,
    throttled=_UNAVAILABLE,
    too_large=json_answer(413, '{"message":"Request Entity Too Large"}'),
    late=_UNAVAILABLE,
    answer_headers=_answer_headers,
    time_limit=30.0,
)
