"""The life cycle of one incarnation: stop, grace, kill, terminate, errors."""

# A crash is raised by the nursery itself, so its whole block is what raises.
# ruff: noqa: PT012

import gc
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Actor,
    ActorExited,
    Exit,
    ExitReason,
    Ref,
    Server,
    crashed,
    shutdown,
    start,
    stop,
)
from okibi.actors.life import Phase
from tests.garbage import no_collector


@attrs.define(eq=False)
class Life(Actor):
    """Runs a given body, and records the reason that `terminate` gets."""

    body: Callable[[], Awaitable[object]] = trio.sleep_forever
    cleanup: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
    terminated: list[ExitReason] = attrs.Factory(list)
    finished: list[ExitReason] = attrs.Factory(list)

    async def run(self) -> None:
        await self.body()

    async def terminate(self, reason: ExitReason) -> None:
        self.terminated.append(reason)
        await self.cleanup()
        self.finished.append(reason)


async def raising(error: BaseException) -> None:
    raise error


async def raising_while_cancelled(error: BaseException) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise error


async def alone(life: Life, act: Callable[[Ref[Life]], object], grace: float = 5.0) -> ExitReason:
    """Start the actor, act on it, and return its exit reason. A crash ends the inner nursery."""
    reasons: list[ExitReason] = []
    try:
        async with trio.open_nursery() as nursery:
            ref = await start(nursery, lambda: life, path="/life", grace=grace)
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
                act(ref)
                reasons.append(await ref.wait())
    except BaseExceptionGroup:
        pass
    return reasons[0]


def do_nothing(_: Ref[Life]) -> None:
    """Let the actor end by itself."""


# -- exit reasons, and whether terminate runs


async def test_terminate_runs_after_a_normal_end() -> None:
    life = Life(trio.lowlevel.checkpoint)

    assert await alone(life, do_nothing) is NORMAL
    assert life.finished == [NORMAL]


async def test_terminate_runs_after_a_crash() -> None:
    error = ValueError("boom")
    life = Life(lambda: raising(error))

    assert await alone(life, do_nothing) == crashed(error)
    assert life.finished == [crashed(error)]


async def test_terminate_runs_after_a_stop_with_its_reason() -> None:
    life = Life()

    assert await alone(life, lambda ref: ref.stop(shutdown("moved"))) == shutdown("moved")
    assert life.finished == [shutdown("moved")]


async def test_terminate_does_not_run_after_a_kill() -> None:
    life = Life()

    assert await alone(life, lambda ref: ref.kill()) is KILLED
    assert life.terminated == []


async def test_terminate_does_not_run_after_a_crash_while_killed() -> None:
    error = ValueError("boom")
    life = Life(lambda: raising_while_cancelled(error))

    assert await alone(life, lambda ref: ref.kill()) == crashed(error)
    assert life.terminated == []


async def test_terminate_can_await_in_a_cancelled_nursery(
    autojump_clock: MockClock,
) -> None:
    life = Life(cleanup=partial(trio.sleep, 3))
    async with trio.open_nursery() as nursery:
        ref = await start(nursery, lambda: life)
        nursery.cancel_scope.cancel()

    assert life.finished == [SHUTDOWN]
    assert ref.reason is SHUTDOWN


async def test_a_hanging_terminate_is_killed_when_the_grace_ends(autojump_clock: MockClock) -> None:
    life, began = Life(cleanup=trio.sleep_forever), trio.current_time()

    assert await alone(life, lambda ref: ref.stop(), grace=2.0) is KILLED
    assert trio.current_time() - began == pytest.approx(2.0)
    assert life.finished == []


async def test_a_stop_with_infinite_grace_never_cancels_terminate(
    autojump_clock: MockClock,
) -> None:
    life = Life(cleanup=partial(trio.sleep, 100))

    assert await alone(life, lambda ref: ref.stop(grace=inf), grace=2.0) is SHUTDOWN


async def test_terminate_has_the_full_grace_when_the_body_returns(
    autojump_clock: MockClock,
) -> None:
    life, began = Life(trio.lowlevel.checkpoint, trio.sleep_forever), trio.current_time()

    assert await alone(life, do_nothing, grace=2.0) is KILLED
    assert trio.current_time() - began == pytest.approx(2.0)


async def test_a_crash_in_terminate_becomes_the_exit_reason() -> None:
    error = KeyError("cleanup")
    life = Life(cleanup=lambda: raising(error))

    assert await alone(life, lambda ref: ref.stop()) == crashed(error)


async def test_a_crash_stays_the_exit_reason_if_terminate_times_out(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("boom")
    life = Life(lambda: raising(error), trio.sleep_forever)

    assert await alone(life, do_nothing, grace=1.0) == crashed(error)
    assert "/life: terminate did not finish: killed" in caplog.messages


async def test_a_crash_while_being_stopped_is_a_crash() -> None:
    error = ValueError("boom")
    life = Life(lambda: raising_while_cancelled(error))

    assert await alone(life, lambda ref: ref.stop()) == crashed(error)
    assert life.finished == [crashed(error)]


async def test_the_stop_reason_holds_when_the_cancelled_body_returns() -> None:
    async def giving_in() -> None:
        with trio.CancelScope() as scope:
            try:
                await trio.sleep_forever()
            finally:
                scope.cancel()

    life = Life(giving_in)

    assert await alone(life, lambda ref: ref.stop(shutdown("asked"))) == shutdown("asked")


async def test_the_first_stop_request_sets_the_reason() -> None:
    def twice(ref: Ref[Life]) -> None:
        ref.stop(shutdown("first"))
        ref.stop(shutdown("second"))

    assert await alone(Life(), twice) == shutdown("first")


@pytest.mark.parametrize("in_a_group", [False, True])
async def test_system_exit_is_a_crash_of_the_actor(in_a_group: bool) -> None:
    async def leaving() -> None:
        if in_a_group:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(raising, SystemExit(3))
        else:
            raise SystemExit(3)

    reason = await alone(Life(leaving), do_nothing)

    assert isinstance(reason.error, SystemExit)


async def test_exit_sets_the_exit_reason() -> None:
    life = Life(lambda: raising(Exit(shutdown("enough"))))

    assert await alone(life, do_nothing) == shutdown("enough")


async def test_only_a_crash_is_raised_into_the_nursery() -> None:
    error = ValueError("boom")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await start(nursery, lambda: Life(lambda: raising(Exit(shutdown(KeyError("quiet"))))))
            await start(nursery, lambda: Life(lambda: raising(error)))

    assert caught.value.exceptions == (error,)


async def test_a_crash_without_exception_is_raised_into_the_nursery() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            reason = ExitReason("crashed", "in words")
            await start(nursery, lambda: Life(lambda: raising(Exit(reason))))

    assert isinstance(caught.value.exceptions[0], ActorExited)


async def test_the_phases_follow_each_other_in_order() -> None:
    phases: list[Phase] = []

    class Watched(Actor):
        async def init(self) -> None:
            phases.append(self._process.life.phase)

        async def run(self) -> None:
            phases.append(self._process.life.phase)

        async def terminate(self, reason: ExitReason) -> None:
            phases.append(self._process.life.phase)

    async with trio.open_nursery() as nursery:
        ref = await start(nursery, Watched)
        await ref.wait()
        phases.append(ref.process().life.phase)

    assert phases == [Phase.STARTING, Phase.RUNNING, Phase.DYING, Phase.DEAD]


# -- garbage


class Cleaner(Server):
    """Overrides `terminate`, so its process has both scopes."""

    async def terminate(self, reason: ExitReason) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("kind", [Server, Cleaner])
async def test_an_ended_actor_leaves_no_garbage_cycles(
    kind: type[Server], nursery: trio.Nursery
) -> None:
    await stop(await start(nursery, kind))
    await wait_all_tasks_blocked()
    gc.collect()
    for _ in range(5):
        await stop(await start(nursery, kind))

    assert gc.collect() == 0
