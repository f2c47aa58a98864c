"""Adapter: what serves events with something else than a handler, such as a web application."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ...supervisors import Child
    from .asyncio_handlers import HandlerLoop
    from .handler import Abandon


class Adapter:
    """Is given to a Function in place of a handler, and brings its own loop and actors.

    Its handler may answer before it ends (`OtherAnswers.early`).
    """

    __slots__ = ()

    # The loop that the user has set for the adapter, and the loop where no loop is set.
    loop: Literal["trio", "asyncio"] | None
    default_loop: Literal["trio", "asyncio"]
    # Whether the handler itself runs on trio in any case.
    on_trio = False

    def handler(self) -> Callable[..., Any]:
        """Return the function that answers events: a `def` or an `async def`."""
        raise NotImplementedError

    def children(self, loop: "HandlerLoop | None", abandon: "Abandon") -> "list[Child[Any]]":
        """Return the actors that start before the first event. Called once, before any event.

        Args:
            loop: the asyncio loop; None if the handler runs on trio.
            abandon: is to be called for each thread that runs on past its deadline.
        """
        raise NotImplementedError
