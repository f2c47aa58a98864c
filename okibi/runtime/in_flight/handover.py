"""How poller, dispatcher, worker and responder pass an event on.

    poller        reads the event into its lane        RECEIVED, tells the dispatcher
    dispatcher    gives it to an idle worker           ASSIGNED, tells the worker
    worker        runs the handler                     RUNNING, then SETTLED, tells the responder
    responder     writes the answer and the next GET   STAGED; the poller reads its status: ACKED

One rule: the ledger is the truth, mail is a wake-up. A message says that there is something to look
at, and may say where. Who starts looks first, so a message to an actor that has ended is no loss.

One fast path: an actor that waits for mail can act inside the step of who tells it (`now`), so that
an event passes all four in one pass of trio's loop (`actors.trio_internals`). Dispatcher and
responder never wait over a message, so their turn is taken (`take_turn`); a worker's task is
stepped (`step_reader`). The sender must have done all else that its own step has to do, and must
not stand on a user's stack.
"""

from typing import Any

from ...actors import ActorExited, Address, MailboxFull


def wake(address: Address[Any], message: object = None, *, now: bool = False) -> bool:
    """Tell an actor that something waits for it.

    Args:
        address: the actor.
        message: where to look; None for everywhere.
        now: whether it may act before this returns.

    Returns:
        Whether it has acted; else it will, when it reads its mail or when its successor starts.
    """
    try:
        if now:
            mailbox = address.process().mailbox
            if mailbox.take_turn(message) or mailbox.step_reader(message):
                return True
        address.send_nowait(message)
    except (ActorExited, MailboxFull):
        # Its successor looks; and who has so much mail will.
        pass
    return False
