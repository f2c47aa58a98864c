"""Turns: one message handled at once, in the step of whoever sent it.

To wake a task costs a pass of trio's loop. An actor that never waits over a message needs none of
its own: who sends to it while it waits for mail has its turn taken there and then, a plain call in
the actor's own context. (Swift's actors run so where nobody else wants them, and Akka's on a
CallingThreadDispatcher.) What an actor may rely on is the same as ever:

    one at a time     what comes while a turn is taken waits in the mailbox, the turn's own
                      messages to its actor included
    its own fault     what a turn raises ends its actor, and is none of the sender's
    whole             a kill or a stop that comes out of a turn falls behind it
    its own context   its context variables, so what it logs; but trio's `current_task` is the
                      sender's, so that a turn opens no scope and no nursery
"""

from collections.abc import Callable
from threading import get_ident
from typing import Any

import outcome
from trio.lowlevel import RaiseCancelT, Task

Turn = Callable[[Any], bool]
"""What an actor does with a message, without waiting: whether it waits for the next one then. If
not it is woken, to wait for something else."""


class Turns:
    """The turns of one actor.

    Args:
        turn: one of them.
        task: whose turns they are.
        wake: what the task is woken with that is not to wait for the next message.

    Attributes:
        thread: the one to take them in.
    """

    __slots__ = ("_cancel", "_run", "_taking", "_turn", "_wake", "thread")

    def __init__(self, turn: Turn, task: Task, wake: outcome.Outcome[object]) -> None:
        self._turn = turn
        self._run = task.context.run
        self._wake = wake
        self.thread = get_ident()
        self._taking = False
        self._cancel: RaiseCancelT | None = None

    def take(self, message: object) -> outcome.Outcome[object] | None:
        """Take one: what the task is to be woken with, None if it waits on."""
        self._taking = True
        try:
            waits_on = self._run(self._turn, message)
        except BaseException as error:
            self._cancel = None
            return outcome.Error(error)
        finally:
            self._taking = False
        if self._cancel is not None:
            cancel, self._cancel = self._cancel, None
            return outcome.capture(cancel)
        return None if waits_on else self._wake

    def postpones(self, cancel: RaiseCancelT) -> bool:
        """Whether its task is cancelled in the middle of one, to hear of it afterwards."""
        if self._taking:
            self._cancel = cancel
        return self._taking
