"""Function URLs: payload format 2.0, and responses that are sent while they are produced.

(Lambda: function URLs. Errors as observed: 502 with `Internal Server Error` in plain text for every
failure of the function, a time-out included; 429 when it is throttled.)
"""

from typing import Any

import attrs
import msgspec

from . import payload_format_2
from .http_service import HttpService
from .incoming_request import IncomingRequest
from .outgoing_response import (
    MalformedResult,
    OutgoingResponse,
    add_content_type,
    json_answer,
    read_object,
)
from .route_table import RouteMatch

__all__ = ["FUNCTION_URL", "HTTP_INTEGRATION", "PreludeReader", "stream_without_prelude"]

HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"
"""The media type of a streamed response that begins with a prelude (Lambda: response streaming)."""

_PRELUDE_END = b"\0" * 8
_PRELUDE_LIMIT = 16 * 1024
_FAILED = OutgoingResponse(502, (("content-type", "application/json"),), b"Internal Server Error")


def make_event(request: IncomingRequest, match: RouteMatch) -> dict[str, Any]:
    """Return the event of a request; its path is the one below the function's URL."""
    return payload_format_2.make_event(
        request,
        path=request.raw_path,
        route_key="$default",
        context={
            "accountId": "anonymous",
            "apiId": match.function,
            "domainPrefix": match.function,
            "requestId": request.request_id,
        },
        path_parameters={},
        keep_cookie_header=True,
    )


def make_response(payload: bytes, request: IncomingRequest) -> OutgoingResponse:
    """Return the response for the payload of a successful invocation."""
    try:
        return payload_format_2.make_response(payload, content_type="application/json", remap=True)
    except MalformedResult:
        if _PRELUDE_END not in payload[:_PRELUDE_LIMIT]:
            raise
    # As on AWS, a URL that buffers sends the prelude as part of the body.
    return OutgoingResponse(
        200,
        (("content-type", "application/json"),),
        payload,
        "the function streamed its response, but its URL buffers: set streaming = true"
        " (InvokeMode RESPONSE_STREAM)",
    )


def _answer_headers(request: IncomingRequest) -> list[tuple[str, str]]:
    return [("x-amzn-requestid", request.request_id), ("x-amzn-trace-id", request.trace_root)]


FUNCTION_URL = HttpService(
    title="function URL",
    make_event=make_event,
    make_response=make_response,
    malformed=_FAILED,
    failed=_FAILED,
    throttled=json_answer(
        429, '{"Message":"Rate Exceeded."}', (("x-amzn-errortype", "TooManyRequestsException"),)
    ),
    too_large=json_answer(
        413,
        '{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}',
        (("x-amzn-errortype", "RequestTooLargeException"),),
    ),
    late=_FAILED,
    answer_headers=_answer_headers,
)


def stream_without_prelude(content_type: str, piece: bytes) -> OutgoingResponse:
    """Return the response for a stream of bytes, with the begin of its body.

    A result that is no stream comes through as it is, also one with `statusCode` (Lambda streams
    all payloads of such a URL).

    Args:
        content_type: the media type of the stream.
        piece: the first piece.
    """
    remark = ""
    if content_type == "application/json" and piece.startswith(b"{") and b'"statusCode"' in piece:
        remark = (
            "the URL streams, but the function returned a whole response: the client gets it as"
            " JSON. Yield a Prelude and the body, or set streaming = false"
        )
    return OutgoingResponse(200, (("content-type", content_type),), piece, remark)


@attrs.define
class PreludeReader:
    """Reads the beginning of a streamed response: JSON, eight NULs, then the body.

    Example:
        reader = PreludeReader()
        response = reader.feed(piece)  # None until the prelude is complete
    """

    _buffer: bytes = attrs.field(default=b"", init=False)

    def feed(self, piece: bytes) -> OutgoingResponse | None:
        """Add a piece; return the response with the begin of its body once the prelude ends.

        Raises:
            MalformedResult: the prelude is invalid, or longer than 16 KB.
        """
        self._buffer += piece
        prelude, end, body = self._buffer[: _PRELUDE_LIMIT + 8].partition(_PRELUDE_END)
        if not end:
            if len(self._buffer) > _PRELUDE_LIMIT:
                raise MalformedResult("the stream has no prelude that ends within 16 KB")
            return None
        try:
            fields = msgspec.json.decode(prelude)
        except msgspec.DecodeError:
            raise MalformedResult("the prelude of the stream is not JSON") from None
        fields = read_object(fields, "the prelude of the stream")
        status, headers = payload_format_2.response_headers(fields, remap=True)
        body = self._buffer[len(prelude) + len(end) :]
        return OutgoingResponse(status, add_content_type(headers, "application/octet-stream"), body)
