"""Application Load Balancers with a function as target.

A load balancer does not decode query parameters. It sends the last of several equal headers and
parameters, or all of them if its target group enables multi-value headers. (Elastic Load Balancing:
Lambda functions as targets.)
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import attrs

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
    read_list,
    read_object,
    read_status,
)
from .route_table import RouteMatch

__all__ = ["LOAD_BALANCER", "MULTI_VALUE_LOAD_BALANCER"]

_LIMIT = 1024 * 1024
"""Bytes of a request's body, and of the function's result, at most."""

_TARGET_GROUP = (
    f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:targetgroup/local/0123456789abcdef"
)


def make_event(
    request: IncomingRequest, match: RouteMatch, *, multi_value: bool = False
) -> dict[str, Any]:
    """Return the event of a request.

    Args:
        request: the request.
        match: its route.
        multi_value: whether multi-value headers are enabled.
    """
    fields = [field.partition("=") for field in request.raw_query.split("&") if field]
    query = [(name, value) for name, _, value in fields]
    body, encoded = encode_body(request)
    headers = request.forwarded_headers()
    values: dict[str, Any] = {"queryStringParameters": dict(query), "headers": dict(headers)}
    if multi_value:
        values = {
            "multiValueQueryStringParameters": _collect(query),
            "multiValueHeaders": _collect(headers),
        }
    return {
        "requestContext": {"elb": {"targetGroupArn": _TARGET_GROUP}},
        "httpMethod": request.method,
        "path": request.raw_path,
        **values,
        "body": body,
        "isBase64Encoded": encoded,
    }


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def make_response(
    payload: bytes, request: IncomingRequest, *, multi_value: bool = False
) -> OutgoingResponse:
    """Return the response for the payload of a successful invocation.

    Raises:
        MalformedResult: the result is not what a load balancer accepts.
    """
    if len(payload) > _LIMIT:
        raise MalformedResult(f"the response is larger than {_LIMIT} bytes")
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

MULTI_VALUE_LOAD_BALANCER = attrs.evolve(
    LOAD_BALANCER,
    make_event=partial(make_event, multi_value=True),
    make_response=partial(make_response, multi_value=True),
)
