"""A function that fails as its event asks, with actors that crash, wait and fill."""

import time

import trio
import trio.testing

from okibi import Child, Function, Name, Server
from okibi.actors import MailboxFull, MailboxPolicy, NoProcess, WhenFull
from okibi.actors.process import CURRENT

LETTERS = "abcdefghij"


class Account(Server):
    mailbox = MailboxPolicy(10, WhenFull.REJECT)

    async def crash(self):
        raise KeyError("no account")

    async def ask(self):
        return "answered"

    async def pause(self):
        await trio.sleep(0.01)


NAMES = {letter: Name(letter, Account) for letter in LETTERS}


async def handler(event, context):
    account = NAMES[event.get("account", "a")]
    match event["do"]:
        case "raise":
            raise ValueError("asked for")
        case "crash" | "ask":
            try:
                await account.waiting(0.5).call(getattr(Account, event["do"]))
            except NoProcess:
                return "refused"
            except Exception:
                return "crashed"
        case "fill":
            # The actor waits for a message, also after a restart: it takes the first one at once.
            await trio.testing.wait_all_tasks_blocked()
            refused = 0
            for _ in range(event["messages"]):
                try:
                    account.cast_nowait(Account.pause)
                except MailboxFull:
                    refused += 1
            # The next event must find it empty.
            while account.whereis().mailbox_statistics.length:  # noqa: ASYNC110
                await trio.sleep(0.01)
            await account.call(Account.ask)
            return refused
        case "die":
            CURRENT.get().kill()
            await trio.sleep_forever()
        case "be late":
            await trio.sleep_forever()
        case "hold the loop":
            time.sleep(60)  # noqa: ASYNC251, the subject
    return "done"


function = Function(handler, [Child(Account, name=name) for name in NAMES.values()])
