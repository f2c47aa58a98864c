"""REST APIs of API Gateway: payload format 1.0 behind routes.

(API Gateway: Lambda proxy integrations of REST APIs. As observed, a result with any other field
than the five documented ones is a 502, and so is a body that is no string.)
"""

import base64
from collections.abc import Collection
from functools import partial
from typing import Any

from ...settings import ACCOUNT_ID
from .http_api import short_request_id
from .http_service import HttpService
from .incoming_request import IncomingRequest
from .outgoing_response import (
    MalformedResult,
    OutgoingResponse,
    add_content_type,
    check_header,
    describe_json,
    drop_headers,
    json_answer,
    parse_result,
    read_body,
    read_list,
    read_object,
    read_status,
)
from .route_table import RouteMatch

__all__ = ["MISSING_ROUTE", "rest_api"]

_FIELDS = frozenset(("statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"))
_UNSENT = frozenset(
    ("connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade")
)
_ERROR_TYPE = "x-amzn-errortype"
_INTERNAL = ((_ERROR_TYPE, "InternalServerErrorException"),)

MISSING_ROUTE = json_answer(
    403,
    '{"message":"Missing Authentication Token"}',
    ((_ERROR_TYPE, "MissingAuthenticationTokenException"),),
)
"""The answer to a request without a route. AWS's text is the same without any authentication."""

# An HTTP/1.1 client writes these names so; the server hands them over in lower case.
_WRITTEN = {
    name.lower(): name
    for name in (
        *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control"),
        *("Content-Encoding", "Content-Type", "Cookie", "Host", "If-Match", "If-Modified-Since"),
        *("If-None-Match", "Origin", "Pragma", "Range", "Referer", "Sec-Fetch-Dest"),
        *("Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "User-Agent", "Via"),
        *("X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"),
    )
}


def rest_api(binary_media_types: Collection[str] = ()) -> HttpService:
    """Return the service.

    Args:
        binary_media_types: media types that the API passes as Base64, such as `image/png`,
            `image/*` or `*/*` (API Gateway BinaryMediaTypes).
    """
    return HttpService(
        title="REST API",
        make_event=partial(make_event, binary_media_types=binary_media_types),
        make_response=partial(make_response, binary_media_types=binary_media_types),
        malformed=json_answer(502, '{"message": "Internal server error"}', _INTERNAL),
        failed=json_answer(502, '{"message": "Internal server error"}', _INTERNAL),
        throttled=json_answer(500, '{"message": "Internal server error"}', _INTERNAL),
        too_large=json_answer(413, '{"message":"Request Too Long"}'),
        late=json_answer(
            504,
            '{"message": "Endpoint request timed out"}',
            ((_ERROR_TYPE, "InternalServerErrorException"),),
        ),
        answer_headers=_answer_headers,
        remark_on=partial(_remark_on, binary_media_types=binary_media_types),
        time_limit=29.0,
    )


def make_event(
    request: IncomingRequest, match: RouteMatch, binary_media_types: Collection[str] = ()
) -> dict[str, Any]:
    """Return the event of a request. As on AWS, absent parts are null."""
    headers: dict[str, list[str]] = {}
    for name, value in request.forwarded_headers():
        if name not in _UNSENT:
            headers.setdefault(_WRITTEN.get(name, name), []).append(value)
    query = request.query_parameters()
    time_text, time_epoch = request.time_texts()
    binary = _is_binary(request.header("content-type"), binary_media_types)
    body: str | None = None
    if request.body:
        # Without a binary media type, AWS replaces bytes that are not UTF-8.
        body = (
            base64.b64encode(request.body).decode()
            if binary
            else request.body.decode("utf-8", "replace")
        )
    return {
        "resource": match.route.path,
        "path": request.raw_path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(match.path_parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": "local",
            "deploymentId": "local",
            "domainName": request.header("host"),
            "domainPrefix": "local",
            "extendedRequestId": short_request_id(request.request_id),
            "httpMethod": request.method,
            "identity": {
                "accessKey": None,
                "accountId": None,
                "caller": None,
                "cognitoAuthenticationProvider": None,
                "cognitoAuthenticationType": None,
                "cognitoIdentityId": None,
                "cognitoIdentityPoolId": None,
                "principalOrgId": None,
                "sourceIp": request.source_ip,
                "user": None,
                "userAgent": request.header("user-agent"),
                "userArn": None,
            },
            # As behind a custom domain, the path has no stage.
            "path": request.raw_path,
            "protocol": request.protocol,
            "requestId": request.request_id,
            "requestTime": time_text,
            "requestTimeEpoch": time_epoch,
            "resourceId": "local",
            "resourcePath": match.route.path,
            "stage": match.route.stage,
        },
        "body": body,
        "isBase64Encoded": binary and body is not None,
    }


def _remark_on(request: IncomingRequest, binary_media_types: Collection[str]) -> str:
    if _is_binary(request.header("content-type"), binary_media_types):
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


def make_response(
    payload: bytes, request: IncomingRequest, binary_media_types: Collection[str] = ()
) -> OutgoingResponse:
    """Return the response for the payload of a successful invocation.

    Raises:
        MalformedResult: the result is not what API Gateway accepts.
    """
    result = read_object(parse_result(payload), "the response")
    if unknown := sorted(result.keys() - _FIELDS):
        raise MalformedResult(
            f"{unknown[0]!r:.80} is no field of a REST API's response; the fields are"
            f" {', '.join(sorted(_FIELDS))}"
        )
    headers = add_content_type(drop_headers(_read_headers(result), remap=True), "application/json")
    status = read_status(result.get("statusCode", 200))
    remark = ""
    decode = result.get("isBase64Encoded") is True
    if decode and not _is_binary(request.header("accept"), binary_media_types):
        decode = False
        remark = (
            "isBase64Encoded is true, but the Accept header names none of the API's binary media"
            " types: the client gets the Base64 text, as on AWS"
        )
    return OutgoingResponse(status, headers, read_body(result.get("body"), decode=decode), remark)


def _read_headers(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the headers; those of `headers` follow those of `multiValueHeaders`."""
    single = read_object(result.get("headers") or {}, "headers")
    multi = read_object(result.get("multiValueHeaders") or {}, "multiValueHeaders")
    headers: list[tuple[str, str]] = []
    for name, values in multi.items():
        texts = read_list(values, f"multiValueHeaders: {name!r:.80}")
        headers += [_header(name, text) for text in texts]
    return headers + [_header(name, value) for name, value in single.items()]


def _header(name: str, value: Any) -> tuple[str, str]:
    if not isinstance(value, (str, bool)):
        raise MalformedResult(f"headers: {name!r:.80} must be a string, got {describe_json(value)}")
    return check_header(name, value)


def _is_binary(media_types: str, binary_media_types: Collection[str]) -> bool:
    """Whether the first media type of a header is one of the API's binary ones."""
    media_type = media_types.partition(",")[0].partition(";")[0].strip().lower()
    wanted = {media_type, f"{media_type.partition('/')[0]}/*", "*/*"}
    # CloudFormation and SAM write `image~1png` for `image/png`.
    return any(binary.lower().replace("~1", "/") in wanted for binary in binary_media_types)


def _answer_headers(request: IncomingRequest) -> list[tuple[str, str]]:
    return [
        ("x-amzn-requestid", request.request_id),
        ("x-amz-apigw-id", short_request_id(request.request_id)),
        ("x-amzn-trace-id", request.trace_root),
    ]
