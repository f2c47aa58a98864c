"""A `Handler` whose instance is replaced after an exception, for the benchmark of warm restarts.

Not in `okibi_crashing`, which must not import okibi: awslambdaric serves it too.
"""

from typing import Any

from okibi.runtime import Context, Function, Handler, Workers


class NumberedInstance(Handler[dict[str, Any]]):
    """Answers with the number of the instance, or fails as the event says."""

    made = 0
    number = 0

    async def init(self) -> None:
        NumberedInstance.made += 1
        self.number = NumberedInstance.made

    async def handle(self, event: dict[str, Any], context: Context) -> int:
        if event["way"] == "exception":
            raise ValueError("on demand")
        return self.number


# One worker: a second one would serve the next event without waiting for the restart.
function = Function(handler=Workers(NumberedInstance, count=1))
