"""A job on asyncio, cancelled at every step of a trio task, under both of the loop's waits."""

import asyncio

import trio

from okibi.asyncio_loop import from_asyncio, on_asyncio
from tests.conformance.cancellation import ActionAtStep, every_step
from tests.limits import HANG

said = list[str]()


async def job(seconds: float) -> None:
    said.append("begun")
    try:
        await asyncio.sleep(seconds)
        await from_asyncio.run(trio.sleep, seconds)
        if seconds < 1:
            # Virtual time does not wait for a thread.
            await asyncio.to_thread(len, said)
        said.append("ended")
    except asyncio.CancelledError:
        said.append("cancelled")
        await asyncio.sleep(seconds)
        said.append("clean")
        raise


async def check() -> None:
    """A job that has begun is cancelled at most once, and cleans up before its caller goes on."""
    assert said in ([], ["begun", "ended"], ["begun", "cancelled", "clean"])


def test_a_job_cancelled_at_any_step_cleans_up_in_virtual_time() -> None:
    async def scenario() -> None:
        said.clear()
        await on_asyncio(job, 1.0)

    assert every_step(scenario, check) > 5


def test_a_job_cancelled_at_any_step_cleans_up() -> None:
    async def cancelled_at(step: int) -> bool:
        said.clear()
        instrument = ActionAtStep(step, (scope := trio.CancelScope()).cancel)
        trio.lowlevel.add_instrument(instrument)
        with trio.fail_after(HANG), scope:
            await on_asyncio(job, 0.001)
        trio.lowlevel.remove_instrument(instrument)
        await check()
        return instrument.steps_left <= 0

    steps = 1
    while trio.run(cancelled_at, steps):
        steps += 1
    assert steps > 5
