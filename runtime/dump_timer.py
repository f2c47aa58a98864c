"""faulthandler's timer, of which there is one: the watchdog's, unless the user's code wants it."""

import faulthandler
import math
from collections.abc import Callable
from time import monotonic
from typing import Any


class DumpTimer:
    """Dumps all stacks when its time is over.

    The user's code may want it, too: to see where it stands shortly before its own time is over,
    say. While it has it, the watchdog goes without.
    """

    def __init__(self) -> None:
        self._users_until = -math.inf
        # Sets the user's anew, for so many seconds.
        self._again: Callable[[float], None] = lambda _: None
        self._set: Callable[..., None] = lambda *given, **more: faulthandler.dump_traceback_later(
            *given, **more
        )
        self._cancel: Callable[[], None] = lambda: faulthandler.cancel_dump_traceback_later()

    def share(self) -> None:
        """Hear of it from now on when the user's code sets it or takes it back."""
        self._set = faulthandler.dump_traceback_later
        self._cancel = faulthandler.cancel_dump_traceback_later
        faulthandler.dump_traceback_later = self._set_by_user
        faulthandler.cancel_dump_traceback_later = self._cancelled_by_user

    def tick(self, seconds: float, **options: Any) -> None:
        """Set it, unless it is the user's.

        Raises:
            RuntimeError: no thread can be started.
        """
        if monotonic() >= self._users_until:
            self._set(seconds, **options)

    def take_back(self) -> None:
        """Have it go off no more, unless it is the user's."""
        if monotonic() >= self._users_until:
            self._cancel()

    def pause(self) -> None:
        """Have it not go off, whosoever it is, until it goes on: the process is about to fork."""
        self._cancel()

    def go_on(self) -> None:
        """Set the user's again, for what was left of it."""
        left = self._users_until - monotonic()
        if left > 0:
            self._again(left)

    def _set_by_user(self, timeout: float, repeat: bool = False, *rest: Any, **more: Any) -> None:
        before = self._users_until
        # First: the watchdog may look in between.
        self._users_until = math.inf if repeat else monotonic() + timeout
        try:
            self._set(timeout, repeat, *rest, **more)
        except BaseException:
            self._users_until = before
            raise
        self._again = lambda left: self._set(min(left, timeout), repeat, *rest, **more)

    def _cancelled_by_user(self) -> None:
        self._users_until = -math.inf
        self._cancel()
