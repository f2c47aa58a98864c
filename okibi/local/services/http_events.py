"""Make the event of an HTTP request, as each of AWS's HTTP services does.

Function URLs have payload format 2.0, REST APIs payload format 1.0, HTTP APIs either. (Lambda:
invoking function URLs; API Gateway: Lambda proxy integrations; Elastic Load Balancing: Lambda
functions as targets.)

`http_results` is the way back: it reads the result of the function into a response.
"""

import base64
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs

from ..platform.invocation import new_request_id, new_trace_id
from ..settings import ACCOUNT_ID, REGION

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})

_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")

# Headers of the connection between client and front end.
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "te", "transfer-encoding", "upgrade"))

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

_TARGET_GROUP = (
    f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:targetgroup/local/0123456789abcdef"
)


@attrs.frozen
class IncomingRequest:
    """One HTTP request.

    Args:
        method: the method, in capitals.
        raw_path: the path as sent, percent-encoded.
        raw_query: the query string as sent, without `?`.
        headers: names in lower case and values, in the order of arrival.
        body: the whole body.
        source_ip: the address of the peer.
        port: the port of this server, for `x-forwarded-port`.
        protocol: the protocol, such as `HTTP/1.1`.
        received_at: seconds since the epoch.
        request_id: the id of the request and of its invocation.
        trace_id: the X-Ray header of the invocation.
    """

    method: str
    raw_path: str
    raw_query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    port: int = 9000
    protocol: str = "HTTP/1.1"
    received_at: float = 0.0
    request_id: str = attrs.field(factory=new_request_id)
    trace_id: str = attrs.field(factory=new_trace_id)

    @property
    def trace_root(self) -> str:
        """The part of the X-Ray header that clients and functions see."""
        return self.trace_id.partition(";")[0]

    def header(self, name: str) -> str:
        """Return the last value of a header, or "".

        Args:
            name: the name in lower case.
        """
        return next((value for key, value in reversed(self.headers) if key == name), "")

    def forwarded_headers(self) -> list[tuple[str, str]]:
        """Return the headers, with those that AWS's front ends add.

        `x-forwarded-for` keeps what an earlier proxy wrote, and adds the peer.
        """
        added = ("x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto")
        earlier = [value for name, value in self.headers if name == "x-forwarded-for"]
        return [
            *((name, value) for name, value in self.headers if name not in added),
            ("x-amzn-trace-id", self.trace_root),
            ("x-forwarded-for", ", ".join((*earlier, self.source_ip))),
            ("x-forwarded-port", str(self.port)),
            ("x-forwarded-proto", "http"),
        ]

    def query_parameters(self) -> dict[str, list[str]]:
        """Return the decoded query parameters; `+` is a space."""
        return _collect(parse_qsl(self.raw_query, keep_blank_values=True))

    def time_texts(self) -> tuple[str, int]:
        """Return the time of arrival as in a server's log, and in milliseconds."""
        text = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.received_at))
        return text, int(self.received_at * 1000)


# -- payload format 2.0


def make_function_url_event(request: IncomingRequest, url_id: str) -> dict[str, Any]:
    """Return the event of a function URL.

    Args:
        request: the request. Its path is the one below the URL.
        url_id: the id of the URL.
    """
    return _payload_2_event(
        request,
        path=request.raw_path,
        context={
            "accountId": "anonymous",
            "apiId": url_id,
            "domainPrefix": url_id,
            "requestId": request.request_id,
        },
        keep_cookie_header=True,
    )


def make_http_api_event(
    request: IncomingRequest,
    route_key: str = "$default",
    path_parameters: Mapping[str, str] = NO_PARAMETERS,
) -> dict[str, Any]:
    """Return the event of an HTTP API. The path is decoded in `rawPath`, also `%2F` (observed).

    Args:
        request: the request.
        route_key: the key of the route, such as `GET /visits/{name}`, or `$default`.
        path_parameters: the variables of the path, decoded.
    """
    return _payload_2_event(
        request,
        path=unquote(request.raw_path),
        route_key=route_key,
        context={
            "accountId": ACCOUNT_ID,
            "apiId": "local",
            "domainPrefix": "local",
            "requestId": short_request_id(request.request_id),
        },
        path_parameters=path_parameters,
    )


def _payload_2_event(
    request: IncomingRequest,
    *,
    path: str,
    context: Mapping[str, Any],
    route_key: str = "$default",
    path_parameters: Mapping[str, str] = NO_PARAMETERS,
    keep_cookie_header: bool = False,
) -> dict[str, Any]:
    """Return the event. As on AWS, it has no field for what the request does not have.

    Args:
        request: the request.
        path: the value of `rawPath`.
        context: the fields of `requestContext` that differ between the services.
        route_key: the key of the route.
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
            # Decoded, also of a function URL (observed).
            "path": unquote(request.raw_path),
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
    body, encoded = _encode_body(request)
    if body:
        event["body"] = body
    event["isBase64Encoded"] = encoded
    return event


# -- payload format 1.0


def make_http_api_event_1(
    request: IncomingRequest,
    resource: str = "$default",
    path_parameters: Mapping[str, str] = NO_PARAMETERS,
) -> dict[str, Any]:
    """Return the event of an HTTP API with payload format 1.0. The path is decoded, as in 2.0.

    Args:
        request: the request.
        resource: the path of the route, such as `/visits/{name}`, or `$default`.
        path_parameters: the variables of the path, decoded.
    """
    short_id = short_request_id(request.request_id)
    body, encoded = _encode_body(request)
    event = _payload_1_event(
        request,
        unquote(request.raw_path),
        resource,
        path_parameters,
        body=body,
        encoded=encoded,
        context={
            "extendedRequestId": short_id,
            "requestId": short_id,
            "resourceId": None,
            "stage": "$default",
        },
    )
    return {"version": "1.0", **event}


def make_rest_api_event(
    request: IncomingRequest,
    resource: str = "/{proxy+}",
    path_parameters: Mapping[str, str] = NO_PARAMETERS,
    *,
    stage: str = "Prod",
    binary_media_types: Collection[str] = (),
) -> dict[str, Any]:
    """Return the event of a REST API. As on AWS, absent parts are null.

    Args:
        request: the request.
        resource: the path of the route, such as `/visits/{name}`.
        path_parameters: the variables of the path, percent-encoded.
        stage: the stage of the API.
        binary_media_types: the media types that the API passes as Base64.
    """
    encoded = bool(request.body) and is_binary(request.header("content-type"), binary_media_types)
    return _payload_1_event(
        request,
        # As behind a custom domain, the path has no stage.
        request.raw_path,
        resource,
        path_parameters,
        # Without a binary media type, AWS replaces bytes that are not UTF-8.
        body=_base64(request.body) if encoded else request.body.decode("utf-8", "replace"),
        encoded=encoded,
        context={
            "deploymentId": "local",
            "extendedRequestId": short_request_id(request.request_id),
            "requestId": request.request_id,
            "resourceId": "local",
            "stage": stage,
        },
        unsent=("content-length",),
    )


def _payload_1_event(
    request: IncomingRequest,
    path: str,
    resource: str,
    path_parameters: Mapping[str, str],
    *,
    body: str,
    encoded: bool,
    context: Mapping[str, Any],
    unsent: Collection[str] = (),
) -> dict[str, Any]:
    """Return the event. As on AWS, absent parts are null.

    Args:
        request: the request.
        path: the value of `path`.
        resource: the path of the route.
        path_parameters: the variables of the path.
        body: the body as text or in Base64.
        encoded: whether the body is in Base64.
        context: the fields of `requestContext` that differ between the services.
        unsent: names of headers that the service leaves out.
    """
    headers = _collect(
        (_WRITTEN.get(name, name), value)
        for name, value in request.forwarded_headers()
        if name not in _HOP_BY_HOP and name not in unsent
    )
    query = request.query_parameters()
    return {
        "resource": resource,
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(path_parameters) or None,
        "stageVariables": None,
        "requestContext": {**_payload_1_context(request, path, resource), **context},
        "body": body or None,
        "isBase64Encoded": encoded,
    }


def _payload_1_context(request: IncomingRequest, path: str, resource: str) -> dict[str, Any]:
    time_text, time_epoch = request.time_texts()
    return {
        "accountId": ACCOUNT_ID,
        "apiId": "local",
        "domainName": request.header("host"),
        "domainPrefix": "local",
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
        "path": path,
        "protocol": request.protocol,
        "requestTime": time_text,
        "requestTimeEpoch": time_epoch,
        "resourcePath": resource,
    }


# -- load balancers


def make_load_balancer_event(
    request: IncomingRequest, *, multi_value: bool = False
) -> dict[str, Any]:
    """Return the event of a load balancer. It does not decode query parameters.

    It sends the last of several equal headers and parameters, or all of them if its target group
    enables multi-value headers.

    Args:
        request: the request.
        multi_value: whether multi-value headers are enabled.
    """
    fields = [field.partition("=") for field in request.raw_query.split("&") if field]
    query = [(name, value) for name, _, value in fields]
    headers = request.forwarded_headers()
    values: dict[str, Any] = {"queryStringParameters": dict(query), "headers": dict(headers)}
    if multi_value:
        values = {
            "multiValueQueryStringParameters": _collect(query),
            "multiValueHeaders": _collect(headers),
        }
    body, encoded = _encode_body(request)
    return {
        "requestContext": {"elb": {"targetGroupArn": _TARGET_GROUP}},
        "httpMethod": request.method,
        "path": request.raw_path,
        **values,
        "body": body,
        "isBase64Encoded": encoded,
    }


# -- parts of several services


def short_request_id(request_id: str) -> str:
    """Return a request id in the short form of API Gateway, such as `LV7fzho-PHcEJPw=`."""
    return base64.urlsafe_b64encode(uuid.UUID(request_id).bytes[:11]).decode()


def is_binary(media_types: str, binary_media_types: Collection[str]) -> bool:
    """Return whether the first media type of a header is one of a REST API's binary ones.

    Args:
        media_types: the value of `Content-Type` or `Accept`.
        binary_media_types: media types such as `image/png`, `image/*` or `*/*` (API Gateway
            BinaryMediaTypes).
    """
    media_type = media_types.partition(",")[0].partition(";")[0].strip().lower()
    wanted = {media_type, f"{media_type.partition('/')[0]}/*", "*/*"}
    # CloudFormation and SAM write `image~1png` for `image/png`.
    return any(binary.lower().replace("~1", "/") in wanted for binary in binary_media_types)


def _encode_body(request: IncomingRequest) -> tuple[str, bool]:
    """Return the body for an event, and whether it is in Base64.

    The body stays text if its media type is `text/*`, `application/json`, `application/xml` or
    `application/javascript` and the bytes are UTF-8. Everything else is sent in Base64, also a form
    and a body without a media type (observed on API Gateway; documented for load balancers).
    """
    if not request.body:
        return "", False
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    if media_type.startswith("text/") or media_type in _TEXT_TYPES:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return _base64(request.body), True


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    collected: dict[str, list[str]] = {}
    for name, value in pairs:
        collected.setdefault(name, []).append(value)
    return collected
