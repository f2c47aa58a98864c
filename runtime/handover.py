"""How an actor is told that something waits for it: a message, or its step here and now."""

from typing import Any

from actors import Actor, ActorExited, Address, MailboxFull
from actors.trio_internals import others_wait


def give_turn(address: Address[Actor], message: object) -> bool:
    """Have an actor handle a message here and now (`actors.trio_internals`).

    False if it has to be woken.
    """
    try:
        return address.process().mailbox.take_turn(message)
    except ActorExited:
        return False


def hand_off(address: Address[Any], message: object) -> None:
    """Have an actor go on with a message here and now (`actors.trio_internals`), or when it comes
    to it; that also where others are to have their step: what was woken before the event came, by a
    thaw or by the last one's handler, is not to fall behind it.

    Raises:
        ActorExited, MailboxFull: as `send_nowait`.
    """
    if others_wait() or not address.process().mailbox.step_reader(message):
        address.send_nowait(message)


def wake(address: Address[Actor]) -> None:
    """Send a wake-up. Nobody there, or no room, is no loss: who starts, or has mail, will look."""
    try:
        address.send_nowait(None)
    except (ActorExited, MailboxFull):
        return
