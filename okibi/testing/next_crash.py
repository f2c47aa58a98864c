"""Let the next call of a server crash it, for a test."""

from collections.abc import Awaitable, Callable

import attrs

from ..actors import Server
from ..actors.before_request import set_before_request
from ..actors.request import Request

Method = Callable[..., Awaitable[object]]


@attrs.define(eq=False)
class NextCrash:
    """A crash that waits for its call.

    Args:
        error: the exception that the call raises.
        method: the method of the call; None for any.
        path: the path of the server; None for any server with the method.
    """

    error: BaseException
    method: Method | None
    path: str | None

    def is_for(self, server: Server, request: Request) -> bool:
        """Return whether a server's request is the awaited one."""
        if self.path is not None and server.path != self.path:
            return False
        return self.method is None or getattr(type(server), request.method, None) is self.method


def check_message(method: Method) -> None:
    """Raise TypeError unless a method is a message of a server: its crash would never happen."""
    name = getattr(method, "__name__", "")
    servers: list[type[Server]] = [Server]
    for server in servers:
        servers += server.__subclasses__()
        if getattr(server, name, None) is method and not hasattr(Server, name):
            return
    raise TypeError(
        f"no server has the message {method!r}: name a method that is called, such as Visits.visit"
    )


class NextCrashes:
    """The crashes of one test that have not happened yet. `close` forgets them."""

    def __init__(self) -> None:
        self._waiting = list[NextCrash]()

    def add(self, crash: NextCrash) -> None:
        """Add a crash; of several for one call, the first one added happens first."""
        self._waiting.append(crash)
        set_before_request(self._take_error)

    def close(self) -> None:
        """Forget the crashes that have not happened."""
        self._waiting.clear()
        set_before_request(None)

    def _take_error(self, server: Server, request: Request) -> BaseException | None:
        found = next((each for each in self._waiting if each.is_for(server, request)), None)
        if found is None:
            return None
        self._waiting.remove(found)
        if not self._waiting:
            # The tracebacks of later requests do not show the hook.
            set_before_request(None)
        return found.error
