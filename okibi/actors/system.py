"""System messages: what a server's loop answers itself, whatever the server is (OTP: `sys`).

They travel on the control lane, so no data delays them, and no method of the server sees them.
Only the message is here, since every start imports it; what can be asked is in `actors.debug`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from .request import Request


class SystemMessage:
    """One question or order to a server's loop.

    Args:
        request: the slot its answer goes into; its text says what is asked.
        act: answers it, given the server. What it raises is raised in who asked.
        attend: serves the server as long as somebody looks into it; True if it is to end.
    """

    __slots__ = ("_act", "_attend", "request")

    def __init__(
        self,
        request: Request,
        act: Callable[[Any], object],
        attend: Callable[[Any], Awaitable[bool]],
    ) -> None:
        self.request = request
        self._act = act
        self._attend = attend

    def settle(self, server: object) -> None:
        """Answer it. One that nobody waits for any more is not carried out: who asked thinks so."""
        if not self.request.waited_for:
            return
        try:
            answer = self._act(server)
        except Exception as error:
            self.request.fail(error)
        else:
            self.request.answer(answer)

    async def perform(self, server: object) -> bool:
        """Answer it, and serve on as it wants; True if the server is to end."""
        self.settle(server)
        return await self._attend(server)


async def _serve_on(_: object) -> bool:
    return False


def nudge() -> SystemMessage:
    """One that asks nothing: it makes a loop that waits for a message go round once."""
    return SystemMessage(Request("nudge", (), {}, None, False), type, _serve_on)
