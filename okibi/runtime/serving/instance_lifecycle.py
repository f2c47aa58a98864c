"""A worker's place for its instances: makes one, ends it, and waits before the next one."""

import math
from collections.abc import Callable

import trio

from ...actors import ExitReason, logs
from ...actors.hook_errors import require_awaitable
from ...actors.start import START_TIMEOUT
from ..handlers.handler import Instance

logger = logs.logger("okibi")

# Seconds before another instance is made where the last ones, one after the other, were each ended
# by a task of their own before any event had been given to them: the first follows at once. Such a
# task, which finds no database say, would crash a thousand times a second, each with its lines in
# the log. The most is less than the shortest time-out, for an event may wait meanwhile.
PAUSES = (0.0, 0.02, 0.1, 0.5)
_INIT, _TERMINATE = "in the init of a new instance", "in the terminate of an old instance"
_PAUSE = "waiting to make a new instance, since a task of the last one's own ended it at once"


def pause_after(unused: int) -> float:
    """Seconds to wait after so many instances in a row that ended before they had an event."""
    return PAUSES[min(unused, len(PAUSES)) - 1] if unused else 0.0


class InstanceLifecycle:
    """Holds one instance after the other.

    Args:
        make: makes an instance.

    Attributes:
        instance: the one that serves; None while there is none.
        doing: what the worker does instead of serving, in words; empty while an instance serves.
    """

    __slots__ = ("_unused", "doing", "instance", "make")

    def __init__(self, make: Callable[[], Instance]) -> None:
        self.make = make
        self.instance: Instance | None = None
        self.doing = _INIT
        # How many instances in a row have ended before they had an event.
        self._unused = 0

    async def fill(self, nursery: trio.Nursery) -> Instance:
        """Make an instance, and run its `init`.

        Raises:
            trio.TooSlowError: `init` has not ended in START_TIMEOUT seconds. (The supervisor limits
                only the first one.)
        """
        self.doing = _INIT
        instance = self.make()
        # Past the class's own __setattr__: it may be a frozen one.
        object.__setattr__(instance, "nursery", nursery)
        with trio.fail_after(START_TIMEOUT):
            await require_awaitable(instance.init(), instance, "init")
        self.instance = instance
        self.doing = ""
        return instance

    def ended(self, *, unused: bool) -> None:
        """The instance serves no more; whether no event was given to it."""
        self.doing = _TERMINATE
        self._unused = self._unused + 1 if unused else 0

    async def empty(self, reason: ExitReason, path: str, grace: float = math.inf) -> None:
        """Run the instance's `terminate`, if there is one.

        Args:
            reason: why.
            path: the worker's, for the log.
            grace: seconds that it may take.
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
        """Wait until the next instance may be made."""
        seconds = pause_after(self._unused)
        if seconds:
            self.doing = _PAUSE
            await trio.sleep(seconds)

    async def call_hook(self, name: str) -> None:
        """Call a hook of the instance's around a snapshot, if it has one of that name."""
        hook = getattr(self.instance, name, None)
        if hook is not None:
            # What wraps a Handler gives its own.
            await require_awaitable(hook(), getattr(hook, "__self__", self.instance), name)
