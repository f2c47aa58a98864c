"""What a benchmark of warm restarts serves: a `Handler`, whose instance is replaced when it raises.

Apart from what crashes, which the official client serves too: that knows no instances.
"""

from typing import Any

from okibi.runtime import Context, Function, Handler, Workers


class Restarting(Handler[dict[str, Any]]):
    """Tells which instance it is, or fails as the event says."""

    made = 0
    number = 0

    async def init(self) -> None:
        Restarting.made += 1
        self.number = Restarting.made

    async def handle(self, event: dict[str, Any], context: Context) -> int:
        if event["way"] == "exception":
            raise ValueError("on demand")
        return self.number


# A spare worker would serve the next event, and nothing would wait for the restart.
function = Function(handler=Workers(Restarting, count=1))
