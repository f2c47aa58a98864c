"""The lifecycle of a worker's handler instances: `init`, `terminate`, and the pause between two."""

import math
from collections.abc import Callable

import trio

from ...actors import ExitReason, logs
from ...actors.hook_errors import require_awaitable
from ...actors.start import START_TIMEOUT
from ..handlers.handler import Instance

logger = logs.logger("okibi")

# Seconds to wait before the next instance, by how many instances in a row were ended by a crash of
# their own background task before they received an event: no wait after the first, then 20 ms,
# 100 ms, and 500 ms from the fourth on. Without pauses, a task that finds no database would crash
# and log a thousand times per second. An event may wait meanwhile, and the longest pause is shorter
# than Lambda's shortest time-out.
PAUSES = (0.0, 0.02, 0.1, 0.5)
_INIT, _TERMINATE = "in the init of a new instance", "in the terminate of an old instance"
_PAUSE = "waiting to create the next instance, because a background task crashed the last one"


def pause_after(unused: int) -> float:
    """Return the seconds to wait after `unused` instances in a row that served no event."""
    return PAUSES[min(unused, len(PAUSES)) - 1] if unused else 0.0


class InstanceLifecycle:
    """Creates and ends a worker's instances, one after the other.

    Args:
        create: creates an instance.

    Attributes:
        instance: the current instance; None while there is none.
        doing: the activity that keeps the worker from serving, for messages; empty while it serves.
    """

    __slots__ = ("_unused_in_a_row", "create", "doing", "instance")

    def __init__(self, create: Callable[[], Instance]) -> None:
        self.create = create
        self.instance: Instance | None = None
        self.doing = _INIT
        # Instances in a row that ended before their first event.
        self._unused_in_a_row = 0

    async def start_instance(self, nursery: trio.Nursery) -> Instance:
        """Create an instance and run its `init`.

        Args:
            nursery: becomes the instance's `nursery`.

        Raises:
            trio.TooSlowError: `init` took longer than START_TIMEOUT. (The supervisor's own limit
                covers only the worker's first instance.)
        """
        self.doing = _INIT
        instance = self.create()
        # `object.__setattr__`, because the user's class may be frozen.
        object.__setattr__(instance, "nursery", nursery)
        with trio.fail_after(START_TIMEOUT):
            await require_awaitable(instance.init(), instance, "init")
        self.instance = instance
        self.doing = ""
        return instance

    def mark_ended(self, *, unused: bool) -> None:
        """Record that the instance serves no more.

        Args:
            unused: whether the instance received no event.
        """
        self.doing = _TERMINATE
        self._unused_in_a_row = self._unused_in_a_row + 1 if unused else 0

    async def stop_instance(self, reason: ExitReason, path: str, grace: float = math.inf) -> None:
        """Run the instance's `terminate`, if there is an instance.

        Args:
            reason: passed to `terminate`.
            path: the worker's path, for the log.
            grace: seconds after which `terminate` is cancelled.
        """
        instance, self.instance = self.instance, None
        if instance is None:
            return
        try:
            with trio.move_on_after(grace):
                await require_awaitable(instance.terminate(reason), instance, "terminate")
        except Exception:
            logger.exception("%s: terminate of its handler crashed", path)

    async def pause(self) -> None:
        """Wait before the next instance, if the last ones ended unused."""
        seconds = pause_after(self._unused_in_a_row)
        if seconds:
            self.doing = _PAUSE
            await trio.sleep(seconds)

    async def call_hook(self, name: str) -> None:
        """Call a snapshot hook of the instance, if it has a method of that name."""
        hook = getattr(self.instance, name, None)
        if hook is not None:
            # A wrapper of a Handler passes the hook of the wrapped instance.
            await require_awaitable(hook(), getattr(hook, "__self__", self.instance), name)
