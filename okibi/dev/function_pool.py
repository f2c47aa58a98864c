"""The interface by which callers use the sandboxes of a function."""

from abc import ABC, abstractmethod

import trio

from ..local.platform.invocation import Invocation, InvokeResult
from ..local.settings import FunctionSettings
from .dev_function import DevFunction


class FunctionPool(ABC):
    """Runs the invocations of one function. `SandboxPool` runs them in sandboxes."""

    # The function. A reload may replace it.
    function: DevFunction

    @property
    def settings(self) -> FunctionSettings:
        """The configuration of the function."""
        return self.function.settings

    @abstractmethod
    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` when it has an outcome.

        Raises:
            Throttled: the function takes no more events now.
            ValueError: a field contains a character that an HTTP header cannot carry.
        """

    async def run_invocation(self, invocation: Invocation) -> InvokeResult:
        """Run an invocation and return the result.

        Cancelling the wait does not stop the function, as in Lambda.

        Raises: see `start_invocation`.
        """
        done = trio.Event()
        self.start_invocation(invocation, done)
        await done.wait()
        return invocation.result()
