"""Many senders, a small mailbox, callers that give up: each outcome is the truth."""

import os
import random
from collections import Counter

import attrs
import pytest
import trio
from trio.testing import MockClock

from okibi.actors import ActorExited, MailboxFull, MailboxPolicy, Server, WhenFull, start, stop

SEEDS = 500 if os.environ.get("OKIBI_SWEEP") == "full" else 40

Letter = tuple[int, int]


@attrs.define(eq=False)
class Post(Server):
    luck: random.Random
    handled: list[Letter]
    fails_at: int

    async def take(self, letter: Letter) -> Letter:
        self.handled.append(letter)
        if len(self.handled) == self.fails_at:
            raise ValueError("boom")
        await trio.sleep(self.luck.choice((0, 0, 0.1, 1)))
        return letter


class Blocking(Post):
    mailbox = MailboxPolicy(2)


class Rejecting(Post):
    mailbox = MailboxPolicy(2, WhenFull.REJECT)


class Dropping(Post):
    mailbox = MailboxPolicy(2, WhenFull.DROP_OLDEST)


@pytest.mark.parametrize("fails_at", [0, 20], ids=["lives", "crashes"])
@pytest.mark.parametrize("kind", [Blocking, Rejecting, Dropping])
@pytest.mark.parametrize("seeds", [5, pytest.param(SEEDS, marks=pytest.mark.slow)])
def test_the_outcome_of_each_message_is_what_happened(
    kind: type[Post], fails_at: int, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    for seed in range(seeds):
        trio._core._run._r.seed(seed)
        told = trio.run(traffic, kind, fails_at, seed, clock=MockClock(autojump_threshold=0))
        assert told == [], f"under scheduler seed {seed}"


async def traffic(kind: type[Post], fails_at: int, seed: int) -> list[str]:
    """Run six senders against one server; return the contradictions."""
    luck, handled = random.Random(seed), list[Letter]()
    sure, never, maybe = set[Letter](), set[Letter](), set[Letter]()

    async def send(sender: int) -> None:
        for number in range(10):
            letter, by_call = (sender, number), luck.random() < 0.5
            try:
                with trio.move_on_after(luck.choice((0, 0.1, 0.5, 100))) as limit:
                    if by_call:
                        assert await post.call(Post.take, letter) == letter
                    else:
                        await post.cast(Post.take, letter)
            except MailboxFull:
                never.add(letter)
            except ActorExited as gone:
                # Only the message that was being handled has been handled.
                (maybe if by_call or gone.reason.kind != "crashed" else never).add(letter)
            else:
                if limit.cancelled_caught:
                    (maybe if by_call else never).add(letter)
                elif by_call or (kind is not Dropping and not fails_at):
                    sure.add(letter)
                else:
                    maybe.add(letter)

    try:
        async with trio.open_nursery() as nursery:
            post = await start(nursery, lambda: kind(luck, handled, fails_at))
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as senders:
                    for sender in range(6):
                        senders.start_soon(send, sender)
                await trio.sleep(1000)
                await stop(post)
    except* ValueError:
        pass

    wrong = [f"{letter} was handled {n} times" for letter, n in Counter(handled).items() if n > 1]
    wrong += [f"{letter} was handled and refused" for letter in never & set(handled)]
    wrong += [f"{letter} was lost" for letter in sure - set(handled)]
    for sender in range(6):
        numbers = [number for who, number in handled if who == sender]
        if numbers != sorted(numbers):
            wrong.append(f"letters of {sender} came as {numbers}")
    if len(sure | never | maybe) != 60:
        wrong.append(f"only {len(sure | never | maybe)} letters had an outcome")
    return wrong
