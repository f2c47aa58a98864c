"""A call or a cast on its way: the method's name, its arguments, and who waits.

A call's answer has a one-shot slot of its own. A caller that gives up takes itself out of the
slot, so a late answer falls on the floor instead of into somebody's mailbox (what OTP needed
process aliases for), and a second answer is harmless.
"""

import reprlib
from collections.abc import Mapping
from typing import Protocol

import attrs
import outcome
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

# What a server is, as opposed to what it can be asked: these are never messages. A test holds
# this list against the classes.
NOT_MESSAGES = frozenset(
    {
        "handle_info",
        "init",
        "live",
        "mailbox",
        "monitor",
        "path",
        "receive",
        "ref",
        "run",
        "send_after",
        "send_every",
        "terminate",
    }
)


# Arguments are shown in logs and errors, cut short (one may be an event of 6 MB), and whatever a
# user's `__repr__` does: the news of an end must not fail for it.
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 100


class Caller(Protocol):
    """What a request says of who made it."""

    path: str


@attrs.define(eq=False)
class Request:
    """One message that names a method.

    Args:
        method: the method's name; it is looked up on the instance, so overrides hold.
        args, kwargs: what the method is given.
        caller: the actor that asks, None for a task outside any actor.
        wanted: whether somebody waits for the answer (call) or not (cast).
    """

    method: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    caller: Caller | None
    wanted: bool
    _outcome: "outcome.Outcome[object] | None" = attrs.field(default=None, init=False)
    _waiting: Task | None = attrs.field(default=None, init=False)

    def answer(self, value: object) -> None:
        """Give the caller its reply; later ones are dropped."""
        self._settle(outcome.Value(value))

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the caller instead of a reply."""
        self._settle(outcome.Error(error))

    async def reply(self) -> object:
        """Wait for the answer. A checkpoint; cancelled, the request is marked as unwanted."""
        if self._outcome is None:
            self._waiting = current_task()
            return await wait_task_rescheduled(self._abandon)
        # Answered while it still stood in line for a place in the mailbox.
        return self._outcome.unwrap()

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self._shown())})"

    def _shown(self) -> list[str]:
        named = [f"{key}={_brief.repr(value)}" for key, value in self.kwargs.items()]
        return [*map(_brief.repr, self.args), *named]

    def _settle(self, result: "outcome.Outcome[object]") -> None:
        if not self.wanted or self._outcome is not None:
            return
        self._outcome = result
        task, self._waiting = self._waiting, None
        if task is not None:
            reschedule(task, result)

    def _abandon(self, _: RaiseCancelT) -> Abort:
        self._waiting = None
        self.wanted = False
        return Abort.SUCCEEDED


def shown(message: object) -> str:
    """A message as logs and errors show it."""
    return str(message) if isinstance(message, Request) else _brief.repr(message)


def message_name(method: object) -> str:
    """The name under which a method travels.

    Raises:
        TypeError: it is no method of a server, or one that is not a message.
    """
    name = getattr(method, "__name__", None)
    if not isinstance(name, str) or not callable(method):
        raise TypeError(f"a message is a method of the server's class, not {method!r}")
    if name.startswith("_") or name in NOT_MESSAGES:
        raise TypeError(f"{name} is no message: only public methods of the server's own are")
    return name
