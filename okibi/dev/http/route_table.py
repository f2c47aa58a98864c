"""Find the route of a request, as API Gateway does.

The most specific path comes first. Among equal paths the route's own method comes before ANY.
`$default` takes what no other route takes. (API Gateway: HTTP API routes.)
"""

from collections.abc import Iterable, Mapping

import attrs

from ...local.services.route_path import RoutePath, compile_path
from ..dev_function import DevFunction, Route


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
    path: RoutePath

    @property
    def rank(self) -> tuple[int, ...]:
        return (*self.path.rank, 1 if self.route.method == "ANY" else 0)


class RouteTable:
    """The routes of all functions, the most specific first.

    Args:
        functions: the functions.

    Raises:
        ValueError: two routes have the same method and path.
    """

    def __init__(self, functions: Iterable[DevFunction]) -> None:
        entries = [
            _PlacedRoute(function.name, route, compile_path(route.path, route.kind))
            for function in functions
            for route in function.routes
        ]
        self._entries = sorted(entries, key=lambda entry: entry.rank)
        taken: dict[tuple[str, str], _PlacedRoute] = {}
        for entry in self._entries:
            other = taken.setdefault((entry.route.method, entry.path.pattern.pattern), entry)
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
                parameters = entry.path.match(raw_path)
                if parameters is not None:
                    return RouteMatch(entry.function, entry.route, parameters)
        return None
