"""The loop of a server that is suspended, traced, logged or counted."""

import sys
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    Exit,
    ExitReason,
    Ref,
    Refusal,
    Reply,
    Server,
    Status,
    WhenStopped,
    debug,
    shutdown,
    start,
    stop,
)


class No(Refusal): ...


@attrs.define(eq=False)
class Clerk(Server):
    """Has a method for each kind of event."""

    done: list[object] = attrs.Factory(list)

    async def note(self, what: object) -> int:
        self.done.append(what)
        return len(self.done)

    async def refuse(self) -> None:
        raise No("not today")

    async def later(self) -> int:
        reply: Reply[int] = self.reply_later()
        self.send_after(1, reply)
        return NO_REPLY

    async def go_on(self, what: object) -> None:
        self.continue_with(what)

    async def leave(self) -> None:
        raise Exit(shutdown("enough"), reply=None)

    async def crash(self) -> None:
        raise ValueError("torn")

    async def handle_continue(self, continuation: Any) -> None:
        if isinstance(continuation, Exception):
            raise continuation
        self.done.append(continuation)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Reply):
            message.send(1)
        self.done.append(message)

    async def terminate(self, reason: ExitReason) -> None:
        self.done.append(f"terminate {reason}")


class Drainer(Clerk):
    when_stopped: ClassVar[WhenStopped] = WhenStopped.DRAIN


def printed_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# -- suspended


async def test_downs_timers_and_continuations_wait_while_suspended(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Watcher(Clerk):
        async def watch(self, other: Ref[Any]) -> None:
            self.monitor(other)
            self.send_after(1, "rung")

        async def handle_info(self, message: object) -> None:
            self.done.append(type(message).__name__)

    watched, clerk = await start(nursery, Clerk), await start(nursery, Watcher)
    await clerk.call(Watcher.watch, watched)
    await debug.suspend(clerk)
    await stop(watched)
    await trio.sleep(5)

    assert (await debug.get_state(clerk))["done"] == []
    await debug.resume(clerk)
    await wait_all_tasks_blocked()

    assert (await debug.get_state(clerk))["done"] == ["Down", "str"]
    await stop(clerk)


async def test_a_resumed_server_still_drains_when_stopped(
    nursery: trio.Nursery,
) -> None:
    clerk = await start(nursery, Drainer)
    actor: Any = clerk.process().actor
    await debug.suspend(clerk)
    await debug.resume(clerk)
    await debug.log(clerk, 3)
    await clerk.cast(Clerk.note, "kept")

    await stop(clerk)

    assert actor.done == ["kept", "terminate shutdown"]


# -- traced


async def test_a_trace_prints_messages_and_replies(
    nursery: trio.Nursery, capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    class Caller(Server):
        async def ask(self, clerk: Ref[Clerk]) -> None:
            await clerk.call(Clerk.note, "hello")
            await clerk.cast(Clerk.note, "cast")

    clerk = await start(nursery, Clerk, path="/clerk")
    caller = await start(nursery, Caller, path="/caller")
    await debug.trace(clerk)

    await caller.call(Caller.ask, clerk)
    with pytest.raises(No):
        await clerk.call(Clerk.refuse)
    await clerk.cast(Clerk.refuse)
    await clerk.call(Clerk.later)
    await clerk.send(None)
    await debug.trace(clerk, on=False)
    await clerk.call(Clerk.note, "unseen")

    lines = printed_lines(capsys)
    assert lines[:8] == [
        "/clerk got note(str[5]) from /caller",
        "/clerk replied int to note(str[5]) from /caller",
        "/clerk got note(str[4]) from /caller",
        "/clerk got refuse()",
        "/clerk refused refuse(): not today",
        "/clerk got refuse()",
        "/clerk refused refuse(): not today",
        "/clerk got later()",
    ]
    assert lines[8] == "/clerk will reply later to later()"
    assert lines[9:] == ["/clerk got Reply", "/clerk got None"]
    await stop(clerk)
    await stop(caller)


async def test_a_trace_is_redacted(
    nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    class Vault(Clerk):
        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, message="a note", reply="a number")

    vault = await start(nursery, Vault, path="/vault")
    await debug.trace(vault)
    await vault.call(Clerk.note, "secret")

    assert printed_lines(capsys) == ["/vault got 'a note'", "/vault replied 'a number' to 'a note'"]
    await stop(vault)


async def test_failing_standard_output_ends_the_trace_not_the_server(
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Closed:
        def write(self, _: str) -> int:
            raise ValueError("closed")

    clerk = await start(nursery, Clerk, path="/clerk")
    await debug.trace(clerk)
    monkeypatch.setattr(sys, "stdout", Closed())

    assert await clerk.call(Clerk.note, "hello") == 1
    assert await clerk.call(Clerk.note, "again") == 2

    assert caplog.messages == ["/clerk: trace ended, standard output failed: closed"]
    assert clerk.process().work.debug is None
    await stop(clerk)


# -- logged


async def test_a_log_keeps_the_last_events_with_their_times(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    assert await debug.log(clerk, 3) == ()
    await clerk.call(Clerk.note, "one")
    await trio.sleep(2)
    await clerk.call(Clerk.note, "two")

    events = await debug.log(clerk)

    assert [(event.at, event.kind, event.message, event.detail) for event in events] == [
        (0.0, "reply", "note(str[3])", "int"),
        (2.0, "in", "note(str[3])", ""),
        (2.0, "reply", "note(str[3])", "int"),
    ]
    assert await debug.log(clerk, 1) == events
    assert await debug.log(clerk, 0) == events[2:]
    assert await debug.log(clerk) == ()
    assert clerk.process().work.debug is None
    await stop(clerk)


@pytest.mark.parametrize(
    ("method", "kind", "detail"),
    [
        (Clerk.leave, "exit", "shutdown ('enough')"),
        (Clerk.crash, "crash", "crashed (ValueError: torn)"),
    ],
)
async def test_the_last_event_of_a_server_is_its_end(
    method: Any, kind: str, detail: str, autojump_clock: MockClock
) -> None:
    with trio.CancelScope() as scope:
        try:
            async with trio.open_nursery() as nursery:
                clerk = await start(nursery, Clerk)
                await debug.log(clerk, 1)
                looked: Any = clerk.process().work.debug
                await clerk.cast(method)
                await clerk.wait()
                scope.cancel()
        except* ValueError:
            pass

    [event] = looked.events
    assert (event.kind, event.detail) == (kind, detail)


# -- counted


async def test_statistics_count_messages_in_and_replies_out(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    clerk = await start(nursery, Clerk)
    assert await debug.statistics(clerk) is None
    await trio.sleep(1)
    assert await debug.statistics(clerk, on=True) is None
    await clerk.call(Clerk.note, "call")
    await clerk.cast(Clerk.note, "cast")
    await clerk.send("sent")
    for ask in (clerk.call, clerk.cast):
        try:
            await ask(Clerk.refuse)
        except No:
            continue

    # One of the two refusals answered a call.
    assert await debug.statistics(clerk) == debug.Statistics(1.0, 5, 2)
    assert await debug.statistics(clerk, on=False) == debug.Statistics(1.0, 5, 2)
    assert await debug.statistics(clerk) is None
    assert clerk.process().work.debug is None
    await stop(clerk)
