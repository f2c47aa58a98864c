"""Application Load Balancers with a function as target.

A load balancer does not decode query parameters. It sends the last of several equal headers and
parameters: multi-value headers are not enabled. (Elastic Load Balancing: Lambda functions as
targets.)
"""

from typing import Any

from ...settings import ACCOUNT_ID, REGION
from .http_service import HttpService
from .incoming_request import IncomingRequest, encode_body
from .outgoing_response import (
    MalformedResult,
    OutgoingResponse,
    add_content_type,
    check_header,
    drop_headers,
    parse_result,
    read_body,
    read_object,
    read_status,
)
from .route_table import RouteMatch

__all__ = ["LOAD_BALANCER"]

_LIMIT = 1024 * 1024
"""Bytes of a request's body, and of the function's result, at most."""

_TARGET_GROUP = (
    f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:targetgroup/local/0123456789abcdef"
)


def make_event(request: IncomingRequest, match: RouteMatch) -> dict[str, Any]:
    """Return the event of a request."""
    query: dict[str, str] = {}
    for field in filter(None, request.raw_query.split("&")):
        name, _, value = field.partition("=")
        query[name] = value
    body, encoded = encode_body(request)
    return {
        "requestContext": {"elb": {"targetGroupArn": _TARGET_GROUP}},
        "httpMethod": request.method,
        "path": request.raw_path,
        "queryStringParameters": query,
        "headers": dict(request.forwarded_headers()),
        "body": body,
        "isBase64Encoded": encoded,
    }


def make_response(payload: bytes, request: IncomingRequest) -> OutgoingResponse:
    """Return the response for the payload of a successful invocation.

    Raises:
        MalformedResult: the result is not what a load balancer accepts.
    """
    if len(payload) > _LIMIT:
        raise MalformedResult(f"the response is larger than {_LIMIT} bytes")
    result = read_object(parse_result(payload), "the response")
    status = read_status(result.get("statusCode"))
    fields = read_object(result.get("headers") or {}, "headers")
    headers = [check_header(name, value) for name, value in fields.items()]
    headers = add_content_type(drop_headers(headers, remap=False), "application/octet-stream")
    body = read_body(result.get("body"), decode=result.get("isBase64Encoded") is True)
    remark = ""
    if result.get("multiValueHeaders") and not fields:
        remark = "multiValueHeaders is ignored: this load balancer reads headers"
    return OutgoingResponse(status, headers, body, remark)


def _page(status: int, phrase: str) -> OutgoingResponse:
    title = f"{status} {phrase}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return OutgoingResponse(status, (("content-type", "text/html"),), page.encode())


def _answer_headers(_: IncomingRequest) -> list[tuple[str, str]]:
    return []


_BAD_GATEWAY = _page(502, "Bad Gateway")

LOAD_BALANCER = HttpService(
    title="load balancer",
    make_event=make_event,
    make_response=make_response,
    malformed=_BAD_GATEWAY,
    failed=_BAD_GATEWAY,
    throttled=_BAD_GATEWAY,
    too_large=_page(413, "Request Entity Too Large"),
    late=_page(504, "Gateway Time-out"),
    answer_headers=_answer_headers,
    body_limit=_LIMIT,
)
