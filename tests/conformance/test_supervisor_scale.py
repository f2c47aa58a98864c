"""supervisor_SUITE: what many children cost, and what is left of those that have gone."""

import gc
import weakref
from collections.abc import Awaitable, Callable
from time import process_time

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Exit, Ref, Server
from okibi.supervisors import (
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.garbage import no_collector


@attrs.define(eq=False)
class Worker(Server):
    burden: object = None

    async def leave(self) -> None:
        raise Exit


IDLE = Child(Worker, restart=Restart.TEMPORARY)


@attrs.define
class Burden:
    """What a start is given: to be dropped with the child that needs it."""


@pytest.mark.slow
def test_scale_start_stop_many_children() -> None:
    """Ten times as many children cost ten times as much.

    Adapted: 10,000 children beside 1,000, where OTP has 100,000.
    """

    def seconds(count: int) -> float:
        async def main() -> None:
            tree = SupervisorSpec([Child(Worker, id=str(number)) for number in range(count)])
            async with trio.open_nursery() as nursery:
                top = await supervise(nursery, tree)
                top.stop()

        began = process_time()
        trio.run(main)
        return process_time() - began

    seconds(100)
    few = min(seconds(1_000) for _ in range(3))

    assert seconds(10_000) < 10 * few * 3


@pytest.mark.slow
def test_simple_one_for_one_scale_many_temporary_children() -> None:
    """Ten times as many children cost ten times as much to terminate, one by one."""

    def seconds(count: int) -> float:
        async def main() -> float:
            async with trio.open_nursery() as nursery:
                pool = await supervise(nursery, DynamicSupervisorSpec())
                workers = [
                    await pool.call(DynamicSupervisor.start_child, IDLE) for _ in range(count)
                ]
                began = process_time()
                for worker in workers:
                    assert worker is not None
                    await pool.call(DynamicSupervisor.terminate_child, worker)
                ended = process_time()
                pool.stop()
            return ended - began

        return trio.run(main)

    seconds(100)
    few = min(seconds(1_000) for _ in range(3))

    assert seconds(10_000) < 10 * few * 3


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("strategy", Strategy)
async def test_do_not_save_start_parameters_for_temporary_children(strategy: Strategy) -> None:
    """What a temporary child was started with is gone when it has ended.

    Adapted: OTP compares the sizes of two supervisors; here the parameter itself must be gone.
    """
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec(strategy=strategy))
        gone, kept = [
            await parameter_of(lambda spec: top.call(Supervisor.start_child, spec), restart)
            for restart in (Restart.TEMPORARY, Restart.TRANSIENT)
        ]
        gc.collect()

        assert gone() is None
        assert kept() is not None
        top.stop()


@pytest.mark.usefixtures(no_collector.__name__)
async def test_simple_one_for_one_corruption() -> None:
    """What a temporary child was started with is gone when it has ended, and others live on.

    Adapted: OTP compares the sizes of two supervisors; here the parameter itself must be gone.
    """
    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec())
        await pool.call(DynamicSupervisor.start_child, IDLE)
        gone = [
            await parameter_of(
                lambda spec: pool.call(DynamicSupervisor.start_child, spec), Restart.TEMPORARY
            )
            for _ in range(2)
        ]
        gc.collect()

        assert [parameter() for parameter in gone] == [None, None]
        assert (await pool.call(DynamicSupervisor.count_children)).active == 1
        pool.stop()


async def parameter_of(
    start_child: Callable[[Child[Worker]], Awaitable[Ref[Worker] | None]], restart: Restart
) -> "weakref.ReferenceType[Burden]":
    """What a child was started with that has ended since."""
    burden = Burden()
    seen = weakref.ref(burden)
    await start_and_leave(start_child, burden, restart)
    await wait_all_tasks_blocked()
    return seen


async def start_and_leave(
    start_child: Callable[[Child[Worker]], Awaitable[Ref[Worker] | None]],
    burden: Burden,
    restart: Restart,
) -> None:
    spec = Child(lambda: Worker(burden), restart=restart, id=restart.value)
    worker = await start_child(spec)
    assert worker is not None
    await worker.cast(Worker.leave)
