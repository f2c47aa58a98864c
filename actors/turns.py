"""Turns: a message over which there is nothing to wait for, handled in the step of who brings it.

To wake a task costs a pass of trio's loop. An actor that never waits over a message needs none of
its own: who gives it a turn while it waits for mail has that taken there and then, a plain call.
(Swift's actors run so where nobody else wants them, and Akka's on a CallingThreadDispatcher.) What
the actor may rely on is the same as ever:

    one at a time     what comes while a turn is taken waits in the mailbox, the turn's own
                      messages to its actor included
    its own fault     what a turn raises ends its actor, and is none of the giver's
    whole             a kill or a stop that comes out of a turn falls behind it
    its own context   its context variables, so what it logs; but trio's `current_task` is the
                      giver's, so that a turn opens no scope and no nursery

What the giver has to see to: that it stands where it could as well stand in a checkpoint, all done
that its own step has to do before others go on; and not on the stack of a user's code, which may
have used up nearly all that Python allows. So `send` never gives one. A turn may end with a handoff
(room `handoff`), to a task of which the same is true.
"""

from collections.abc import Callable
from typing import Any

import outcome
from trio.lowlevel import RaiseCancelT, Task, reschedule

Turn = Callable[[Any], bool]
"""What an actor does with a message, without waiting: whether it waits for the next one then. If
not it is woken, to wait for something else."""


class Turns:
    """The turns of one actor.

    Args:
        turn: one of them.
        look: what its task is woken with that is not to wait for the next message.
    """

    __slots__ = ("_cancel", "_look", "_taking", "_turn")

    def __init__(self, turn: Turn, look: outcome.Outcome[object]) -> None:
        self._turn = turn
        self._look = look
        self._taking = False
        self._cancel: RaiseCancelT | None = None

    def take(self, task: Task, message: object) -> bool:
        """Take one in a task's place: True if that waits on, False if it has been woken."""
        self._taking = True
        try:
            waits_on = task.context.run(self._turn, message)
        except BaseException as error:
            reschedule(task, outcome.Error(error))
            return False
        finally:
            self._taking = False
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            reschedule(task, outcome.capture(cancel))
        elif not waits_on:
            reschedule(task, self._look)
        return waits_on and cancel is None

    def postpones(self, cancel: RaiseCancelT) -> bool:
        """Whether its task is cancelled in the middle of one, to hear of it afterwards."""
        if self._taking:
            self._cancel = cancel
        return self._taking
