"""The function of `make streaming`."""

from collections.abc import AsyncIterator
from typing import Any

import trio

PIECE = bytes(64 * 1024)


async def handler(event: dict[str, Any], context: Any) -> AsyncIterator[bytes | str]:
    if "megabytes" in event:
        for _ in range(event["megabytes"] * 16):
            yield PIECE
        return
    for n in range(event["pieces"]):
        yield f"{n}\n"
        await trio.sleep(event["pause"])
    if event.get("fails"):
        raise ValueError("in the middle")
