"""The life of an event: how poller, dispatcher, worker and responder hand it over.

    actor       does                                           delivery            then wakes
    ----------  ---------------------------------------------  ------------------  ----------
    poller      reads the event from the lane's connection     RECEIVED            dispatcher
    dispatcher  chooses an idle worker                         ASSIGNED            worker
    worker      decodes the event, runs the handler            RUNNING, SETTLED    responder
    responder   writes the response and the next GET           STAGED              -
    poller      reads the status of the response               ACKED               -

An event with follow-ups (`Context.after_response`) goes on: its response leaves without the next
GET, and after ACKED the worker runs the follow-ups (FOLLOWING_UP, FINISHED) and wakes the
responder, which writes the GET.

Each actor is the module of that name in `serving`; `tree` starts them. `delivery` explains the
states. Poller and responder exist once per lane; a lane is one connection to the Runtime API, with
one event at a time. Dispatcher and ledger exist once. By default there is one worker more than
lanes.

One rule: the ledger is the truth, a message is a wake-up. A message says that there is work, and
may say where. Each actor looks at the ledger when it starts; a message to a dead actor is no loss.

One fast path: `wake(..., now=True)` runs the receiver inside the sender's step, and an event then
passes all four actors in one pass of trio's loop. Dispatcher and responder handle a message without
waiting, and their turn is called directly. A worker's task is stepped. `turns` explains both. The
sender must have finished its own step, and must not run on a user's stack. The calls of one event,
nested:

    Poller._dispatch               after `Lane.take_event`
      Ledger.dispatch              arms the deadline
        Dispatcher._turn           by `handle_now`: a dispatcher never waits within a message
          Worker._serve            by `handle_now`: its task continues at `await receive()`
            Worker._settle         unless the handler waits: then in a later step of the worker
              Ledger.respond
                Responder._turn    by `handle_now`: writes what `Lane.stage` puts into the outbox
"""

from typing import Any

from ...actors import ActorExited, Address, MailboxFull
from .turns import handle_now


def wake(address: Address[Any], message: object = None, *, now: bool = False) -> bool:
    """Tell an actor that there is work.

    Args:
        address: the actor.
        message: the place to look at; None for every place.
        now: whether the actor may act before this call returns.

    Returns:
        Whether the actor has acted. If not, it acts when it reads its mail, or its next incarnation
        does when it starts.
    """
    try:
        if now and handle_now(address.process().mailbox, message):
            return True
        address.send_nowait(message)
    except (ActorExited, MailboxFull):
        # The next incarnation looks at the ledger; a full mailbox holds a wake-up already.
        pass
    return False
