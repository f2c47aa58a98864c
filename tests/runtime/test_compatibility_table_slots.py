"""Rows of docs/compatibility.md about many events at once (`AWS_LAMBDA_MAX_CONCURRENCY`)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from tests.support.event_fate import all_slots, error_in, slots_left, taken
from tests.support.sandbox import Running
from tests.support.side_by_side import both, skip_without_official

pytestmark = skip_without_official

T = TypeVar("T")
SLOTS = 2


async def slots(scenario: Callable[[Running], Awaitable[T]], **options: Any) -> tuple[T, T]:
    """Run both clients until all slots wait for events."""

    async def ready(sandbox: Running) -> T:
        await all_slots(sandbox, SLOTS)
        return await scenario(sandbox)

    return await both("table.handler", ready, max_concurrency=SLOTS, **options)


@pytest.mark.slow
async def test_sys_exit_in_one_of_n_slots() -> None:
    async def scenario(sandbox: Running) -> tuple[str | None, int]:
        error = error_in(await taken(sandbox, {"do": "exit"}))
        return error, await slots_left(sandbox, SLOTS)

    official, okibi = await slots(scenario, timeout=1)

    # The invoker waits until the time-out, and the slot stays lost.
    assert official == ("Sandbox.Timedout", SLOTS - 1)
    assert okibi == ("SystemExit", SLOTS)


@pytest.mark.slow
async def test_a_time_out_in_one_of_n_slots() -> None:
    async def scenario(sandbox: Running) -> tuple[str | None, int]:
        error = error_in(await taken(sandbox, {"do": "sleep"}))
        return error, await slots_left(sandbox, SLOTS)

    official, okibi = await slots(scenario, timeout=1)

    assert official == ("Sandbox.Timedout", SLOTS - 1)
    assert okibi == ("Runtime.DeadlineExceeded", SLOTS)


@pytest.mark.slow
async def test_what_n_slots_are() -> None:
    async def scenario(sandbox: Running) -> tuple[int, int]:
        answers = await all_slots(sandbox, SLOTS)
        return processes_of(sandbox.pid), len({each["pid"] for each in answers})

    official, okibi = await slots(scenario)

    assert official == (SLOTS + 1, SLOTS)
    assert okibi == (1, 1)


@pytest.mark.slow
async def test_c_code_that_holds_the_interpreter_in_one_of_n_slots() -> None:
    async def scenario(sandbox: Running) -> float:
        began: list[float] = []

        async def hold() -> None:
            began.append((await taken(sandbox, {"do": "hold", "seconds": 0.6}))["began"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            while not sandbox.said("holding"):  # noqa: ASYNC110, the line comes through a pipe
                await trio.sleep(0.01)
            await trio.sleep(0.05)
            beside = await taken(sandbox, {})
        return float(beside["began"] - began[0])

    official, okibi = await slots(scenario)

    assert official < 0.6
    assert okibi >= 0.6


@pytest.mark.slow
async def test_a_crash_of_the_process_in_one_of_n_slots() -> None:
    async def scenario(sandbox: Running) -> tuple[list[str | None], int, int]:
        errors = list[str | None]()

        async def one(event: dict[str, Any]) -> None:
            errors.append(error_in(await taken(sandbox, event)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, {"do": "sleep", "seconds": 0.6})
            await trio.sleep(0.2)
            nursery.start_soon(one, {"do": "abort"})
        left = await slots_left(sandbox, SLOTS)
        return errors, left, sandbox.function.starts

    official, okibi = await slots(scenario, timeout=1)

    assert official == ([None, "Sandbox.Timedout"], SLOTS - 1, 1)
    assert okibi == (["Runtime.ExitError", "Runtime.ExitError"], SLOTS, 2)


@pytest.mark.slow
async def test_the_request_id_in_a_thread_beside_other_events() -> None:
    async def scenario(sandbox: Running) -> list[bool]:
        marked = list[bool]()
        for do in ("log", "log in a thread"):
            told = await taken(sandbox, {"do": do})
            lines = [line for line in sandbox.lines if "\tsaid" in line or '"said"' in line]
            marked.append(told["id"] in lines[-1])
        return marked

    official, okibi = await slots(scenario)

    assert official == [True, True]
    assert okibi == [True, False]


def processes_of(group: int) -> int:
    """Count the processes of a sandbox."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    # Fields after the name, which may hold any character: state, parent, group.
    return sum(int(stat.rpartition(")")[2].split()[2]) == group for stat in stats)
