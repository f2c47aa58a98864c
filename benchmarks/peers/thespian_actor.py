"""Thespian in its single-process base: `ask` and `tell` from outside of its actors.

Inside an actor, Thespian asks by sending a message and receiving another. The single-process base
runs messages in the caller's thread when a caller asks or waits, so nothing is concurrent. A start
is `createActor`, an end is a handled ActorExitRequest.
"""

from typing import Any

from thespian.actors import Actor, ActorExitRequest, ActorSystem

from .measure import each_blocking, read_counts, tell


class Echo(Actor):
    """Returns its message."""

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802, the library's
        if not isinstance(message, ActorExitRequest):
            self.send(sender, message)


class Quiet(Actor):
    """Accepts messages, and answers the last."""

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if message == "last":
            self.send(sender, message)


def main() -> None:
    system = ActorSystem("simpleSystemBase")
    told = read_counts()
    echo, quiet = system.createActor(Echo), system.createActor(Quiet)

    def call(times: int) -> None:
        for number in range(times):
            system.ask(echo, number + 1)

    def cast(times: int) -> None:
        for number in range(times):
            system.tell(quiet, number + 1)
        system.ask(quiet, "last")

    def start(times: int) -> None:
        for _ in range(times):
            system.tell(system.createActor(Echo), ActorExitRequest())

    try:
        tell(
            each_blocking(call, told.warmup, told.calls),
            each_blocking(cast, told.warmup, told.casts),
            each_blocking(start, told.warmup, told.starts),
            "thespian",
        )
    finally:
        system.shutdown()


if __name__ == "__main__":
    main()
