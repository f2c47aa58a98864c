"""`plain.handler`: the same function for okibi and for AWS's own client."""

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return {"hello": event.get("name", "you")}
