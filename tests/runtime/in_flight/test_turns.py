"""Turns: the sender runs the receiver's handler by a plain call, inside its own step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import KILLED, Actor, Ref, start
from okibi.actors.actor import make_receiver
from okibi.actors.mailbox import LOOK
from okibi.actors.process import CURRENT
from okibi.runtime.in_flight.turns import TurnRunner, handle_now

Act = Callable[["Taking", object], bool]
ASKED: ContextVar[str] = ContextVar("asked", default="default")


@attrs.define(eq=False)
class Taking(Actor):
    """Handles each message with one function; `woken` has the messages that woke its task."""

    act: Act
    turns: bool = True
    taken: list[object] = attrs.Factory(list[object])
    woken: list[object] = attrs.Factory(list[object])
    busy: bool = False

    async def run(self) -> None:
        receive = make_receiver(self, TurnRunner(self.turn) if self.turns else None)
        while True:
            message = await receive()
            self.woken.append(message)
            if message is not LOOK:
                self.turn(message)

    def turn(self, message: object) -> bool:
        assert not self.busy, "one at a time"
        self.busy = True
        try:
            self.taken.append(message)
            return self.act(self, message)
        finally:
            self.busy = False


async def begin(
    nursery: trio.Nursery, act: Act = lambda *_: True, turns: bool = True
) -> tuple[Ref[Taking], Taking]:
    actor = Taking(act, turns)
    ref = await start(nursery, lambda: actor)
    await wait_all_tasks_blocked()
    return ref, actor


def give(ref: Ref[Taking], message: object) -> bool:
    return handle_now(ref.process().mailbox, message)


async def test_a_turn_is_complete_when_handle_now_returns(
    nursery: trio.Nursery,
) -> None:
    ref, actor = await begin(nursery)
    for message in (None, 1, 2):
        assert give(ref, message)

    assert actor.taken == [None, 1, 2]
    await wait_all_tasks_blocked()
    assert actor.woken == []


async def test_a_message_that_arrives_during_a_turn_waits(nursery: trio.Nursery) -> None:
    def to_itself(actor: Taking, message: object) -> bool:
        if message == "first":
            assert not give(actor.ref, "second")
            actor.ref.send_nowait("second")
            actor.ref.send_nowait("third")
        return True

    ref, actor = await begin(nursery, to_itself)
    assert give(ref, "first")
    assert not give(ref, "from outside")
    ref.send_nowait("from outside")

    assert actor.taken == ["first"]
    await wait_all_tasks_blocked()
    assert actor.taken == ["first", "second", "third", "from outside"]


async def test_an_actor_is_woken_when_its_turn_returns_false(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery, lambda _, message: message != "wait")
    assert give(ref, "wait")
    assert not give(ref, "another")
    ref.send_nowait("meanwhile")
    await wait_all_tasks_blocked()

    assert actor.taken == ["wait", "meanwhile"]
    assert actor.woken == [LOOK, "meanwhile"]


async def test_a_turn_runs_in_the_context_of_its_actor(nursery: trio.Nursery) -> None:
    seen: list[object] = []

    def looks(actor: Taking, message: object) -> bool:
        seen.extend((CURRENT.get(), ASKED.get()))
        ASKED.set("the actor's own")
        return True

    ref, _ = await begin(nursery, looks)
    ASKED.set("the sender")
    give(ref, 1)
    give(ref, 2)

    assert seen == [ref.process(), "default", ref.process(), "the actor's own"]
    assert ASKED.get() == "the sender"


async def test_a_stopped_actor_takes_no_turn(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)
    assert give(ref, "before")
    ref.kill()

    assert not give(ref, "behind")
    assert await ref.wait() is KILLED
    assert actor.taken == ["before"]


@contextmanager
def suppress_broken() -> Iterator[None]:
    try:
        yield
    except* ValueError:
        pass


def raises(actor: Taking, message: object) -> bool:
    raise ValueError("broken")


def kills(actor: Taking, message: object) -> bool:
    actor.ref.kill()
    actor.taken.append("to the end")
    return True


def kills_and_raises(actor: Taking, message: object) -> bool:
    actor.ref.kill()
    raise ValueError("broken")


def stops(actor: Taking, message: object) -> bool:
    actor.ref.stop()
    return True


def stops_and_waits(actor: Taking, message: object) -> bool:
    actor.ref.stop()
    return False


def stops_and_raises(actor: Taking, message: object) -> bool:
    actor.ref.stop()
    raise ValueError("broken")


@pytest.mark.parametrize(
    "act", [raises, kills, kills_and_raises, stops, stops_and_waits, stops_and_raises]
)
async def test_an_error_or_stop_in_a_turn_ends_the_actor_not_the_sender(
    act: Act, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[tuple[str, str, list[object], int]] = []
    for turns in (True, False):
        with suppress_broken():
            async with trio.open_nursery() as nursery:
                ref, actor = await begin(nursery, act, turns)
                if turns:
                    assert give(ref, "it")
                else:
                    ref.send_nowait("it")
        assert ref.reason is not None
        told = caplog.text.count("\nValueError: broken")
        ends.append((ref.reason.kind, str(ref.reason), actor.taken, told))
        caplog.clear()

    assert ends[0] == ends[1]
    kind, _, _, told = ends[0]
    assert told == (kind == "crashed")


async def test_an_ended_mailbox_does_not_keep_its_actor_alive(nursery: trio.Nursery) -> None:
    ref, _ = await begin(nursery)
    ref.kill()
    await ref.wait()

    assert ref.process().mailbox.turn_runner is None
