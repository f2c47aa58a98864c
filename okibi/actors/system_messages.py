"""System messages: questions that the loop of every server answers itself (OTP: `sys`).

They use the control lane, so data does not delay them, and no method of the server sees them. Every
cold start imports this module, so it holds only the message; the questions are in `actors.debug`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from .request import Request


class SystemMessage:
    """A message that the loop of a server answers itself.

    Args:
        request: receives the answer; its method name says what is asked.
        act: computes the answer from the server. An exception is raised in the asking task.
        serve: serves the server while a debug function is on; True if the server must end.
    """

    __slots__ = ("_act", "_serve", "request")

    def __init__(
        self,
        request: Request,
        act: Callable[[Any], object],
        serve: Callable[[Any], Awaitable[bool]],
    ) -> None:
        self.request = request
        self._act = act
        self._serve = serve

    def answer(self, server: object) -> None:
        """Compute and send the answer, unless the asking task has given up."""
        if not self.request.waited_for:
            return
        try:
            answer = self._act(server)
        except Exception as error:
            self.request.fail(error)
        else:
            self.request.answer(answer)

    async def perform(self, server: object) -> bool:
        """Answer, then serve while a debug function is on; True if the server must end."""
        self.answer(server)
        return await self._serve(server)


async def _return_to_loop(_: object) -> bool:
    return False


def make_wake_up() -> SystemMessage:
    """Make a message that asks nothing: a waiting loop runs one more iteration."""
    return SystemMessage(Request("wake_up", (), {}, None, False), type, _return_to_loop)
