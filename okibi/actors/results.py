"""Result: the reply to a request, or the outcome of a task, as a message in an actor's mailbox.

An actor that must not wait sends a request, or starts a task, and monitors the Pending or the Task.
The monitor brings one `Result` (OTP: `send_request` and `check_response`; Elixir:
`Task.Supervisor.async_nolink`).

Imported at first use: a start does not need it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, cast

import attrs
import trio

from .life import Phase
from .process import Process
from .request import PendingRequest
from .timers import Notice

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class ResultSource(Protocol[R_co]):
    """The source of a Result: a Pending or a Task."""

    @property
    def done(self) -> bool:
        """Whether `result` returns or raises without waiting."""
        ...

    async def result(self) -> R_co:
        """Wait for the reply, or for the result of the task's function."""
        ...


@attrs.frozen
class Result(Notice):
    """The message that a monitor of a Pending or a Task brings.

    The Result comes behind what the server or the task had sent to this actor before.

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
        source: the Pending or Task. Its `result()` returns the same value, typed, without waiting.
        value: the reply, or what the task's function returned; None if there is an error.
        error: the exception that `source.result()` raises: ActorExited if the actor or task has
            ended, a Refusal, or the exception of the task's function. None if there is a value.
        monitor: the monitor that `Actor.monitor` returned.
    """

    source: ResultSource[Any]
    value: Any
    error: BaseException | None
    monitor: "ResultMonitor"


class ResultMonitor:
    """A monitor of a Pending or a Task. Made by `Actor.monitor`."""

    __slots__ = ("_on_notify", "_request", "_source", "_watcher")

    def __init__(
        self,
        watcher: Process,
        request: PendingRequest,
        source: ResultSource[Any],
        on_notify: Callable[[], None] | None,
    ) -> None:
        self._watcher = watcher
        self._request = request
        self._source = source
        self._on_notify = on_notify

    def demonitor(self) -> None:
        """End the monitoring. A Result that waits in the mailbox is removed."""
        self._request.remove(self)
        self._watcher.unwatch(self)
        self._watcher.mailbox.remove_notices(self)

    def notify(self, value: object, error: BaseException | None) -> None:
        """Post the Result to the watcher."""
        self._watcher.unwatch(self)
        if self._on_notify is not None:
            self._on_notify()
        self._watcher.mailbox.notify(Result(self._source, value, error, self))


def monitor_result(
    watcher: Process,
    request: PendingRequest,
    source: ResultSource[Any],
    on_notify: Callable[[], None] | None = None,
) -> ResultMonitor:
    """Send `watcher` one Result when a request is answered.

    Args:
        watcher: the actor that gets the Result.
        request: the request.
        source: the `source` of the Result.
        on_notify: called when the Result is posted.

    Raises:
        RuntimeError: the request was abandoned.
    """
    if not request.settled and not request.wanted:
        raise RuntimeError(f"{request} was abandoned: it has no result")
    monitor = ResultMonitor(watcher, request, source, on_notify)
    if watcher.life.phase is not Phase.DEAD:
        watcher.tie(monitor)
        request.add(monitor)
    return monitor


async def await_many(sources: Iterable[ResultSource[R]]) -> list[R]:
    """Wait for several replies or results at once (Elixir: `Task.await_many/2`).

        first, second = await await_many([
            await stock.request(Stock.count, "tea"),
            await stock.request(Stock.count, "salt"),
        ])

    Limit the wait with `trio.fail_after`. The first error, of whichever source, ends the wait and
    is raised. After an error, and after a cancellation, the other sources go on: their results may
    be taken later. To stop the others, stop each Task.

    Args:
        sources: each a Pending or a Task.

    Returns:
        The results, in the order of the sources.

    Raises:
        Exception: what the `result` of a source raises.
    """
    waiting = list(sources)
    results: list[R | None] = [None] * len(waiting)
    failed: list[Exception] = []

    async def take(number: int, source: ResultSource[R]) -> None:
        try:
            results[number] = await source.result()
        except Exception as error:
            failed.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number, source in enumerate(waiting):
            nursery.start_soon(take, number, source)
    if failed:
        try:
            raise failed[0]
        finally:
            failed.clear()
    return cast("list[R]", results)
