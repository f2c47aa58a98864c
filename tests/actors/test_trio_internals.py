"""The uses of trio's private names, and their fallbacks."""

import hashlib
import inspect
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Instrument
from trio.lowlevel import Task
from trio.testing import wait_all_tasks_blocked

from okibi.actors import trio_internals
from okibi.actors.trio_internals import (
    CONTEXT,
    PRIVATE_NAMES,
    find_private_api,
    task_waiting_for_thread,
)
from tests.limits import HANG

known = pytest.mark.skipif(CONTEXT is None, reason="the private names of this release are not used")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has epoll")


@known
def test_trios_code_for_a_step_has_not_changed() -> None:
    """If this fails, read the changed code: must `step` of `runtime.in_flight.turns` change?"""
    core: Any = trio._core
    source = inspect.getsource(core._run.unrolled_run)
    step = source.partition("GLOBAL_RUN_CONTEXT.task = task\n")[2]
    step = step.partition("del GLOBAL_RUN_CONTEXT.task\n")[0]
    reschedule = inspect.getsource(core._run.Runner.reschedule).rpartition('"""')[2]
    lines = [line.strip() for part in (step, reschedule) for line in part.splitlines()]
    code = "\n".join(line for line in lines if line and not line.startswith("#"))

    # The second digest is of trio 0.30, which has one assertion less.
    digest = hashlib.sha256(code.encode()).hexdigest()[:16]
    assert digest in ("34643799db77e0e3", "37eb92e2835f910a")


def test_private_names_of_an_unknown_release_are_not_used() -> None:
    assert find_private_api("0.36.0") == find_private_api("1.0.0") == (None,) * 3
    assert find_private_api("0.30.0") == find_private_api("0.35.1") != (None,) * 3
    # A version between two releases is unknown.
    assert find_private_api("0.35.0+dev") == find_private_api("0.35") == (None,) * 3
    between = {find_private_api(f"0.{minor}.0") for minor in range(31, 35)}
    assert between == {find_private_api("0.30.0")}


@known
@pytest.mark.parametrize(
    ("holder", "name"),
    [(holder, name) for holder, names in PRIVATE_NAMES.items() for name in names],
)
def test_a_release_without_a_private_name_is_not_used(
    holder: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core: Any = trio._core
    monkeypatch.delattr(getattr(core._run, holder), name)

    assert find_private_api(trio.__version__) == (None,) * 3


@known
@pytest.mark.parametrize(
    "name",
    ["_run", "_traps", "_run.GLOBAL_RUN_CONTEXT", "_run.Deadlines", "_traps.WaitTaskRescheduled"],
)
def test_a_release_without_a_private_module_is_not_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(f"trio._core.{name}")

    assert find_private_api(trio.__version__) == (None,) * 3


@pytest.mark.parametrize("read", [True, False])
async def test_tasks_are_runnable_sees_a_scheduled_task(
    read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not read:
        monkeypatch.setattr(trio_internals, "CONTEXT", None)
    elif CONTEXT is not None:
        # Proves that the fast way does not use trio's statistics.
        monkeypatch.delattr("trio.lowlevel.current_statistics")
    async with trio.open_nursery() as nursery:
        event = trio.Event()
        nursery.start_soon(event.wait)
        await wait_all_tasks_blocked()
        assert not trio_internals.tasks_are_runnable()
        event.set()
        assert trio_internals.tasks_are_runnable()


@linux
@known
async def test_a_registered_descriptor_ends_the_loops_wait_and_wakes_no_task() -> None:
    descriptor, third = os.eventfd(0), trio.Event()
    assert trio_internals.wake_loop_on(descriptor)
    steps = list[str]()

    class Waits(Instrument):
        waits = 0

        def before_io_wait(self, timeout: float) -> None:
            os.eventfd_write(descriptor, 1)
            self.waits += 1
            if self.waits == 3:
                third.set()

        def before_task_step(self, task: Task) -> None:
            steps.append(task.name)

    ending = Waits()
    with trio.fail_after(HANG):
        trio.lowlevel.add_instrument(ending)
        await third.wait()
        trio.lowlevel.remove_instrument(ending)
    os.close(descriptor)
    assert steps == [trio.lowlevel.current_task().name]


@linux
@known
async def test_a_descriptor_refused_by_epoll_returns_false(tmp_path: Path) -> None:
    with (tmp_path / "a file").open("w") as file:
        assert not trio_internals.wake_loop_on(file.fileno())


def test_epoll_is_none_for_an_unknown_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_internals, "CONTEXT", None)
    assert trio_internals.epoll() is None
    assert not trio_internals.wake_loop_on(0)


async def test_without_trios_private_name_no_task_waits_for_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cycle through an abandoned thread then lasts until it is cancelled."""
    assert await trio.to_thread.run_sync(task_waiting_for_thread) is trio.lowlevel.current_task()
    monkeypatch.delattr(trio, "_threads")

    assert await trio.to_thread.run_sync(task_waiting_for_thread) is None


@known
async def test_another_thread_sees_whether_a_step_is_still_the_same() -> None:
    current_step = trio_internals.make_step_reader()

    def wait_between_steps() -> None:
        # This task may still be in its step when the thread begins.
        while current_step() is not None:
            time.sleep(0.001)

    await trio.to_thread.run_sync(wait_between_steps)
    within = [current_step(), current_step()]
    await trio.lowlevel.checkpoint()

    assert within[0] == within[1] != current_step()
    assert within[0] is not None


async def test_without_a_known_loop_no_step_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_internals, "CONTEXT", None)

    assert trio_internals.make_step_reader()() is None
