"""HttpEvent: the request in an event of a function URL, an API or a load balancer."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pydantic
import pytest

from okibi import HttpEvent
from okibi.local.services.http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_http_api_event_1,
    make_load_balancer_event,
    make_rest_api_event,
)
from okibi.runtime.codec.json import UnmarshalError
from okibi.runtime.codec.typed_json import decoder_for

PARAMETERS = {"name": "Ada"}
SERVICES: dict[str, Callable[[IncomingRequest], dict[str, Any]]] = {
    "function URL": lambda request: make_function_url_event(request, "visits"),
    "HTTP API": lambda request: make_http_api_event(request, "ANY /visits/{name}", PARAMETERS),
    "HTTP API 1.0": lambda request: make_http_api_event_1(request, "/visits/{name}", PARAMETERS),
    "REST API": lambda request: make_rest_api_event(request, "/visits/{name}", PARAMETERS),
    "load balancer": make_load_balancer_event,
    "load balancer with multi-value headers": partial(make_load_balancer_event, multi_value=True),
}
REQUEST = IncomingRequest(
    "POST",
    "/visits/Ada",
    "name=Ada&size=2",
    [("host", "localhost"), ("Content-Type", "application/json"), ("cookie", "a=1; b=x=y")],
    body=b'{"name": "\xc3\xa9"}',
)


@attrs.frozen
class Greeting:
    name: str


class Model(pydantic.BaseModel):
    name: str


def decode(event: dict[str, Any]) -> HttpEvent:
    found: HttpEvent = decoder_for(HttpEvent).decode(json.dumps(event).encode())
    return found


def receive(service: str, **changes: Any) -> HttpEvent:
    return decode(SERVICES[service](attrs.evolve(REQUEST, **changes)))


@pytest.mark.parametrize("service", SERVICES)
def test_a_request_reads_the_same_from_every_service(service: str) -> None:
    event = receive(service)

    assert (event.method, event.path) == ("POST", "/visits/Ada")
    assert event.query == {"name": "Ada", "size": "2"}
    assert event.headers["content-type"] == "application/json"
    assert event.cookies == {"a": "1", "b": "x=y"}
    assert event.body == REQUEST.body
    assert event.json(Greeting) == Greeting("é")
    assert event.json(Model) == Model(name="é")


@pytest.mark.parametrize("service", SERVICES)
def test_a_request_may_have_nothing_but_a_path(service: str) -> None:
    event = receive(service, method="GET", raw_query="", headers=[("host", "a")], body=b"")

    assert (event.query, event.cookies, event.body) == ({}, {}, b"")


def test_a_binary_body_and_path_parameters_are_decoded() -> None:
    headers = [("host", "a"), ("content-type", "image/png")]

    assert receive("HTTP API", body=b"\x89\xff", headers=headers).body == b"\x89\xff"
    assert receive("HTTP API").path_parameters == {"name": "Ada"}
    assert receive("function URL").path_parameters == {}


def test_several_values_of_a_header_are_joined() -> None:
    headers = [("accept", "a"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2")]

    for service in ("HTTP API", "REST API", "load balancer with multi-value headers"):
        event = receive(service, headers=headers)
        assert event.headers["accept"].replace(" ", "") == "a,b"
        assert event.cookies == {"a": "1", "b": "2"}


def test_a_body_of_another_shape_names_the_field_and_no_value() -> None:
    event = receive("function URL", body=b'{"name": 12345}')

    for kind in (Greeting, Model):
        with pytest.raises(ValueError, match="name") as refused:
            event.json(kind)
        assert "12345" not in str(refused.value)


def test_what_is_no_http_event_is_refused() -> None:
    with pytest.raises(
        UnmarshalError, match="`requestContext`; this is no HTTP event: `okibi event"
    ):
        decode({"name": "Ada"})
