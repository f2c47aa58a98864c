"""The work of an actor's loop: the message in hand, and the replies that are put off."""

from typing import TYPE_CHECKING

from .exits import NOTHING
from .request import Request

if TYPE_CHECKING:
    from .status import Debugging


class Work:
    """The message that an actor handles, and what its loop must do besides.

    Attributes:
        message: the message being handled; None between two messages.
        since: the time at which its handling began, in seconds of trio's clock.
        last_reply: the reply that an Exit gave to the current call; sent after `terminate`.
        continuations: values for `handle_continue`, which go before the next message.
        deferred_calls: calls whose reply was put off (`reply_later`).
        answers_calls: whether the loop answers calls.
        drains: whether a stop request lets the actor handle the messages that wait.
        debug: state of `actors.debug`; None unless a debug function is on.
    """

    __slots__ = (
        "answers_calls", "continuations", "debug", "deferred_calls", "drains", "last_reply",
        "message", "since",
    )  # fmt: skip

    def __init__(self) -> None:
        self.message: object = None
        self.since = 0.0
        self.last_reply: object = NOTHING
        self.continuations: list[object] | None = None
        self.deferred_calls: dict[Request, None] | None = None
        self.answers_calls = True
        self.drains = False
        self.debug: Debugging | None = None

    def begin(self, message: object, now: float) -> None:
        """Begin to handle a message."""
        self.message = message
        self.since = now

    def finish(self) -> None:
        """Note that the message was handled."""
        self.message = None

    def refuse_calls(self) -> None:
        """Note that the actor is no Server."""
        self.answers_calls = False

    def drain(self, on: bool) -> None:
        """Set whether a stop request lets the actor handle the messages that wait."""
        self.drains = on

    def set_debug(self, debug: "Debugging | None") -> None:
        """Set the state of `actors.debug`."""
        self.debug = debug

    def set_last_reply(self, reply: object) -> None:
        """Keep the reply to the current call until `terminate` has run."""
        self.last_reply = reply

    # -- continuations

    def add_continuation(self, continuation: object) -> None:
        """Put a value for `handle_continue` behind the others."""
        if self.continuations is None:
            self.continuations = []
        self.continuations.append(continuation)

    def begin_continuation(self) -> object:
        """Take the next continuation, which is then the message being handled."""
        assert self.continuations
        self.message = self.continuations.pop(0)
        return self.message

    # -- calls

    def defer(self, request: Request) -> None:
        """Note a call whose reply was put off."""
        if self.deferred_calls is None:
            self.deferred_calls = {}
        self.deferred_calls[request] = None

    def forget(self, request: Request) -> None:
        """Note that the reply to a call was sent or lost."""
        if self.deferred_calls is not None:
            self.deferred_calls.pop(request, None)

    def end(self) -> None:
        """Drop everything: a Ref of a dead actor keeps only the exit reason alive."""
        self.message = self.continuations = self.deferred_calls = self.debug = None
        self.last_reply = NOTHING
