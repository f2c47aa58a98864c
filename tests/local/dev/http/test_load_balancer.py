"""Application Load Balancers: events and results (Elastic Load Balancing: Lambda targets)."""

import json

import pytest

from okibi.local.dev.dev_function import Route
from okibi.local.dev.http.http_service import HttpService
from okibi.local.dev.http.incoming_request import IncomingRequest
from okibi.local.dev.http.load_balancer import LOAD_BALANCER, MULTI_VALUE_LOAD_BALANCER
from okibi.local.dev.http.outgoing_response import MalformedResult, OutgoingResponse
from okibi.local.dev.http.route_table import RouteMatch

MATCH = RouteMatch("visits", Route("ANY", "/x*", "alb"))
REQUEST = IncomingRequest(
    "GET",
    "/x%20y",
    "a=1&a=%2F+2&b",
    [("host", "localhost"), ("x-many", "1"), ("x-many", "2")],
    source_ip="127.0.0.2",
    trace_id="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
)


def respond(result: object, service: HttpService = LOAD_BALANCER) -> OutgoingResponse:
    return service.make_response(json.dumps(result).encode(), REQUEST)


def test_single_values_are_the_last_and_parameters_stay_encoded() -> None:
    event = LOAD_BALANCER.make_event(REQUEST, MATCH)

    assert list(event["requestContext"]) == ["elb"]
    assert (event["httpMethod"], event["path"]) == ("GET", "/x%20y")
    assert event["queryStringParameters"] == {"a": "%2F+2", "b": ""}
    assert event["headers"] == {
        "host": "localhost",
        "x-many": "2",
        "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "x-forwarded-for": "127.0.0.2",
        "x-forwarded-port": "9000",
        "x-forwarded-proto": "http",
    }
    assert (event["body"], event["isBase64Encoded"]) == ("", False)


def test_a_target_group_may_enable_multi_value_headers() -> None:
    event = MULTI_VALUE_LOAD_BALANCER.make_event(REQUEST, MATCH)
    result = {
        "statusCode": 200,
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"], "content-type": ["text/plain"]},
    }

    assert event["multiValueQueryStringParameters"] == {"a": ["1", "%2F+2"], "b": [""]}
    assert event["multiValueHeaders"]["x-many"] == ["1", "2"]
    assert {"headers", "queryStringParameters"}.isdisjoint(event)
    assert respond(result, MULTI_VALUE_LOAD_BALANCER) == OutgoingResponse(
        200, [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-type", "text/plain")]
    )
    ignored = respond({"statusCode": 200, "headers": {"a": "1"}}, MULTI_VALUE_LOAD_BALANCER)
    assert ignored.remark == "headers is ignored: this load balancer reads multiValueHeaders"


def test_a_load_balancer_ignores_multi_value_headers() -> None:
    single = {"statusCode": 200, "statusDescription": "200 OK", "headers": {"a": "1"}}
    multi = {"statusCode": 200, "multiValueHeaders": {"a": ["1", "2"]}}
    octets = ("content-type", "application/octet-stream")

    assert respond(single) == OutgoingResponse(200, [octets, ("a", "1")])
    assert respond(multi).remark == "multiValueHeaders is ignored: this load balancer reads headers"


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ("text", "the response must be an object, got a string"),
        ({"body": "x"}, "statusCode must be an integer from 200 to 599, got None"),
        ({"statusCode": 200, "body": 1}, "body must be a string, got a number"),
        ({"statusCode": 200, "body": "x" * 1024 * 1024}, "larger than 1048576 bytes"),
    ],
)
def test_a_malformed_result_is_a_bad_gateway(result: object, complaint: str) -> None:
    with pytest.raises(MalformedResult, match=complaint):
        respond(result)
