"""The echo as a Handler, which every contender but okibi lacks."""

from typing import Any

from okibi.runtime import Context, Handler


class Echo(Handler[dict[str, Any]]):
    async def handle(self, event: dict[str, Any], context: Context) -> Any:
        return event
