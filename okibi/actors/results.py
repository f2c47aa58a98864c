"""Results as messages: the reply to a request, or what a task comes to, in an actor's mailbox.

An actor that must not wait asks others with `request`, or starts a task, and goes on. Monitored,
the Pending or the Task brings one `Result` when it has come to an end (OTP: `send_request` and
`check_response`; Elixir: `Task.Supervisor.async_nolink`).

Imported when it is first asked for, as a start does not need it.
"""

from collections.abc import Callable
from typing import Any

import attrs

from .process import Phase, Process
from .request import Asked


@attrs.frozen
class Result:
    """The one message that a monitor of a Pending, or of a Task, brings. It is on the control lane.

    >>> import attrs, trio
    >>> from okibi.actors import NO_REPLY, Refusal, Reply, Result, Server, start
    >>> class Prices(Server):
    ...     async def of(self, item: str) -> int:
    ...         if item != "tea":
    ...             raise Refusal(f"there is no {item}")
    ...         return 3
    >>> @attrs.define(eq=False)
    ... class Shop(Server):
    ...     orders: dict[object, Reply[str]] = attrs.Factory(dict)
    ...     async def order(self, item: str) -> str:
    ...         pending = await prices.request(Prices.of, item)
    ...         self.monitor(pending)
    ...         self.orders[pending] = self.reply_later()
    ...         return NO_REPLY
    ...     async def handle_info(self, message):
    ...         match message:
    ...             case Result(error=None):
    ...                 self.orders.pop(message.source).send(f"that makes {message.value}")
    ...             case Result():
    ...                 self.orders.pop(message.source).send(f"sorry, {message.error}")
    >>> async def main():
    ...     global prices
    ...     async with trio.open_nursery() as nursery:
    ...         prices = await start(nursery, Prices)
    ...         shop = await start(nursery, Shop)
    ...         for item in ("tea", "gold"):
    ...             print(await shop.call(Shop.order, item))
    ...         shop.stop()
    ...         prices.stop()
    >>> trio.run(main)
    that makes 3
    sorry, there is no gold

    Attributes:
        source: the Pending, or the Task, that was monitored. Its own `result()` gives the same at
            once, and with its type.
        value: the reply, or what the function has returned; None if there is an error.
        error: what `source.result()` would raise: ActorExited if the actor, or the task, has
            ended; a Refusal; the exception of a function; None if all went well.
        monitor: which of one's monitors this is.
    """

    source: Any
    value: Any
    error: BaseException | None
    monitor: "ResultMonitor"


class ResultMonitor:
    """One actor's interest in what a request or a task comes to. Made by an actor's `monitor`."""

    __slots__ = ("_request", "_source", "_taken", "_watcher")

    def __init__(
        self,
        watcher: Process,
        request: Asked,
        source: object,
        taken: Callable[[], None] | None,
    ) -> None:
        self._watcher = watcher
        self._request = request
        self._source = source
        self._taken = taken

    def demonitor(self) -> None:
        """Lose interest. No Result of this monitor is seen after it, not even a waiting one."""
        self._request.remove(self)
        self._watcher.watchers.pop(self, None)
        self._watcher.mailbox.forget(lambda m: isinstance(m, Result) and m.monitor is self)

    def tell(self, value: object, error: BaseException | None) -> None:
        """Put the Result on the watcher's control lane."""
        self._watcher.watchers.pop(self, None)
        if self._taken is not None:
            self._taken()
        self._watcher.mailbox.post(Result(self._source, value, error, self))


def monitor_result(
    watcher: Process, request: Asked, source: object, taken: Callable[[], None] | None = None
) -> ResultMonitor:
    """Have `watcher` told what a request comes to, once.

    Args:
        watcher: the actor.
        request: the request.
        source: what the message says was monitored.
        taken: called when the message is put into the mailbox, if that matters to the source.

    Raises:
        RuntimeError: the request was abandoned.
    """
    if not request.settled and not request.wanted:
        raise RuntimeError(f"{request} was abandoned: it has no result")
    monitor = ResultMonitor(watcher, request, source, taken)
    if watcher.phase is not Phase.DEAD:
        # A short-lived watcher must leave nothing behind in a long-lived request.
        watcher.watchers[monitor] = lambda _: monitor.demonitor()
        request.add(monitor)
    return monitor
