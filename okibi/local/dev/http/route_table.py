"""Find the route of a request, as API Gateway does.

A path without `{name+}` beats one with it. A literal part beats a variable, from left to right.
Among equal paths the route's own method beats ANY. `$default` takes what no other route takes. (API
Gateway: HTTP API routes. The listener rules of load balancers have `*` and `?` besides.)
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import attrs

from ..dev_function import DevFunction, Route

__all__ = ["RouteMatch", "RouteTable"]


@attrs.frozen
class RouteMatch:
    """The route of a request.

    Args:
        function: the name of the function.
        route: the route.
        path_parameters: the variables of the path; percent-encoded for REST APIs, decoded for
            others.
    """

    function: str
    route: Route
    path_parameters: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen
class _PlacedRoute:
    function: str
    route: Route
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    rank: tuple[int, ...]

    def match(self, raw_path: str) -> RouteMatch | None:
        # An HTTP API decodes the path first: %2F separates parts. A REST API keeps it as sent.
        path = unquote(raw_path) if self.route.kind == "http-api" else raw_path
        if self.route.kind == "rest-api" and len(path) > 1:
            path = path.removesuffix("/")
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        return RouteMatch(
            self.function, self.route, dict(zip(self.names, found.groups(), strict=True))
        )


class RouteTable:
    """The routes of all functions, the most specific first.

    Args:
        functions: the functions.

    Raises:
        ValueError: two routes have the same method and path.
    """

    def __init__(self, functions: Iterable[DevFunction]) -> None:
        entries = [_entry(function, route) for function in functions for route in function.routes]
        self._entries = sorted(entries, key=lambda entry: entry.rank)
        taken: dict[tuple[str, str], _PlacedRoute] = {}
        for entry in self._entries:
            other = taken.setdefault((entry.route.method, entry.pattern.pattern), entry)
            if other is not entry:
                raise ValueError(
                    f"route {entry.route.method} {entry.route.path} of {entry.function} is the same"
                    f" as {other.route.method} {other.route.path} of {other.function}; change one"
                )

    @property
    def only_rest_apis(self) -> bool:
        """Whether all routes, at least one, are of REST APIs."""
        return {entry.route.kind for entry in self._entries} == {"rest-api"}

    def find(self, method: str, raw_path: str) -> RouteMatch | None:
        """Return the most specific route of a request, or None.

        Args:
            method: the method, in capitals.
            raw_path: the path as sent.

        Example:
            table.find("GET", "/visits/bob")
        """
        for entry in self._entries:
            if entry.route.method in (method, "ANY"):
                match = entry.match(raw_path)
                if match is not None:
                    return match
        return None


def _entry(function: DevFunction, route: Route) -> _PlacedRoute:
    if route.is_default:
        return _PlacedRoute(function.name, route, re.compile(".*", re.DOTALL), (), (9,))
    names: list[str] = []
    parts: list[str] = []
    rank: list[int] = []
    for part in route.path.split("/")[1:]:
        if part.startswith("{"):
            greedy = part.endswith("+}")
            names.append(part.strip("{+}"))
            parts.append("(.+)" if greedy else "([^/]+)")
            rank.append(2 if greedy else 1)
        else:
            literal = re.escape(part)
            if route.kind == "alb":
                literal = literal.replace(r"\*", ".*").replace(r"\?", ".")
            parts.append(literal)
            rank.append(0 if literal == re.escape(part) else 2)
    pattern = re.compile("/" + "/".join(parts), re.DOTALL)
    method = 1 if route.method == "ANY" else 0
    # The 3 ends the path: a longer path with the same beginning is more specific.
    return _PlacedRoute(
        function.name, route, pattern, tuple(names), (max(rank) // 2, *rank, 3, method)
    )
