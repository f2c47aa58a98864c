"""Application Load Balancers with a function as target.

A load balancer does not decode query parameters. It sends the last of several equal headers and
parameters, or lists of all with multi-value headers enabled; the function answers in the same form.
(Elastic Load Balancing: Lambda functions as targets.)
"""

from functools import partial
from typing import Any

from ...settings import ACCOUNT_ID
from .http_service import HttpService
from .incoming_request import IncomingRequest, encode_body
from .outgoing_response import (
    MalformedResult,
    OutgoingResponse,
    check_header,
    drop_headers,
    parse_result,
    read_body,
    read_list,
    read_object,
    read_status,
)
from .route_table import RouteMatch

__all__ = ["load_balancer"]

_LIMIT = 1024 * 1024
"""Bytes of a request's body, and of the function's result, at most."""

_TARGET_GROUP = (
    f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT_ID}:targetgroup/local/0123456789abcdef"
)


def load_balancer(*, multi_value_headers: bool = False) -> HttpService:
    """Return the service.

    Args:
        multi_value_headers: whether it sends lists of values
            (lambda.multi_value_headers.enabled).
    """
    bad_gateway = _page(502, "Bad Gateway")
    return HttpService(
        title="load balancer",
        make_event=partial(make_event, multi_value_headers=multi_value_headers),
        make_response=partial(make_response, multi_value_headers=multi_value_headers),
        malformed=bad_gateway,
        failed=bad_gateway,
        throttled=bad_gateway,
        too_large=_page(413, "Request Entity Too Large"),
        late=_page(504, "Gateway Time-out"),
        answer_headers=_answer_headers,
        body_limit=_LIMIT,
    )


def make_event(
    request: IncomingRequest, match: RouteMatch, *, multi_value_headers: bool = False
) -> dict[str, Any]:
    """Return the event of a request."""
    headers: dict[str, list[str]] = {}
    for name, value in request.forwarded_headers():
        headers.setdefault(name, []).append(value)
    query: dict[str, list[str]] = {}
    for field in filter(None, request.raw_query.split("&")):
        name, _, value = field.partition("=")
        query.setdefault(name, []).append(value)
    event: dict[str, Any] = {
        "requestContext": {"elb": {"targetGroupArn": _TARGET_GROUP}},
        "httpMethod": request.method,
        "path": request.raw_path,
    }
    if multi_value_headers:
        event["multiValueQueryStringParameters"] = query
        event["multiValueHeaders"] = headers
    else:
        event["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
        event["headers"] = {name: values[-1] for name, values in headers.items()}
    event["body"], event["isBase64Encoded"] = encode_body(request)
    return event


def make_response(
    payload: bytes, request: IncomingRequest, *, multi_value_headers: bool = False
) -> OutgoingResponse:
    """Return the response for the payload of a successful invocation.

    Raises:
        MalformedResult: the result is not what a load balancer accepts.
    """
    if len(payload) > _LIMIT:
        raise MalformedResult(f"the response is larger than {_LIMIT} bytes")
    result = read_object(parse_result(payload), "the response")
    status = read_status(result.get("statusCode"))
    field = "multiValueHeaders" if multi_value_headers else "headers"
    fields = read_object(result.get(field) or {}, field)
    headers: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = read_list(value, f"{field}: {name!r:.80}") if multi_value_headers else [value]
        headers += [check_header(name, text) for text in values]
    headers = drop_headers(headers, remap=False)
    if all(name.lower() != "content-type" for name, _ in headers):
        headers.insert(0, ("content-type", "application/octet-stream"))
    body = read_body(result.get("body"), decode=result.get("isBase64Encoded") is True)
    remark = ""
    other = "headers" if multi_value_headers else "multiValueHeaders"
    if result.get(other) and not fields:
        remark = f"{other} is ignored: this load balancer reads {field}"
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
