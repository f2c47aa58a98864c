"""HTTP requests as function URLs, API Gateway and load balancers send them.

The events are those that `okibi dev` makes of the same request.
"""

import json
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, urlencode

from ..dev.dev_function import DevFunction, Route, RouteKind
from ..dev.http import function_url, http_api, load_balancer, rest_api
from ..dev.http.incoming_request import IncomingRequest
from ..dev.http.route_table import RouteMatch, RouteTable
from ..settings import FunctionSettings
from .sample import REGION, TIME_MS, Changes, Event, SampleError

__all__ = ["alb_event", "function_url_event", "http_api_event", "rest_api_event"]

REQUEST_ID = "00000000-0000-4000-8000-000000000001"
TRACE_ID = "Root=1-00000000-000000000000000000000001"
PATH = "/visits/Ada"
API_HOST = f"sampleapi0.execute-api.{REGION}.amazonaws.com"
URL_HOST = f"sampleurl0.lambda-url.{REGION}.on.aws"
ALB_HOST = f"sample.{REGION}.elb.amazonaws.com"


def _event(
    changes: Changes,
    *,
    kind: RouteKind,
    host: str,
    make_event: Callable[[IncomingRequest, RouteMatch], Event],
) -> Event:
    """Make the event of a request. Its route has the request's method."""
    request = _request(changes, host)
    path = changes.path.partition("?")[0] or PATH
    try:
        route = Route(request.method, changes.route or path, kind)
    except ValueError as error:
        raise SampleError(str(error)) from error
    if not changes.route:
        return make_event(request, RouteMatch("sample", route))
    function = DevFunction(FunctionSettings("app.handler", name="sample"), routes=[route])
    match = RouteTable([function]).find(request.method, request.raw_path)
    if match is None:
        raise SampleError(f"route: {changes.route} does not take the path {path}")
    return make_event(request, match)


http_api_event = partial(_event, kind="http-api", host=API_HOST, make_event=http_api.make_event)
rest_api_event = partial(_event, kind="rest-api", host=API_HOST, make_event=rest_api.make_event)
alb_event = partial(_event, kind="alb", host=ALB_HOST, make_event=load_balancer.make_event)
function_url_event = partial(
    _event, kind="http-api", host=URL_HOST, make_event=function_url.make_event
)


def _request(changes: Changes, host: str) -> IncomingRequest:
    """Make the request: a GET, or a POST if there is a body."""
    body = changes.data("")
    path, _, query = (changes.path or PATH).partition("?")
    headers = {"accept": "*/*", "host": host, "user-agent": "sample"}
    if body:
        headers |= {"content-type": _media_type(body), "content-length": str(len(body))}
    given = [(name.lower(), value) for name, value in changes.headers]
    for name, _value in given:
        headers.pop(name, None)
    return IncomingRequest(
        method=changes.method or ("POST" if body else "GET"),
        raw_path=quote(path, safe="/%:@!$&'()*+,;="),
        raw_query="&".join(filter(None, (query, urlencode(changes.query)))),
        headers=[*headers.items(), *given],
        body=body,
        source_ip="192.0.2.1",
        received_at=TIME_MS / 1000,
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
