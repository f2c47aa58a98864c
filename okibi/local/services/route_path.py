"""The path of a route: how it is written, and which requests it takes.

(API Gateway: HTTP API routes. The listener rules of load balancers have `*` and `?` besides.)
"""

import re
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

import attrs

# The AWS service that a route stands for: API Gateway's HTTP API (payload format 2.0), its REST
# API, or an Application Load Balancer.
RouteKind: TypeAlias = Literal["http-api", "rest-api", "alb"]

# The path of the HTTP API's route for all requests that no other route matches.
DEFAULT_PATH = "$default"

# The methods of a route (API Gateway). ANY stands for all.
METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

_VARIABLE = re.compile(r"\{[A-Za-z0-9._:-]+\+?\}")


def check_method(value: Any) -> None:
    """Check the method of a route.

    Raises:
        ValueError: the value is not one of METHODS.
    """
    if value not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {value!r}")


def check_path(value: Any) -> None:
    """Check the path of a route.

    Raises:
        ValueError: the value is not `$default` or a path in which each variable is a whole part.
    """
    if value == DEFAULT_PATH:
        return
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"path must begin with '/', as in '/visits/{{name}}', got {value!r}")
    for part in value.split("/")[1:]:
        if ("{" in part or "}" in part) and not _VARIABLE.fullmatch(part):
            raise ValueError(
                f"path: a variable must be a whole part, as in '/visits/{{name}}', got {value!r}"
            )
    if "+}" in value and not value.endswith("+}"):
        raise ValueError(f"path: a variable with '+' must be the last part, got {value!r}")


def is_default(path: str) -> bool:
    """Return whether the route of a path takes all requests that no other route matches."""
    return path.strip("/") == DEFAULT_PATH


def route_key(method: str, path: str) -> str:
    """Return the key of a route of an HTTP API: `$default`, or such as `GET /visits/{name}`."""
    return DEFAULT_PATH if is_default(path) else f"{method} {path}"


@attrs.frozen
class RoutePath:
    """The paths of requests that a route takes.

    Args:
        kind: the kind of the route.
        pattern: matches these paths.
        names: the names of the variables, in their order.
        rank: the rank of a more specific path is lower.
    """

    kind: RouteKind
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    rank: tuple[int, ...]

    def match(self, raw_path: str) -> dict[str, str] | None:
        """Return the variables of a path; None if the route does not take the path.

        Variables are percent-encoded for REST APIs and decoded for HTTP APIs.

        Args:
            raw_path: the path as sent.
        """
        # An HTTP API decodes the path first: %2F separates parts. A REST API keeps it as sent.
        path = unquote(raw_path) if self.kind == "http-api" else raw_path
        if self.kind == "rest-api" and len(path) > 1:
            path = path.removesuffix("/")
        found = self.pattern.fullmatch(path)
        return None if found is None else dict(zip(self.names, found.groups(), strict=True))


def compile_path(path: str, kind: RouteKind) -> RoutePath:
    """Compile the path of a route.

    A path without `{name+}` is more specific than one with it. A literal part is more specific than
    a variable, from left to right.

    Args:
        path: a path that `check_path` accepts.
        kind: the kind of the route.

    Example:
        >>> compile_path("/visits/{name}", "http-api").match("/visits/Ada")
        {'name': 'Ada'}
    """
    if is_default(path):
        return RoutePath(kind, re.compile(".*", re.DOTALL), (), (9,))
    names: list[str] = []
    parts: list[str] = []
    rank: list[int] = []
    for part in path.split("/")[1:]:
        if part.startswith("{"):
            greedy = part.endswith("+}")
            names.append(part.strip("{+}"))
            parts.append("(.+)" if greedy else "([^/]+)")
            rank.append(2 if greedy else 1)
        else:
            literal = re.escape(part)
            if kind == "alb":
                literal = literal.replace(r"\*", ".*").replace(r"\?", ".")
            parts.append(literal)
            rank.append(0 if literal == re.escape(part) else 2)
    pattern = re.compile("/" + "/".join(parts), re.DOTALL)
    # The 3 ends the path: a longer path with the same beginning is more specific.
    return RoutePath(kind, pattern, tuple(names), (max(rank) // 2, *rank, 3))
