"""Function URLs, HTTP APIs, REST APIs and load balancers, as one value each.

The answers of the services themselves are those observed.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import attrs

from ...local.limits import MAX_EVENT_SIZE
from ...local.services.http_events import (
    IncomingRequest,
    is_binary,
    make_function_url_event,
    make_http_api_event,
    make_http_api_event_1,
    make_load_balancer_event,
    make_rest_api_event,
    short_request_id,
)
from ...local.services.http_results import (
    LOAD_BALANCER_LIMIT,
    OutgoingResponse,
    read_function_url_result,
    read_http_api_result,
    read_http_api_result_1,
    read_load_balancer_result,
    read_rest_api_result,
)
from ...local.services.route_path import route_key
from ..dev_function import Route
from .route_table import RouteMatch

Headers: TypeAlias = Sequence[tuple[str, str]]


def _no_remark(_: IncomingRequest) -> str:
    return ""


@attrs.frozen
class HttpService:
    """The rules by which an AWS service makes events of requests, and responses of results.

    Args:
        title: the name for the console.
        make_event: returns the event of a request.
        read_result: returns the response for the payload of a successful invocation; raises
            MalformedResult.
        malformed: the answer if the function's result is no response.
        failed: the answer if the function failed or timed out.
        throttled: the answer if the function takes no more events.
        too_large: the answer to a body or an event that is too large.
        late: the answer if the service itself stops waiting.
        answer_headers: returns the headers that the service adds to each response.
        remark_on: returns one line for the console about a request that the function cannot read as
            it was sent, or "".
        body_limit: bytes of a request's body at most.
        time_limit: seconds that the service waits for the function; None for no limit.
    """

    title: str
    make_event: Callable[[IncomingRequest, RouteMatch], dict[str, Any]]
    read_result: Callable[[bytes, IncomingRequest], OutgoingResponse]
    malformed: OutgoingResponse
    failed: OutgoingResponse
    throttled: OutgoingResponse
    too_large: OutgoingResponse
    late: OutgoingResponse
    answer_headers: Callable[[IncomingRequest], list[tuple[str, str]]]
    remark_on: Callable[[IncomingRequest], str] = _no_remark
    body_limit: int = MAX_EVENT_SIZE
    time_limit: float | None = None


def service_of(route: Route) -> HttpService:
    """Return the service of a route."""
    if route.kind == "rest-api":
        return rest_api(tuple(route.binary_media_types))
    if route.kind == "http-api":
        return HTTP_API if route.payload_format == "2.0" else HTTP_API_1
    return MULTI_VALUE_LOAD_BALANCER if route.multi_value_headers else LOAD_BALANCER


def json_answer(status: int, body: str, headers: Headers = ()) -> OutgoingResponse:
    """Return an answer of AWS's own, with the media type of JSON."""
    return OutgoingResponse(status, (("content-type", "application/json"), *headers), body.encode())


def _error_type(name: str) -> Headers:
    return (("x-amzn-errortype", name),)


# -- function URLs. Every failure of the function is a 502, a time-out included.

_URL_FAILED = OutgoingResponse(
    502, (("content-type", "application/json"),), b"Internal Server Error"
)

FUNCTION_URL = HttpService(
    title="function URL",
    make_event=lambda request, match: make_function_url_event(request, match.function),
    read_result=lambda payload, _: read_function_url_result(payload),
    malformed=_URL_FAILED,
    failed=_URL_FAILED,
    throttled=json_answer(
        429, '{"Message":"Rate Exceeded."}', _error_type("TooManyRequestsException")
    ),
    too_large=json_answer(
        413,
        '{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}',
        _error_type("RequestTooLargeException"),
    ),
    late=_URL_FAILED,
    answer_headers=lambda request: [
        ("x-amzn-requestid", request.request_id),
        ("x-amzn-trace-id", request.trace_root),
    ],
)


# -- HTTP APIs

_API_FAILED = json_answer(500, '{"message":"Internal Server Error"}')
_UNAVAILABLE = json_answer(503, '{"message":"Service Unavailable"}')

# The answer of an HTTP API to a request without a route.
NOT_FOUND = json_answer(404, '{"message":"Not Found"}')


def _http_api(
    make_event: Callable[[IncomingRequest, RouteMatch], dict[str, Any]],
    read_result: Callable[[bytes], OutgoingResponse],
) -> HttpService:
    return HttpService(
        title="HTTP API",
        make_event=make_event,
        read_result=lambda payload, _: read_result(payload),
        malformed=_API_FAILED,
        failed=_API_FAILED,
        throttled=_UNAVAILABLE,
        too_large=json_answer(413, '{"message":"Request Entity Too Large"}'),
        late=_UNAVAILABLE,
        answer_headers=lambda request: [("apigw-requestid", short_request_id(request.request_id))],
        time_limit=30.0,
    )


HTTP_API = _http_api(
    lambda request, match: make_http_api_event(
        request, route_key(match.route.method, match.route.path), match.path_parameters
    ),
    read_http_api_result,
)
# With payload format 1.0.
HTTP_API_1 = _http_api(
    lambda request, match: make_http_api_event_1(request, match.route.path, match.path_parameters),
    read_http_api_result_1,
)


# -- REST APIs

_INTERNAL = _error_type("InternalServerErrorException")

# The answer of a REST API to a request without a route.
#
# AWS's text is the same without any authentication.
MISSING_ROUTE = json_answer(
    403,
    '{"message":"Missing Authentication Token"}',
    _error_type("MissingAuthenticationTokenException"),
)


def rest_api(binary_media_types: Collection[str] = ()) -> HttpService:
    """Return the service.

    Args:
        binary_media_types: media types that the API passes as Base64, such as `image/png`,
            `image/*` or `*/*` (API Gateway BinaryMediaTypes).
    """
    return HttpService(
        title="REST API",
        make_event=lambda request, match: make_rest_api_event(
            request,
            match.route.path,
            match.path_parameters,
            stage=match.route.stage,
            binary_media_types=binary_media_types,
        ),
        read_result=lambda payload, request: read_rest_api_result(
            payload, request.header("accept"), binary_media_types
        ),
        malformed=json_answer(502, '{"message": "Internal server error"}', _INTERNAL),
        failed=json_answer(502, '{"message": "Internal server error"}', _INTERNAL),
        throttled=json_answer(500, '{"message": "Internal server error"}', _INTERNAL),
        too_large=json_answer(413, '{"message":"Request Too Long"}'),
        late=json_answer(504, '{"message": "Endpoint request timed out"}', _INTERNAL),
        answer_headers=lambda request: [
            ("x-amzn-requestid", request.request_id),
            ("x-amz-apigw-id", short_request_id(request.request_id)),
            ("x-amzn-trace-id", request.trace_root),
        ],
        remark_on=lambda request: _remark_on_body(request, binary_media_types),
        time_limit=29.0,
    )


def _remark_on_body(request: IncomingRequest, binary_media_types: Collection[str]) -> str:
    if is_binary(request.header("content-type"), binary_media_types):
        return ""
    try:
        request.body.decode()
    except UnicodeDecodeError:
        media_type = request.header("content-type") or "without a media type"
        return (
            f"the body ({media_type:.80}) is binary, but the API has no such binary media type: its"
            " bytes are damaged, as on AWS"
        )
    return ""


# -- load balancers


def _page(status: int, phrase: str) -> OutgoingResponse:
    title = f"{status} {phrase}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return OutgoingResponse(status, (("content-type", "text/html"),), page.encode())


def _load_balancer(*, multi_value: bool) -> HttpService:
    bad_gateway = _page(502, "Bad Gateway")
    return HttpService(
        title="load balancer",
        make_event=lambda request, _: make_load_balancer_event(request, multi_value=multi_value),
        read_result=lambda payload, _: read_load_balancer_result(payload, multi_value=multi_value),
        malformed=bad_gateway,
        failed=bad_gateway,
        throttled=bad_gateway,
        too_large=_page(413, "Request Entity Too Large"),
        late=_page(504, "Gateway Time-out"),
        answer_headers=lambda _: [],
        body_limit=LOAD_BALANCER_LIMIT,
    )


LOAD_BALANCER = _load_balancer(multi_value=False)
MULTI_VALUE_LOAD_BALANCER = _load_balancer(multi_value=True)
