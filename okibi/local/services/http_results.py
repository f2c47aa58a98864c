"""Read the result of a function into an HTTP response, as each of AWS's HTTP services does.

`http_events` is the way there: it makes the event of a request.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from .http_events import is_binary
from .result_checks import (
    PRELUDE_END,
    PRELUDE_LIMIT,
    MalformedResult,
    add_content_type,
    check_header,
    describe_json,
    drop_headers,
    has_prelude,
    parse_result,
    read_body,
    read_list,
    read_object,
    read_status,
)

# The media type of a streamed response that begins with a prelude (Lambda: response streaming).
HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"

# Bytes of a request's body, and of the function's result, at most (Elastic Load Balancing).
LOAD_BALANCER_LIMIT = 1024 * 1024

_REST_API_FIELDS = frozenset(
    ("statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded")
)


@attrs.frozen
class OutgoingResponse:
    """One HTTP response.

    Args:
        status: the HTTP status.
        headers: names and values; `Content-Length` is left to the front.
        body: the whole body.
        remark: one line for the console about a response that the function did not intend, or "".
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    remark: str = ""


# -- payload format 2.0


def read_function_url_result(payload: bytes) -> OutgoingResponse:
    """Return the response of a function URL that buffers.

    Args:
        payload: the result, as JSON.

    Raises:
        MalformedResult: the result has `statusCode` and is no valid response.
    """
    try:
        return _read_payload_2(payload, content_type="application/json", remap=True)
    except MalformedResult:
        if not has_prelude(payload):
            raise
    # As on AWS, a URL that buffers sends the prelude as part of the body.
    return OutgoingResponse(
        200,
        (("content-type", "application/json"),),
        payload,
        "the function streamed its response, but its URL buffers: set streaming = true"
        " (InvokeMode RESPONSE_STREAM)",
    )


def read_http_api_result(payload: bytes) -> OutgoingResponse:
    """Return the response of an HTTP API.

    Args:
        payload: the result, as JSON.

    Raises:
        MalformedResult: the result has `statusCode` and is no valid response.
    """
    return _read_payload_2(payload, content_type="text/plain; charset=utf-8", remap=False)


def _read_payload_2(payload: bytes, *, content_type: str, remap: bool) -> OutgoingResponse:
    """Return the response for a result.

    A result without `statusCode` is the body of a JSON response with status 200; a string is sent
    without its quotation marks.

    Args:
        payload: the result, as JSON.
        content_type: the media type of a response that names none.
        remap: keep some headers as `x-amzn-remapped-…` (see `drop_headers`).
    """
    result = parse_result(payload)
    if not isinstance(result, dict) or "statusCode" not in result:
        if isinstance(result, str):
            body = result.encode()
        else:
            # AWS, too, sends JSON without spaces. Formatting keeps the digits of numbers.
            body = msgspec.json.format(payload, indent=-1)
        return OutgoingResponse(200, (("content-type", "application/json"),), body)
    fields = read_object(result, "the response")
    status, headers = _read_payload_2_head(fields, remap=remap)
    remark = ""
    if fields.get("multiValueHeaders"):
        remark = (
            "multiValueHeaders is ignored in payload format 2.0; join the values by commas in"
            " headers, and list Set-Cookie values in cookies"
        )
    body = read_body(fields.get("body"), decode=fields.get("isBase64Encoded") is True)
    return OutgoingResponse(status, add_content_type(headers, content_type), body, remark)


def _read_payload_2_head(
    result: Mapping[str, Any], *, remap: bool
) -> tuple[int, list[tuple[str, str]]]:
    """Return status and headers of a response, with its cookies."""
    status = read_status(result.get("statusCode", 200))
    fields = read_object(result.get("headers") or {}, "headers")
    headers = [check_header(name, value) for name, value in fields.items() if value is not None]
    cookies = read_list(result.get("cookies") or [], "cookies")
    headers = drop_headers(headers, remap=remap)
    return status, headers + [check_header("set-cookie", cookie) for cookie in cookies]


# -- streams of function URLs


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
            " JSON. Yield a Prelude and the body, or ASGI(app, streams=True), or set streaming ="
            " false"
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
        prelude, end, body = self._buffer[: PRELUDE_LIMIT + 8].partition(PRELUDE_END)
        if not end:
            if len(self._buffer) > PRELUDE_LIMIT:
                raise MalformedResult("the stream has no prelude that ends within 16 KB")
            return None
        try:
            fields = msgspec.json.decode(prelude)
        except msgspec.DecodeError:
            raise MalformedResult("the prelude of the stream is not JSON") from None
        fields = read_object(fields, "the prelude of the stream")
        status, headers = _read_payload_2_head(fields, remap=True)
        body = self._buffer[len(prelude) + len(end) :]
        return OutgoingResponse(status, add_content_type(headers, "application/octet-stream"), body)


# -- payload format 1.0


def read_rest_api_result(
    payload: bytes, accept: str = "", binary_media_types: Collection[str] = ()
) -> OutgoingResponse:
    """Return the response of a REST API.

    As observed, a result with any other field than the five documented ones is a 502, and so is a
    body that is no string.

    Args:
        payload: the result, as JSON.
        accept: the header `Accept` of the request.
        binary_media_types: the media types for which the API decodes Base64.

    Raises:
        MalformedResult: the result is not what API Gateway accepts.
    """
    result = read_object(parse_result(payload), "the response")
    if unknown := sorted(result.keys() - _REST_API_FIELDS):
        raise MalformedResult(
            f"{unknown[0]!r:.80} is no field of a REST API's response; the fields are"
            f" {', '.join(sorted(_REST_API_FIELDS))}"
        )
    headers = drop_headers(_read_payload_1_headers(result), remap=True)
    status = read_status(result.get("statusCode", 200))
    remark = ""
    decode = result.get("isBase64Encoded") is True
    if decode and not is_binary(accept, binary_media_types):
        decode = False
        remark = (
            "isBase64Encoded is true, but the Accept header names none of the API's binary media"
            " types: the client gets the Base64 text, as on AWS"
        )
    body = read_body(result.get("body"), decode=decode)
    return OutgoingResponse(status, add_content_type(headers, "application/json"), body, remark)


def _read_payload_1_headers(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers; those of `headers` follow those of `multiValueHeaders`."""
    single = read_object(result.get("headers") or {}, "headers")
    multi = read_object(result.get("multiValueHeaders") or {}, "multiValueHeaders")
    headers: list[tuple[str, str]] = []
    for name, values in multi.items():
        texts = read_list(values, f"multiValueHeaders: {name!r:.80}")
        headers += [_check_payload_1_header(name, text) for text in texts]
    return headers + [_check_payload_1_header(name, value) for name, value in single.items()]


def _check_payload_1_header(name: str, value: Any) -> tuple[str, str]:
    if not isinstance(value, (str, bool)):
        raise MalformedResult(f"headers: {name!r:.80} must be a string, got {describe_json(value)}")
    return check_header(name, value)


def read_http_api_result_1(payload: bytes) -> OutgoingResponse:
    """Return the response of an HTTP API with payload format 1.0.

    Args:
        payload: the result, as JSON.

    Raises:
        MalformedResult: the result is no object, or no valid response.
    """
    result = read_object(parse_result(payload), "the response")
    headers = drop_headers(_read_payload_1_headers(result), remap=False)
    status = read_status(result.get("statusCode"))
    remark = ""
    if result.get("cookies"):
        remark = (
            "cookies is ignored in payload format 1.0; list Set-Cookie values in multiValueHeaders"
        )
    body = read_body(result.get("body"), decode=result.get("isBase64Encoded") is True)
    headers = add_content_type(headers, "text/plain; charset=utf-8")
    return OutgoingResponse(status, headers, body, remark)


# -- load balancers


def read_load_balancer_result(payload: bytes, *, multi_value: bool = False) -> OutgoingResponse:
    """Return the response of a load balancer.

    Args:
        payload: the result, as JSON.
        multi_value: whether the target group enables multi-value headers.

    Raises:
        MalformedResult: the result is not what a load balancer accepts.
    """
    if len(payload) > LOAD_BALANCER_LIMIT:
        raise MalformedResult(f"the response is larger than {LOAD_BALANCER_LIMIT} bytes")
    result = read_object(parse_result(payload), "the response")
    status = read_status(result.get("statusCode"))
    read, ignored = "headers", "multiValueHeaders"
    if multi_value:
        read, ignored = ignored, read
    fields = read_object(result.get(read) or {}, read)
    headers = [
        check_header(name, value)
        for name, own in fields.items()
        for value in (read_list(own, f"{read}: {name!r:.80}") if multi_value else [own])
    ]
    headers = add_content_type(drop_headers(headers, remap=False), "application/octet-stream")
    body = read_body(result.get("body"), decode=result.get("isBase64Encoded") is True)
    remark = ""
    if result.get(ignored) and not fields:
        remark = f"{ignored} is ignored: this load balancer reads {read}"
    return OutgoingResponse(status, headers, body, remark)
