"""The route of a request (API Gateway: HTTP API routes)."""

import pytest

from okibi.dev.dev_function import DevFunction, Route
from okibi.dev.http.route_table import RouteTable
from okibi.local import FunctionSettings
from okibi.local.services.route_path import RouteKind


def table(*routes: str, kind: RouteKind = "http-api") -> RouteTable:
    """Return a table in which each route has a function of its own."""
    parts = [route.split() for route in routes]
    return RouteTable(
        DevFunction(
            FunctionSettings("app.handler", name=f"f{number}"), routes=[Route(method, path, kind)]
        )
        for number, (method, path) in enumerate(parts)
    )


ROUTES = [
    "ANY /{proxy+}",
    "GET /pets/{proxy+}",
    "GET /pets/dog/{id}",
    "GET /pets/dog/1",
    "ANY /pets/dog/{id}",
    "POST /",
    "ANY /{kind}/dog/2",
]


@pytest.mark.parametrize(
    ("request_line", "route"),
    [
        ("GET /pets/dog/1", "GET /pets/dog/1"),
        ("GET /pets/dog/7", "GET /pets/dog/{id}"),
        ("POST /pets/dog/1", "ANY /pets/dog/{id}"),
        ("GET /pets/cat/7", "GET /pets/{proxy+}"),
        ("DELETE /pets/cat/7", "ANY /{proxy+}"),
        ("GET /pets", "ANY /{proxy+}"),
        ("GET /cats/dog/2", "ANY /{kind}/dog/2"),
        ("GET /pets/dog/2", "GET /pets/dog/{id}"),
        ("POST /", "POST /"),
        ("GET /", None),
        ("GET /Pets/dog/1", "ANY /{proxy+}"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_most_specific_route_takes_the_request(
    request_line: str, route: str | None, order: int
) -> None:
    match = table(*ROUTES[::order]).find(*request_line.split())

    assert (None if match is None else f"{match.route.method} {match.route.path}") == route


@pytest.mark.parametrize(
    ("kind", "path", "parameters"),
    [
        ("http-api", "/a%20b/c/d%2Fe", {"one": "a b", "rest": "c/d/e"}),
        ("rest-api", "/a%20b/c/d%2Fe/", {"one": "a%20b", "rest": "c/d%2Fe"}),
        ("alb", "/a%20b/c", {"one": "a%20b", "rest": "c"}),
    ],
)
def test_path_parameters_are_decoded_by_http_apis(
    kind: RouteKind, path: str, parameters: dict[str, str]
) -> None:
    match = table("ANY /{one}/{rest+}", kind=kind).find("GET", path)

    assert match is not None
    assert match.path_parameters == parameters


def test_a_rest_api_ignores_a_slash_at_the_end_and_an_http_api_does_not() -> None:
    assert table("GET /visits", kind="rest-api").find("GET", "/visits/") is not None
    assert table("GET /visits").find("GET", "/visits/") is None


def test_a_load_balancers_rule_may_have_wildcards() -> None:
    rules = table("ANY /api/v?/*", kind="alb")

    assert rules.find("GET", "/api/v1/x/y") is not None
    assert rules.find("GET", "/api/v12/x") is None


def test_two_routes_for_the_same_requests_are_refused() -> None:
    table("GET /x/{a}", "POST /x/{a}", "GET /x/y")
    with pytest.raises(ValueError, match=r"GET /x/\{b\} of f1 is the same as GET /x/\{a\} of f0"):
        table("GET /x/{a}", "GET /x/{b}")


def test_the_default_route_takes_the_rest() -> None:
    routes = table("ANY /$default", "GET /x/{y}")

    assert routes.find("GET", "/") is not None
    match = routes.find("GET", "/x/1")
    assert match is not None
    assert match.function == "f1"
