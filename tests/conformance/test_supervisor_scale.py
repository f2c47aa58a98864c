"""supervisor_SUITE: what many children cost, and what is left of those that have gone."""

import gc
import weakref
from time import perf_counter

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors import Exit, Ref, Server
from supervisors import Child, Restart, Strategy, Supervision, Supervisor, supervise


@attrs.define(eq=False)
class Worker(Server):
    burden: object = None

    async def leave(self) -> None:
        raise Exit


@attrs.define
class Burden:
    """What a start is given: to be dropped with the child that needs it."""


def test_scale_start_stop_many_children() -> None:
    """Ten times as many children cost ten times as much.

    Adapted: 10,000 children beside 1,000, where OTP has 100,000.
    """

    def seconds(count: int) -> float:
        async def main() -> None:
            tree = Supervision([Child(Worker, id=str(number)) for number in range(count)])
            async with trio.open_nursery() as nursery:
                top = await supervise(nursery, tree)
                top.stop()

        began = perf_counter()
        trio.run(main)
        return perf_counter() - began

    seconds(100)
    few = min(seconds(1_000) for _ in range(3))

    assert seconds(10_000) < 10 * few * 3


@pytest.mark.parametrize("strategy", Strategy)
async def test_do_not_save_start_parameters_for_temporary_children(strategy: Strategy) -> None:
    """What a temporary child was started with is gone when it has ended.

    Adapted: OTP compares the sizes of two supervisors; here the parameter itself must be gone.
    """
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, Supervision(strategy=strategy))
        gone, kept = [
            await started_and_left(top, restart)
            for restart in (Restart.TEMPORARY, Restart.TRANSIENT)
        ]
        gc.collect()

        assert gone() is None
        assert kept() is not None
        top.stop()


async def started_and_left(
    top: Ref[Supervisor], restart: Restart
) -> "weakref.ReferenceType[Burden]":
    burden = Burden()
    seen = weakref.ref(burden)
    await start_with(top, burden, restart)
    await wait_all_tasks_blocked()
    return seen


async def start_with(top: Ref[Supervisor], burden: Burden, restart: Restart) -> None:
    spec = Child(lambda: Worker(burden), restart=restart, id=restart.value)
    worker = await top.call(Supervisor.start_child, spec)
    assert worker is not None
    await worker.cast(Worker.leave)
