"""Pykka: a ThreadingActor, asked by another one with `ask` and `tell`.

An actor is a thread there and waits on a `queue.Queue`. `ask` with a message of one's own is the
quicker of the two ways that its documentation teaches; a proxy's method goes through it. Its
limits: it has no supervisor, so a start is the actor's own `start`, whose end is not that of
`on_start`; `stop` waits until the actor has handled it, not until its thread has ended.
"""

import pykka

from .measure import Counts, counts, each_blocking, tell


class Echo(pykka.ThreadingActor):
    """Answers with what it is given."""

    def on_receive(self, message: object) -> object:
        return message


class Asking(pykka.ThreadingActor):
    """The caller, an actor as well."""

    def on_receive(self, message: Counts) -> None:
        tell(
            call(message.warmup, message.calls),
            cast(message.warmup, message.casts),
            start_and_stop(message.warmup, message.starts),
            "pykka",
        )


def call(warmup: int, count: int) -> float:
    """An `ask` and its reply, in microseconds."""
    echo = Echo.start()

    def loop(times: int) -> None:
        for number in range(times):
            echo.ask(number)

    taken = each_blocking(loop, warmup, count)
    echo.stop()
    return taken


def cast(warmup: int, count: int) -> float:
    """A `tell`, sent and handled, in microseconds."""
    echo = Echo.start()

    def loop(times: int) -> None:
        for number in range(times):
            echo.tell(number)
        echo.ask(0)

    taken = each_blocking(loop, warmup, count)
    echo.stop()
    return taken


def start_and_stop(warmup: int, count: int) -> float:
    """An actor started and stopped, in microseconds."""

    def loop(times: int) -> None:
        for _ in range(times):
            Echo.start().stop()

    return each_blocking(loop, warmup, count)


if __name__ == "__main__":
    asking = Asking.start()
    asking.ask(counts())
    asking.stop()
