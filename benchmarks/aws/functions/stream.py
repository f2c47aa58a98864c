"""`stream.handler`: five pieces, 0.3 s apart."""

from collections.abc import AsyncGenerator
from typing import Any

import trio

from okibi import Prelude


async def handler(event: dict[str, Any], context: object) -> AsyncGenerator[object, None]:
    yield Prelude(status_code=200, headers={"content-type": "text/event-stream"})
    for n in range(5):
        yield f"data: {n}\n\n"
        await trio.sleep(0.3)
