"""Connections of a function's resources in all its sandboxes, against the limit of the server."""

import sys
from collections.abc import Iterable
from typing import Any

import attrs

from ...supervisors import SupervisorSpec
from .static_tree import walk


@attrs.frozen
class Connections:
    """The connections of one resource.

    Args:
        name: the resource.
        connections: in one sandbox.
        server_limit: the number that the server allows; None if the resource does not say.
    """

    name: str
    connections: int
    server_limit: int | None


def find_connections(tree: SupervisorSpec) -> list[Connections]:
    """Find the resources of a tree."""
    module = sys.modules.get("okibi.resource")
    if module is None:
        return []
    found: Iterable[Any] = [child.start for _, child in walk(tree)]
    return [
        Connections(str(each.name.key), each.rules.connections, each.server_limit)
        for each in found
        if isinstance(each, module.Resource)
    ]


def describe_connections(resource: Connections, sandboxes: int) -> tuple[str, bool]:
    """Compare the connections of all sandboxes with the limit, in one line.

    Returns:
        The line, and whether the server allows as many.

    >>> describe_connections(Connections("database", 2, 100), 50)
    ('database: 50 sandboxes x 2 connections = 100, and the server allows 100', True)
    """
    total, limit = sandboxes * resource.connections, resource.server_limit
    counts = (
        f"{resource.name}: {_count(sandboxes, 'sandbox', 'es')} x "
        f"{_count(resource.connections, 'connection', 's')} = {total}"
    )
    if limit is None:
        return f"{counts}; Resource(server_limit=...) compares with what the server allows", True
    compared = f"{counts}, and the server allows {limit}"
    if total <= limit:
        return compared, True
    fits = limit // resource.connections
    reserve = f"reserve a concurrency of at most {fits} for the function, or " if fits else ""
    advice = (
        f"{reserve}put a proxy before the server (RDS Proxy, PgBouncer), or keep the data in "
        "DynamoDB, which has no connections to run out of"
    )
    return f"{compared}: {advice}", False


def _count(number: int, noun: str, plural: str) -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"
