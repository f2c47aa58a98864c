"""A rate limit for each user, over all sandboxes: a token bucket.

`okibi dev limit.function`, then `curl -i 'http://localhost:9000/?user=bob'` six times.
"""

import math
from typing import Any

import attrs

from okibi import Child, Context, Function, Handler, HttpEvent
from okibi.entities import Entities, Entity, EntityStore

# Requests that a user may send at once, and a second.
BURST, RATE = 5, 0.5


@attrs.define(eq=False)
class Bucket(Entity):
    """The requests that a user has left."""

    tokens: float = BURST
    filled_at: float = 0.0

    async def take(self) -> float:
        """Take a token and return 0; or return the seconds until there is one."""
        # The clock of another sandbox may be ahead.
        now = max(self.now(), self.filled_at)
        self.tokens = min(BURST, self.tokens + RATE * (now - self.filled_at))
        self.filled_at = now
        if self.tokens < 1:
            return (1 - self.tokens) / RATE
        self.tokens -= 1
        return 0.0


BUCKETS = Entities("bucket", Bucket)


@attrs.define(eq=False)
class Api(Handler[HttpEvent]):
    """Serves a user's requests, and answers 429 where there are too many."""

    async def handle(self, event: HttpEvent, context: Context) -> dict[str, Any]:
        wait = await BUCKETS[event.query.get("user", "")].call(Bucket.take)
        if wait:
            return {"statusCode": 429, "headers": {"retry-after": f"{math.ceil(wait)}"}}
        return {"statusCode": 200, "body": "served"}


function = Function(handler=Api, children=[Child(EntityStore)])
