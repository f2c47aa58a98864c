"""The echo that every contender serves."""

import json
from collections.abc import AsyncIterator
from typing import Any


async def echo(event: Any, context: Any) -> Any:
    return event


def plain(event: Any, context: Any) -> Any:
    return event


async def streamed(event: Any, context: Any) -> AsyncIterator[str]:
    """Yield two pieces: the first is sent before the second is made."""
    text = json.dumps(event)
    yield text[:1]
    yield text[1:]
