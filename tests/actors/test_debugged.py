"""The loop of a server that somebody looks into: suspended, traced, logged, counted."""

# A crash is raised by the nursery itself, so its whole block is what raises.
# ruff: noqa: PT012

import sys
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NO_REPLY,
    NORMAL,
    SHUTDOWN,
    ActorExited,
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
    """Does all that can be seen in a trace."""

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


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# -- suspended


async def test_while_suspended_calls_wait_and_casts_are_served_after_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    clerk = await start(nursery, Clerk)
    await debug.suspend(clerk)
    await debug.suspend(clerk)
    await clerk.cast(Clerk.note, "cast")
    await clerk.send("sent")
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await clerk.call(Clerk.note, "call")

    assert (await debug.get_state(clerk))["done"] == []
    assert (await debug.get_status(clerk)).suspended
    await debug.resume(clerk)

    assert await clerk.call(Clerk.note, "more") == 4
    assert (await debug.get_state(clerk))["done"] == ["cast", "sent", "call", "more"]
    await stop(clerk)


async def test_while_suspended_downs_timers_and_continuations_wait_too(
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


async def test_a_continuation_is_served_by_this_loop_as_well(nursery: trio.Nursery) -> None:
    clerk = await start(nursery, Clerk)
    await debug.log(clerk, 9)

    await clerk.call(Clerk.go_on, "next")
    await wait_all_tasks_blocked()

    assert (await debug.get_state(clerk))["done"] == ["next"]
    await stop(clerk)


@pytest.mark.parametrize("kind", [Clerk, Drainer])
async def test_a_stop_ends_a_suspended_server_at_once_and_what_waits_is_lost(
    nursery: trio.Nursery, kind: type[Clerk]
) -> None:
    clerk = await start(nursery, kind)
    await debug.suspend(clerk)
    told: list[object] = []

    async def call() -> None:
        with pytest.raises(ActorExited) as error:
            await clerk.call(Clerk.note, "lost")
        told.append(error.value.reason)

    nursery.start_soon(call)
    await wait_all_tasks_blocked()
    actor: Any = clerk.process().actor

    assert await stop(clerk, NORMAL) is NORMAL
    await wait_all_tasks_blocked()
    assert (told, actor.done) == ([NORMAL], ["terminate normal"])


async def test_a_kill_ends_a_suspended_server(nursery: trio.Nursery) -> None:
    clerk = await start(nursery, Clerk)
    await debug.suspend(clerk)
    actor: Any = clerk.process().actor

    clerk.kill()

    assert await clerk.wait() is KILLED
    assert actor.done == []


async def test_a_server_that_drains_still_drains_after_it_was_suspended(
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


async def test_a_server_that_drains_is_not_suspended_any_more(nursery: trio.Nursery) -> None:
    gate = trio.Event()

    class Slow(Drainer):
        async def wait(self) -> None:
            await gate.wait()

    clerk = await start(nursery, Slow)
    await clerk.cast(Slow.wait)
    told: list[object] = []

    async def suspend() -> None:
        with pytest.raises(ActorExited) as error:
            await debug.suspend(clerk)
        told.append(error.value.reason)

    nursery.start_soon(suspend)
    await wait_all_tasks_blocked()
    clerk.stop()
    gate.set()

    assert await clerk.wait() is SHUTDOWN
    await wait_all_tasks_blocked()
    assert told == [SHUTDOWN]


# -- traced


async def test_a_trace_prints_what_comes_in_and_what_goes_out(
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

    lines = said(capsys)
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

    assert said(capsys) == ["/vault got 'a note'", "/vault replied 'a number' to 'a note'"]
    await stop(vault)


async def test_standard_output_that_fails_ends_a_trace_not_the_server(
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

    assert caplog.messages == ["/clerk is traced no more: standard output fails: closed"]
    assert clerk.process().debug is None
    await stop(clerk)


# -- logged


async def test_a_log_keeps_the_last_events_and_says_when(
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
    assert clerk.process().debug is None
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
                looked: Any = clerk.process().debug
                await clerk.cast(method)
                await clerk.wait()
                scope.cancel()
        except* ValueError:
            pass

    [event] = looked.events
    assert (event.kind, event.detail) == (kind, detail)


async def test_a_crash_in_a_continuation_is_an_event_too() -> None:
    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            clerk = await start(nursery, Clerk)
            await debug.log(clerk, 1)
            looked: Any = clerk.process().debug
            await clerk.call(Clerk.go_on, KeyError("next"))

    [event] = looked.events
    assert (event.kind, event.message) == ("crash", "KeyError")


async def test_to_be_cut_is_no_event(nursery: trio.Nursery) -> None:
    class Slow(Clerk):
        async def wait(self) -> None:
            await trio.sleep_forever()

    clerk = await start(nursery, Slow)
    await debug.log(clerk, 9)
    looked: Any = clerk.process().debug
    await clerk.cast(Slow.wait)
    await wait_all_tasks_blocked()
    await stop(clerk)

    assert [event.kind for event in looked.events] == ["in"]


# -- counted


async def test_statistics_count_what_comes_in_and_the_replies_that_go_out(
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

    # Of the two refusals one was an answer.
    assert await debug.statistics(clerk) == debug.Statistics(1.0, 5, 2)
    assert await debug.statistics(clerk, on=False) == debug.Statistics(1.0, 5, 2)
    assert await debug.statistics(clerk) is None
    assert clerk.process().debug is None
    await stop(clerk)


async def test_an_answer_that_nobody_waits_for_is_none(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Clerk):
        async def sleep(self) -> int:
            await trio.sleep(5)
            return 5

    clerk = await start(nursery, Slow)
    await debug.statistics(clerk, on=True)
    with trio.move_on_after(1):
        await clerk.call(Slow.sleep)
    await trio.sleep(10)

    assert await debug.statistics(clerk) == debug.Statistics(0.0, 1, 0)
    await stop(clerk)
