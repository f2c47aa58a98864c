"""The values that describe the served functions."""

from typing import Any

import pytest

from okibi.dev.dev_function import Cors, DevFunction, FunctionUrl, Route, Schedule
from okibi.local import FunctionSettings

SETTINGS = FunctionSettings("app.handler")

REFUSED: list[tuple[type, dict[str, Any], str]] = [
    (DevFunction, {"concurrency": 0}, "concurrency must be an integer from 1 to 1000, got 0"),
    (
        DevFunction,
        {"reserved_concurrency": -1},
        "reserved_concurrency must be an integer >= 0 or None, got -1",
    ),
    (DevFunction, {"url": "/"}, "url must be a FunctionUrl or None, got '/'"),
    (DevFunction, {"routes": ["/"]}, "routes must contain only Route, got ('/',)"),
    (
        DevFunction,
        {"maximum_retry_attempts": 3},
        "maximum_retry_attempts must be an integer from 0 to 2, got 3",
    ),
    (
        DevFunction,
        {"maximum_event_age": 59},
        "maximum_event_age must be an integer from 60 to 21600, got 59",
    ),
    (DevFunction, {"freeze": "no"}, "freeze must be True or False, got 'no'"),
    (
        DevFunction,
        {"settings": FunctionSettings("app.handler", snap_start=True), "attach": True},
        "attach must be False with snap_start",
    ),
    (Route, {"method": "get", "path": "/"}, "method must be one of ANY, DELETE, GET, HEAD"),
    (Route, {"method": "GET", "path": "x"}, "path must begin with '/'"),
    (Route, {"method": "GET", "path": "/a{b}"}, "path: a variable must be a whole part"),
    (Route, {"method": "GET", "path": "/{a+}/b"}, "path: a variable with '+' must be the last"),
    (Route, {"method": "GET", "path": "/", "kind": "v2"}, "kind must be one of http-api"),
    (
        Route,
        {"method": "GET", "path": "/", "payload_format": "3.0"},
        "payload_format must be '1.0' or '2.0', got '3.0'",
    ),
    (Schedule, {"expression": "daily"}, "expression must be as in rate(5 minutes)"),
    (Schedule, {"expression": "cron(0 25 * * ? *)"}, "hours '25': must be 0 to 23"),
    (Schedule, {"expression": "rate(1 day)", "input": "{"}, "input must be an event as JSON"),
    (Cors, {"allow_origins": "*"}, "allow_origins must be a list of strings, got '*'"),
    (Cors, {"max_age": 86_401}, "max_age must be an integer from 0 to 86400 or None, got 86401"),
    (FunctionUrl, {"streaming": 2}, "streaming must be True or False, got 2"),
]


@pytest.mark.parametrize(("kind", "fields", "expected"), REFUSED)
def test_an_invalid_field_is_named(kind: type, fields: dict[str, Any], expected: str) -> None:
    given = {"settings": SETTINGS, **fields} if kind is DevFunction else fields

    with pytest.raises(ValueError) as caught:  # noqa: PT011, the text is what is tested
        kind(**given)

    assert str(caught.value).startswith(expected)


def test_a_function_has_lambdas_defaults() -> None:
    function = DevFunction(SETTINGS)

    assert function.maximum_retry_attempts == 2
    assert function.maximum_event_age == 6 * 3600
    assert function.reserved_concurrency is None


def test_functions_with_equal_fields_are_equal() -> None:
    assert DevFunction(SETTINGS, routes=[Route("GET", "/")]) == DevFunction(
        SETTINGS, routes=(Route("GET", "/"),)
    )
