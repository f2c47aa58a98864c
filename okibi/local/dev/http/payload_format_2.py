"""Payload format 2.0, the format of function URLs and HTTP APIs.

(Lambda: invoking function URLs; API Gateway: Lambda proxy integrations of HTTP APIs.)
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from .incoming_request import IncomingRequest, encode_body
from .outgoing_response import (
    OutgoingResponse,
    add_content_type,
    check_header,
    drop_headers,
    parse_result,
    read_body,
    read_list,
    read_object,
    read_status,
)

__all__ = ["make_event", "make_response", "response_headers"]

# Headers of the connection between client and front end.
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "te", "transfer-encoding", "upgrade"))


def make_event(
    request: IncomingRequest,
    *,
    path: str,
    route_key: str,
    context: Mapping[str, Any],
    path_parameters: Mapping[str, str],
    keep_cookie_header: bool,
) -> dict[str, Any]:
    """Return the event. As on AWS, it has no field for what the request does not have.

    Args:
        request: the request.
        path: `rawPath`.
        route_key: such as `GET /visits/{name}`, or `$default`.
        context: the fields of `requestContext` that differ between the services.
        path_parameters: the variables of the path, decoded.
        keep_cookie_header: whether `headers` has `cookie` besides the field `cookies`.
    """
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.forwarded_headers():
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
            if keep_cookie_header:
                headers[name] = f"{headers[name]}; {value}" if name in headers else value
        elif name not in _HOP_BY_HOP:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    time_text, time_epoch = request.time_texts()
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": request.raw_query,
    }
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers
    if parameters := request.query_parameters():
        event["queryStringParameters"] = {
            name: ",".join(values) for name, values in parameters.items()
        }
    event["requestContext"] = {
        **context,
        "domainName": request.header("host"),
        "http": {
            "method": request.method,
            "path": path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent"),
        },
        "routeKey": route_key,
        "stage": "$default",
        "time": time_text,
        "timeEpoch": time_epoch,
    }
    if path_parameters:
        event["pathParameters"] = dict(path_parameters)
    body, encoded = encode_body(request)
    if body:
        event["body"] = body
    event["isBase64Encoded"] = encoded
    return event


def make_response(payload: bytes, *, content_type: str, remap: bool) -> OutgoingResponse:
    """Return the response for a result.

    A result without `statusCode` is the body of a JSON response with status 200; a string is sent
    without its quotation marks.

    Args:
        payload: the result, as JSON.
        content_type: the media type of a response that names none.
        remap: see drop_headers.

    Raises:
        MalformedResult: the result has `statusCode` and is no valid response.
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
    status, headers = response_headers(fields, remap=remap)
    remark = ""
    if fields.get("multiValueHeaders"):
        remark = (
            "multiValueHeaders is ignored in payload format 2.0; join the values by commas in"
            " headers, and list Set-Cookie values in cookies"
        )
    body = read_body(fields.get("body"), decode=fields.get("isBase64Encoded") is True)
    return OutgoingResponse(status, add_content_type(headers, content_type), body, remark)


def response_headers(
    result: Mapping[str, Any], *, remap: bool
) -> tuple[int, list[tuple[str, str]]]:
    """Return status and headers of a response, with its cookies.

    Args:
        result: an object with `statusCode`, `headers` and `cookies`.
        remap: see drop_headers.

    Raises:
        MalformedResult: a field is invalid.
    """
    status = read_status(result.get("statusCode", 200))
    fields = read_object(result.get("headers") or {}, "headers")
    headers = [check_header(name, value) for name, value in fields.items() if value is not None]
    cookies = read_list(result.get("cookies") or [], "cookies")
    headers = drop_headers(headers, remap=remap)
    return status, headers + [check_header("set-cookie", cookie) for cookie in cookies]
