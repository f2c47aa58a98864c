"""A server: an actor whose public async methods are its messages (OTP: `gen_server`)."""

from .actor import Actor
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
            # A mistake of the caller's, not of this server's: it need not die for it.
            request.fail(TypeError(f"{self.path} ({type(self).__name__}) has no {request.method}"))
            return
        request.answer(await method(*request.args, **request.kwargs))
