"""Pykka: a ThreadingActor called by another one with `ask` and `tell`.

An actor is a thread that waits on a `queue.Queue`. `ask` with a message is the faster of the two
ways in its documentation; a proxy's method uses it. Pykka has no supervisor: a start is the actor's
own `start`, which does not wait for `on_start`. `stop` waits until the actor has handled it, not
until its thread has ended.
"""

import pykka

from .measure import OperationCounts, each_blocking, read_counts, tell


class Echo(pykka.ThreadingActor):
    """Returns its argument."""

    def on_receive(self, message: object) -> object:
        return message


class CallingActor(pykka.ThreadingActor):
    """The calling actor."""

    def on_receive(self, message: OperationCounts) -> None:
        tell(
            call(message.warmup, message.calls),
            cast(message.warmup, message.casts),
            start_and_stop(message.warmup, message.starts),
            "pykka",
        )


def call(warmup: int, count: int) -> float:
    """Return microseconds per `ask` with its reply."""
    echo = Echo.start()

    def loop(times: int) -> None:
        for number in range(times):
            echo.ask(number)

    taken = each_blocking(loop, warmup, count)
    echo.stop()
    return taken


def cast(warmup: int, count: int) -> float:
    """Return microseconds per `tell`, sent and handled."""
    echo = Echo.start()

    def loop(times: int) -> None:
        for number in range(times):
            echo.tell(number)
        echo.ask(0)

    taken = each_blocking(loop, warmup, count)
    echo.stop()
    return taken


def start_and_stop(warmup: int, count: int) -> float:
    """Return microseconds per actor started and stopped."""

    def loop(times: int) -> None:
        for _ in range(times):
            Echo.start().stop()

    return each_blocking(loop, warmup, count)


if __name__ == "__main__":
    asking = CallingActor.start()
    asking.ask(read_counts())
    asking.stop()
