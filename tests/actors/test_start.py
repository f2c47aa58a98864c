"""Starting and stopping, and cancellation from outside at every step of it."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NORMAL,
    SHUTDOWN,
    Actor,
    ExitReason,
    Name,
    Ref,
    Server,
    StartError,
    shutdown,
    start,
    stop,
)
from okibi.actors.mailbox import DEFAULT_POLICY
from okibi.actors.names import names
from okibi.actors.start import spawn
from tests.conformance.cancellation import every_step


class Plain(Server):
    async def get(self) -> int:
        return 1


async def test_start_waits_until_init_has_returned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Plain):
        async def init(self) -> None:
            await trio.sleep(3)

    began = trio.current_time()
    slow = await start(nursery, Slow)

    assert trio.current_time() - began == pytest.approx(3)
    assert slow.alive
    await stop(slow)


async def test_what_init_raises_fails_the_start_and_not_the_nursery(
    nursery: trio.Nursery,
) -> None:
    class Failing(Plain):
        async def init(self) -> None:
            raise ValueError("boom")

        async def terminate(self, reason: ExitReason) -> None:
            terminated.append(reason)

    terminated: list[ExitReason] = []
    with pytest.raises(StartError, match=r"/f did not start: crashed \(ValueError: boom\)") as no:
        await start(nursery, Failing, path="/f")

    assert isinstance(no.value.__cause__, ValueError)
    assert terminated == []
    await trio.lowlevel.checkpoint()


async def test_an_init_that_takes_too_long_fails_the_start(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Plain):
        async def init(self) -> None:
            await trio.sleep(100)

    with pytest.raises(StartError, match="its init took longer than 2 s") as no:
        await start(nursery, Slow, timeout=2)

    assert isinstance(no.value.__cause__, TimeoutError)


async def test_an_actor_whose_starter_is_cancelled_in_its_init_is_stopped(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Plain):
        async def init(self) -> None:
            try:
                await trio.sleep(100)
            finally:
                ended.append(trio.current_time() - began)

    ended: list[float] = []
    began = trio.current_time()
    with trio.move_on_after(1):
        await start(nursery, Slow, name=Name("slow", Slow))
    await wait_all_tasks_blocked()

    assert ended == [pytest.approx(1)]
    assert names() == {}


async def test_a_stop_in_init_fails_the_start_with_its_reason(nursery: trio.Nursery) -> None:
    class Slow(Plain):
        async def init(self) -> None:
            self.ref.stop(shutdown("changed my mind"))
            await trio.sleep_forever()

    with pytest.raises(StartError) as no:
        await start(nursery, Slow)

    assert no.value.reason == shutdown("changed my mind")


async def test_the_path_is_the_name_or_the_factorys(nursery: trio.Nursery) -> None:
    refs = [
        await start(nursery, Plain, name=Name("plain", Plain)),
        await start(nursery, Plain),
        await start(nursery, functools.partial(Plain)),
        await start(nursery, Plain, path="/here"),
    ]

    assert [ref.path for ref in refs] == ["plain", "Plain", "Plain", "/here"]
    for ref in refs:
        await stop(ref)


async def test_stop_waits_for_the_end_and_says_why(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Plain):
        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep(2)

    slow, began = await start(nursery, Slow), trio.current_time()

    assert await stop(slow) is SHUTDOWN
    assert trio.current_time() - began == pytest.approx(2)


@pytest.mark.parametrize(
    "end",
    [Ref.kill, Ref.stop, lambda ref: ref.stop(NORMAL), lambda ref: ref.stop(shutdown("moving"))],
)
async def test_an_actor_that_is_stopped_or_killed_leaves_its_parent_alone(
    nursery: trio.Nursery, end: Callable[[Ref[Plain]], None]
) -> None:
    """OTP: a link ends the parent unless the reason is normal, or the parent traps exits."""

    class Parent(Plain):
        async def run(self) -> None:
            async with trio.open_nursery() as inner:
                children.append(await start(inner, Plain))
                await super().run()

    children: list[Ref[Plain]] = []
    parent = await start(nursery, Parent)
    await wait_all_tasks_blocked()

    end(children[0])
    await children[0].wait()
    await wait_all_tasks_blocked()

    assert await parent.call(Plain.get) == 1
    await stop(parent)


async def test_an_actor_may_stop_itself_and_wait(nursery: trio.Nursery) -> None:
    class Tired(Actor):
        async def run(self) -> None:
            await stop(self.ref)

    assert await (await start(nursery, Tired)).wait() is SHUTDOWN


def test_cancelled_from_outside_at_every_step_nothing_hangs_and_nothing_is_left() -> None:
    """Start, call, cast, stop; the sweep cancels all of it at each task step in turn."""

    @attrs.define(eq=False)
    class Noted(Plain):
        async def init(self) -> None:
            await trio.lowlevel.checkpoint()
            lives.append("begun")

        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep(0.5)
            lives.append("ended")

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            first = await start(nursery, Noted, name=Name("first", Noted))
            second = await start(nursery, Noted, name=Name("second", Noted))
            assert await first.call(Noted.get) == 1
            await second.cast(Noted.get)
            assert await stop(first) is SHUTDOWN
            second.stop()

    async def check() -> None:
        assert names() == {}
        # What had not told its starter was cut in init: it has nothing to terminate.
        assert lives.count("begun") == lives.count("ended")

    lives: list[str] = []
    assert every_step(scenario, check) > 10


@pytest.mark.parametrize("seed", range(8))
def test_an_init_that_ends_in_the_step_in_which_its_time_is_up_counts_or_fails(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Punctual(Plain):
        async def init(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    ends: list[str] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            try:
                punctual = await start(nursery, Punctual, timeout=3)
            except StartError as late:
                ends.append(str(late))
            else:
                ends.append(str(await punctual.call(Punctual.get)))
                await stop(punctual)

    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    trio._core._run._r.seed(seed)
    trio.run(main, clock=MockClock(autojump_threshold=0))

    assert ends[0] == "1" or "longer than 3 s" in ends[0]


@pytest.mark.parametrize("name", [None, Name("late", Plain)])
async def test_a_nursery_that_is_closed_takes_nobody_and_keeps_no_name(
    name: Name[Plain] | None,
) -> None:
    async with trio.open_nursery() as nursery:
        pass

    with pytest.raises(RuntimeError, match="Nursery is closed"):
        await start(nursery, Plain, name=name)
    assert names() == {}


@pytest.mark.parametrize("seconds", [-1, float("nan")])
@pytest.mark.parametrize("which", ["timeout", "grace"])
async def test_a_time_that_cannot_pass_is_refused_before_anybody_lives(
    nursery: trio.Nursery, which: str, seconds: float
) -> None:
    name = Name("plain", Plain)

    times = {"timeout": 1.0, "grace": 1.0} | {which: seconds}
    with pytest.raises(ValueError, match=f"plain: .* 0 seconds or more, not {seconds}"):
        await start(nursery, Plain, name=name, timeout=times["timeout"], grace=times["grace"])

    assert not nursery.child_tasks
    assert name.whereis() is None


async def test_a_stop_that_nobody_could_make_sense_of_is_refused_and_harms_nothing(
    nursery: trio.Nursery,
) -> None:
    plain = await start(nursery, Plain, path="/plain")

    with pytest.raises(TypeError, match=r"an ExitReason, not a str\[6\]: say shutdown"):
        plain.stop("enough")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="/plain: a grace is 0 seconds or more, not nan"):
        await stop(plain, grace=float("nan"))

    assert await plain.call(Plain.get) == 1
    assert await stop(plain) is SHUTDOWN


class Slow(Server):
    async def init(self) -> None:
        await trio.sleep_forever()


begin: Any = start  # with what no type checker lets by


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (lambda nursery: begin(Plain, nursery), "a start takes a nursery, then what makes"),
        (lambda nursery: begin(None, Plain), "first is None"),
        (lambda nursery: begin(nursery, Plain()), "as its class does: no Plain"),
        (lambda nursery: begin(nursery, Plain, name="p"), "is a Name or None, not str"),
    ],
)
async def test_a_start_tells_which_argument_is_none(
    nursery: trio.Nursery, given: Callable[[trio.Nursery], Awaitable[object]], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        await given(nursery)


class Early(Server):
    def __init__(self) -> None:
        self.send_every(1, "tick")


class Typo(Server):
    def __init__(self) -> None:
        self.undefined()  # type: ignore[attr-defined]


async def test_what_an_actor_does_too_early_is_told_with_where_it_belongs(
    nursery: trio.Nursery,
) -> None:
    with pytest.raises(StartError, match=r"/e: while it is made .* belongs in `init`"):
        await start(nursery, Early, path="/e")
    with pytest.raises(StartError, match="no attribute 'undefined'"):
        await start(nursery, Typo)


class Wraps(Server):
    def __init__(self, wrapped: Any) -> None:
        wrapped._process.kill()


async def test_an_attribute_that_another_object_lacks_is_not_taken_for_the_actors_own(
    nursery: trio.Nursery,
) -> None:
    with pytest.raises(StartError, match="'object' object has no attribute '_process'"):
        await start(nursery, lambda: Wraps(object()))


async def test_who_calls_by_its_name_one_that_is_not_made_yet_is_told_that_it_is_no_server(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    read, refused = list[object](), list[str]()

    class Counter(Actor):
        async def run(self) -> None:
            while (message := await self.receive()) is not None:
                read.append(message)

        async def total(self) -> int:
            return 1

    name = Name("counter", Counter)
    sends = range(DEFAULT_POLICY.capacity - 1)

    async def ask() -> None:
        with pytest.raises(TypeError, match=r"/counter is no Server.* a call of total") as told:
            await name.call(Counter.total)
        refused.append(str(told.value))

    # Who of them is first is trio's to choose, each time anew.
    for times in range(1, 21):
        read.clear()
        counter = spawn(nursery, Counter, path="/counter", name=name)
        # One call has room, two wait for it.
        for number in sends:
            name.send_nowait(number)
        with trio.fail_after(1):
            async with trio.open_nursery() as callers:
                for _ in range(3):
                    callers.start_soon(ask)
            await name.send(None)
            await counter.wait_dead()

        assert len(refused) == 3 * times
        assert read == list(sends)
