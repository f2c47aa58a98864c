"""start and stop, and their cancellation at every step."""

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
from okibi.actors.names import name_table
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


async def test_an_error_in_init_fails_the_start_not_the_nursery(
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


async def test_a_cancelled_start_stops_the_actor(
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
    assert name_table() == {}


async def test_a_stop_in_init_fails_the_start_with_its_reason(nursery: trio.Nursery) -> None:
    class Slow(Plain):
        async def init(self) -> None:
            self.ref.stop(shutdown("changed my mind"))
            await trio.sleep_forever()

    with pytest.raises(StartError) as no:
        await start(nursery, Slow)

    assert no.value.reason == shutdown("changed my mind")


async def test_the_default_path_is_the_name_or_the_factorys_name(nursery: trio.Nursery) -> None:
    refs = [
        await start(nursery, Plain, name=Name("plain", Plain)),
        await start(nursery, Plain),
        await start(nursery, functools.partial(Plain)),
        await start(nursery, Plain, path="/here"),
    ]

    assert [ref.path for ref in refs] == ["plain", "Plain", "Plain", "/here"]
    for ref in refs:
        await stop(ref)


async def test_stop_waits_for_the_end_and_returns_the_reason(
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
async def test_a_stopped_or_killed_actor_does_not_affect_its_parent(
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


def test_cancelled_at_every_step_nothing_hangs_or_is_left() -> None:
    """Start, call, cast and stop; cancelled at each step in turn."""

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
        assert name_table() == {}
        # An actor cancelled in `init` runs no `terminate`.
        assert lives.count("begun") == lives.count("ended")

    lives: list[str] = []
    assert every_step(scenario, check) > 10


@pytest.mark.parametrize("seed", range(8))
def test_an_init_that_ends_at_its_timeout_succeeds_or_fails(
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
async def test_a_start_in_a_closed_nursery_frees_the_name(
    name: Name[Plain] | None,
) -> None:
    async with trio.open_nursery() as nursery:
        pass

    with pytest.raises(RuntimeError, match="Nursery is closed"):
        await start(nursery, Plain, name=name)
    assert name_table() == {}


@pytest.mark.parametrize("seconds", [-1, float("nan")])
@pytest.mark.parametrize("which", ["timeout", "grace"])
async def test_a_negative_timeout_or_grace_is_refused(
    nursery: trio.Nursery, which: str, seconds: float
) -> None:
    name = Name("plain", Plain)

    times = {"timeout": 1.0, "grace": 1.0} | {which: seconds}
    with pytest.raises(ValueError, match=f"^plain: {which} must be >= 0 seconds, got {seconds}$"):
        await start(nursery, Plain, name=name, timeout=times["timeout"], grace=times["grace"])

    assert not nursery.child_tasks
    assert name.whereis() is None


async def test_a_stop_with_a_bad_reason_or_grace_is_refused(
    nursery: trio.Nursery,
) -> None:
    plain = await start(nursery, Plain, path="/plain")

    with pytest.raises(
        TypeError, match=r"^reason must be an ExitReason, got str\[6\]: use shutdown"
    ):
        plain.stop("enough")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^/plain: grace must be >= 0 seconds, got nan$"):
        await stop(plain, grace=float("nan"))

    assert await plain.call(Plain.get) == 1
    assert await stop(plain) is SHUTDOWN


class Slow(Server):
    async def init(self) -> None:
        await trio.sleep_forever()


untyped_start: Any = start


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            lambda nursery: untyped_start(Plain, nursery),
            r"^start\(nursery, factory\): expected a trio.Nursery, got type$",
        ),
        (
            lambda nursery: untyped_start(None, Plain),
            r"^start\(nursery, factory\): expected a trio.Nursery, got None$",
        ),
        (
            lambda nursery: untyped_start(nursery, Plain()),
            r"that makes the actor, got an instance of Plain: pass the class itself$",
        ),
        (
            lambda nursery: untyped_start(nursery, 3),
            r"^start\(nursery, factory\): expected a class or function .*, got int$",
        ),
        (
            lambda nursery: untyped_start(nursery, Plain, name="p"),
            r"^start\(name=\.\.\.\): expected a Name, got str\[1\]$",
        ),
    ],
)
async def test_start_names_the_wrong_argument(
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


async def test_a_timer_set_in_dunder_init_raises_with_the_cure(
    nursery: trio.Nursery,
) -> None:
    with pytest.raises(
        StartError, match=r"/e: `__init__` used the path, .*: move this code to `init`"
    ):
        await start(nursery, Early, path="/e")
    with pytest.raises(StartError, match="no attribute 'undefined'"):
        await start(nursery, Typo)


class Wraps(Server):
    def __init__(self, wrapped: Any) -> None:
        wrapped._process.kill()


async def test_a_missing_process_of_another_object_stays_as_it_is(
    nursery: trio.Nursery,
) -> None:
    with pytest.raises(StartError, match="'object' object has no attribute '_process'"):
        await start(nursery, lambda: Wraps(object()))


async def test_early_calls_of_an_actor_that_is_no_server_fail(
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
        with pytest.raises(TypeError, match=r"/counter is no Server .* a call of total") as caught:
            await name.call(Counter.total)
        refused.append(str(caught.value))

    # trio chooses the order of the tasks at random.
    for times in range(1, 21):
        read.clear()
        counter = spawn(nursery, Counter, path="/counter", name=name)
        # One call has room in the mailbox, two wait.
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
