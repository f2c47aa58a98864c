"""A server is stopped, killed or cancelled at every step while all kinds of callers wait.

At every step: each caller has exactly one outcome, the run ends, and no name, group entry, wait,
monitor or deferred reply is left.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio

from okibi.actors import (
    NO_REPLY,
    ActorExited,
    ExitReason,
    Group,
    MailboxFull,
    MailboxPolicy,
    Name,
    NoProcess,
    Ref,
    Refusal,
    ReplyLost,
    Server,
    StartError,
    WhenStopped,
    debug,
    start,
)
from okibi.actors.groups import _group_table
from okibi.actors.names import name_table
from tests.conformance.cancellation import every_step


class Desk(Server):
    """Answers at once, later or never; its mailbox is too small for all callers."""

    mailbox = MailboxPolicy(2)

    async def init(self) -> None:
        DESKS.join(self.ref)
        await trio.lowlevel.checkpoint()

    async def echo(self, word: str) -> str:
        await trio.lowlevel.checkpoint()
        return word

    async def later(self, word: str) -> str:
        self.send_after(1, (self.reply_later(), word))
        return NO_REPLY

    async def lost(self, word: str) -> str:
        self.reply_later()
        return NO_REPLY

    async def refuse(self, word: str) -> str:
        raise Refusal(word)

    async def go_on(self, word: str) -> str:
        self.continue_with(word)
        return word

    async def handle_continue(self, continuation: str) -> None:
        await trio.lowlevel.checkpoint()

    async def handle_info(self, message: Any) -> None:
        message[0].send(message[1])


class Drained(Desk):
    when_stopped = WhenStopped.DRAIN

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(0.1)


class Watcher(Server):
    async def init(self) -> None:
        self.monitor(DESK)
        self.monitor(DESKS)

    async def handle_info(self, message: object) -> None:
        await trio.lowlevel.checkpoint()


DESK, DESKS = Name("desk", Desk), Group("desks", Desk)
TOLD = (ActorExited, NoProcess, MailboxFull, Refusal, ReplyLost)


@attrs.define
class Scene:
    """The scene of one run, reset for each step."""

    kind: type[Desk]
    blow: str
    desk: Ref[Desk] | None = None
    outcomes: dict[str, list[object]] = attrs.Factory(dict)

    async def run(self) -> None:
        self.desk, self.outcomes = None, {}
        async with trio.open_nursery() as nursery:
            try:
                self.desk = await start(nursery, self.kind, name=DESK, grace=3)
                watcher = await start(nursery, Watcher)
            except StartError:
                nursery.cancel_scope.cancel()
                return
            async with trio.open_nursery() as callers:
                for method in (Desk.echo, Desk.later, Desk.lost, Desk.refuse, Desk.go_on):
                    callers.start_soon(self._ask, method.__name__, self._call(method))
                callers.start_soon(self._ask, "pending", self._pending)
                callers.start_soon(self._ask, "debug", self._debug)
            self.desk.stop()
            watcher.stop()

    async def _ask(self, who: str, ask: Callable[[], Awaitable[str]]) -> None:
        outcomes = self.outcomes.setdefault(who, [])
        try:
            outcomes.append(await ask())
        except TOLD as error:
            outcomes.append(type(error))
        except trio.Cancelled:
            outcomes.append(trio.Cancelled)
            raise

    def _call(self, method: Callable[[Desk, str], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
        assert self.desk is not None
        desk = self.desk
        return lambda: desk.call(method, method.__name__)

    async def _pending(self) -> str:
        pending = await DESK.request(Desk.later, "pending")
        with trio.move_on_after(0.5):
            return await pending.result()
        return await pending.result()

    async def _debug(self) -> str:
        await debug.suspend(DESK)
        await debug.log(DESK, 2)
        await debug.resume(DESK)
        return "debug"

    def strike(self) -> None:
        if self.desk is not None:
            self.desk.stop() if self.blow == "stop" else self.desk.kill()

    async def check(self) -> None:
        cancelled = self.blow == "cancel"
        for who, outcomes in self.outcomes.items():
            assert len(outcomes) == 1, (who, outcomes)
            assert outcomes[0] in (who, *TOLD) or cancelled, (who, outcomes)
        registry = _group_table()
        assert not any((name_table(), registry.members, registry.joins, registry.monitors))
        if self.desk is not None:
            process = self.desk.process()
            left = (process.waits.callees, process.watchers, process.work.deferred_calls)
            assert not any(left)
            assert process.mailbox.statistics()[:2] == (0, 0)


@pytest.mark.parametrize("kind", [Desk, Drained])
@pytest.mark.parametrize("blow", ["stop", "kill", "cancel"])
def test_an_end_at_any_step_gives_each_caller_one_outcome(kind: type[Desk], blow: str) -> None:
    scene = Scene(kind, blow)

    assert every_step(scene.run, scene.check, None if blow == "cancel" else scene.strike) > 30
