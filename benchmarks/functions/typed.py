"""The echo as a Handler, which only okibi has."""

from typing import Any

from okibi.runtime import Context, Handler


class Echo(Handler[dict[str, Any]]):
    async def handle(self, event: dict[str, Any], context: Context) -> Any:
        return event
