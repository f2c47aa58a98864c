"""HTTP requests as function URLs, API Gateway and load balancers send them.

The events are those that `okibi dev` makes of the same request.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import attrs

from ...settings import REGION
from ..http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_http_api_event_1,
    make_load_balancer_event,
    make_rest_api_event,
)
from ..route_path import RouteKind, check_method, check_path, compile_path, route_key
from .content import SampleError
from .sample import Changes

# Makes the event of a request, of the path of its route, and of the variables in the path.
MakeEvent: TypeAlias = Callable[[IncomingRequest, str, Mapping[str, str]], dict[str, Any]]

REQUEST_ID = "00000000-0000-4000-8000-000000000001"
TRACE_ID = "Root=1-00000000-000000000000000000000001"
RECEIVED_AT = 1_767_268_800.0
PATH = "/visits/Ada"
API_HOST = f"sampleapi0.execute-api.{REGION}.amazonaws.com"
URL_HOST = f"sampleurl0.lambda-url.{REGION}.on.aws"
ALB_HOST = f"sample.{REGION}.elb.amazonaws.com"


@attrs.frozen
class RequestSample:
    """A request to one of the services.

    Args:
        name: the name, such as `http-api`.
        description: one line for the list of samples.
        host: the host that the request names.
        make_event: makes the event.
        route_kind: the kind of a route that the user may name; None for a service without routes.
    """

    name: str
    description: str
    host: str
    make_event: MakeEvent
    route_kind: RouteKind | None = None

    @property
    def takes(self) -> tuple[str, ...]:
        """The fields of Changes that change the event."""
        url = ("path", "method", "headers", "query", "body")
        return (*url, "route") if self.route_kind else url

    def build(self, changes: Changes) -> dict[str, Any]:
        """Make the event. Its route has the request's method.

        Raises:
            SampleError: method, path or route is wrong.
        """
        request = _request(changes, self.host)
        path = changes.path.partition("?")[0] or PATH
        route = changes.route or path
        try:
            check_method(request.method)
            check_path(route)
        except ValueError as error:
            raise SampleError(str(error)) from error
        if self.route_kind is None or not changes.route:
            return self.make_event(request, route, {})
        parameters = compile_path(route, self.route_kind).match(request.raw_path)
        if parameters is None:
            raise SampleError(f"route: {route} does not take the path {path}")
        return self.make_event(request, route, parameters)


REQUEST_SAMPLES = (
    RequestSample(
        "http-api",
        "a request to an HTTP API of API Gateway",
        API_HOST,
        lambda request, route, parameters: make_http_api_event(
            request, route_key(request.method, route), parameters
        ),
        "http-api",
    ),
    RequestSample(
        "http-api-1.0",
        "a request to an HTTP API with payload format 1.0",
        API_HOST,
        make_http_api_event_1,
        "http-api",
    ),
    RequestSample(
        "rest-api",
        "a request to a REST API of API Gateway",
        API_HOST,
        make_rest_api_event,
        "rest-api",
    ),
    RequestSample(
        "function-url",
        "a request to a function URL",
        URL_HOST,
        lambda request, _route, _parameters: make_function_url_event(request, "sample"),
    ),
    RequestSample(
        "alb",
        "a request to a load balancer",
        ALB_HOST,
        lambda request, _route, _parameters: make_load_balancer_event(request),
    ),
    RequestSample(
        "alb-multi-value",
        "a request to a load balancer with multi-value headers",
        ALB_HOST,
        lambda request, _route, _parameters: make_load_balancer_event(request, multi_value=True),
    ),
)


def _request(changes: Changes, host: str) -> IncomingRequest:
    """Make the request: a GET, or a POST if there is a body."""
    given = changes.body[0] if changes.body else b""
    body = given.encode() if isinstance(given, str) else given
    path, _, query = (changes.path or PATH).partition("?")
    headers = {"accept": "*/*", "host": host, "user-agent": "sample"}
    if body:
        headers |= {"content-type": _media_type(body), "content-length": str(len(body))}
    added = [(name.lower(), value) for name, value in changes.headers]
    for name, _value in added:
        headers.pop(name, None)
    return IncomingRequest(
        method=changes.method or ("POST" if body else "GET"),
        raw_path=quote(path, safe="/%:@!$&'()*+,;="),
        raw_query="&".join(filter(None, (query, urlencode(changes.query)))),
        headers=[*headers.items(), *added],
        body=body,
        source_ip="192.0.2.1",
        received_at=RECEIVED_AT,
        request_id=REQUEST_ID,
        trace_id=TRACE_ID,
    )


def _media_type(body: bytes) -> str:
    try:
        json.loads(body)
    except UnicodeDecodeError:
        return "application/octet-stream"
    except ValueError:
        return "text/plain"
    return "application/json"
