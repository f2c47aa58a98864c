"""The echo that every contender serves."""

from typing import Any


async def echo(event: Any, context: Any) -> Any:
    return event


def plain(event: Any, context: Any) -> Any:
    return event
