"""Thespian, in its base that stays in one process: `ask` and `tell` from outside of its actors.

Its own way to ask from inside an actor is to send, and to be sent the answer as another message.
Its limits here: that base runs what is sent when somebody asks or waits, in the caller's thread, so
nothing runs beside anything; a start is `createActor`, an end the ActorExitRequest, handled.
"""

from typing import Any

from thespian.actors import Actor, ActorExitRequest, ActorSystem

from .measure import counts, each_blocking, tell


class Echo(Actor):
    """Answers with what it is given."""

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802, the library's
        if not isinstance(message, ActorExitRequest):
            self.send(sender, message)


class Quiet(Actor):
    """Takes what it is given, and answers the last."""

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if message == "last":
            self.send(sender, message)


def main() -> None:
    system = ActorSystem("simpleSystemBase")
    told = counts()
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
