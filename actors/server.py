"""A server: an actor whose public async methods are its messages (OTP: `gen_server`)."""

from inspect import isawaitable

from .actor import Actor
from .exits import Refusal
from .process import logger
from .request import Request


class Server(Actor):
    """State in fields, messages as methods, one message at a time.

    >>> import attrs, trio
    >>> from actors import Server, start
    >>> @attrs.define(eq=False)
    ... class Visits(Server):
    ...     seen: dict[str, int] = attrs.Factory(dict)
    ...     async def visit(self, name: str) -> int:
    ...         self.seen[name] = self.seen.get(name, 0) + 1
    ...         return self.seen[name]
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         visits = await start(nursery, Visits)
    ...         await visits.call(Visits.visit, "bob")
    ...         print(await visits.call(Visits.visit, "bob"))
    ...         visits.stop()
    >>> trio.run(main)
    2

    An exception that leaves a method ends the server, and the caller is told by ActorExited:
    its supervisor starts a fresh one. What a caller is expected to handle belongs in the reply.
    A message that fits no method (an unknown name, wrong arguments, a method that is not async)
    is the caller's mistake: the caller gets a TypeError, and the server lives.

    Asked to stop, a server is cut at its next checkpoint and `terminate` runs.
    """

    __slots__ = ()

    async def handle_info(self, message: object) -> None:
        """Take what is no method: a `Down`, a timer's message, what `send` brought.

        Override it where such messages are expected; this one logs them and goes on
        (OTP: an unexpected message is a warning).
        """
        logger.warning("%s has no handle_info and was sent %r", self.path, message)

    async def run(self) -> None:
        process = self._process
        process.turn_to_mailbox()
        receive = process.mailbox.receive
        while True:
            message = await receive()
            process.current = message
            if isinstance(message, Request):
                await self._serve(message)
            else:
                await self.handle_info(message)
            process.current = None

    async def _serve(self, request: Request) -> None:
        method = getattr(self, request.method, None)
        if method is None:
            return self._refuse(request, f"has no {request.method}")
        try:
            reply = method(*request.args, **request.kwargs)
        except TypeError as mistake:
            trace = mistake.__traceback__
            if trace is not None and trace.tb_next is None:
                return self._refuse(request, f"cannot take this: {mistake}")
            raise
        if not hasattr(reply, "__await__") and not isawaitable(reply):
            return self._refuse(request, f"has a {request.method}, but it is no async method")
        try:
            answer = await reply
        except Refusal as refusal:
            return self._refused(request, refusal)
        return request.answer(answer)

    def _refuse(self, request: Request, why: str) -> None:
        """Send a mistake of the caller's back: this server need not die for it."""
        mistake = TypeError(f"{self.path} ({type(self).__name__}) {why}")
        if request.wanted:
            request.fail(mistake)
        else:
            logger.error("%s, and was asked for %s", mistake, request)

    def _refused(self, request: Request, refusal: Refusal) -> None:
        if request.wanted:
            request.fail(refusal)
        else:
            logger.warning("%s refused %s: %s", self.path, request, refusal)
