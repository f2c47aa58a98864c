"""What is used of trio's own loop, and where it is not."""

import hashlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Instrument
from trio.lowlevel import Task
from trio.testing import wait_all_tasks_blocked

from okibi.actors import trio_internals
from okibi.actors.trio_internals import CONTEXT, PRIVATE, host_of_this_thread, loop_of
from tests.limits import HANG

known = pytest.mark.skipif(CONTEXT is None, reason="nothing of this release is used")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has epoll")


@known
def test_what_the_loop_does_with_a_step_is_what_has_been_read() -> None:
    """If this fails, see what has changed in it, and whether `step` is to do the same."""
    core: Any = trio._core
    source = inspect.getsource(core._run.unrolled_run)
    step = source.partition("GLOBAL_RUN_CONTEXT.task = task\n")[2]
    step = step.partition("del GLOBAL_RUN_CONTEXT.task\n")[0]
    reschedule = inspect.getsource(core._run.Runner.reschedule).rpartition('"""')[2]
    lines = [line.strip() for part in (step, reschedule) for line in part.splitlines()]
    code = "\n".join(line for line in lines if line and not line.startswith("#"))

    # The second is 0.30's: an assertion less.
    digest = hashlib.sha256(code.encode()).hexdigest()[:16]
    assert digest in ("34643799db77e0e3", "37eb92e2835f910a")


def test_another_release_is_left_alone() -> None:
    assert loop_of("0.36.0") == loop_of("1.0.0") == (None,) * 3
    assert loop_of("0.30.0") == loop_of("0.35.1") != (None,) * 3
    # What lies between two releases is none that has been read.
    assert loop_of("0.35.0+dev") == loop_of("0.35") == (None,) * 3
    between = {loop_of(f"0.{minor}.0") for minor in range(31, 35)}
    assert between == {loop_of("0.30.0")}


@known
@pytest.mark.parametrize(
    ("holder", "name"),
    [(holder, name) for holder, names in PRIVATE.items() for name in names],
)
def test_a_release_that_has_lost_a_private_name_is_left_alone(
    holder: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core: Any = trio._core
    monkeypatch.delattr(getattr(core._run, holder), name)

    assert loop_of(trio.__version__) == (None,) * 3


@known
@pytest.mark.parametrize(
    "name",
    ["_run", "_traps", "_run.GLOBAL_RUN_CONTEXT", "_run.Deadlines", "_traps.WaitTaskRescheduled"],
)
def test_a_release_that_has_lost_a_private_module_is_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(f"trio._core.{name}")

    assert loop_of(trio.__version__) == (None,) * 3


@pytest.mark.parametrize("read", [True, False])
async def test_it_tells_whether_a_task_is_to_have_its_step(
    read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not read:
        monkeypatch.setattr(trio_internals, "CONTEXT", None)
    elif CONTEXT is not None:
        # Else it would ask trio's statistics, and be slow, but right.
        monkeypatch.delattr("trio.lowlevel.current_statistics")
    async with trio.open_nursery() as nursery:
        event = trio.Event()
        nursery.start_soon(event.wait)
        await wait_all_tasks_blocked()
        assert not trio_internals.others_wait()
        event.set()
        assert trio_internals.others_wait()


@linux
@known
async def test_a_descriptor_that_trio_knows_nothing_of_ends_its_wait_and_nothing_else() -> None:
    rings, third = os.eventfd(0), trio.Event()
    assert trio_internals.ends_wait(rings)
    steps = list[str]()

    class Waits(Instrument):
        waits = 0

        def before_io_wait(self, timeout: float) -> None:
            os.eventfd_write(rings, 1)
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
    os.close(rings)
    assert steps == [trio.lowlevel.current_task().name]


@linux
@known
async def test_what_its_epoll_does_not_take_ends_no_wait(tmp_path: Path) -> None:
    with (tmp_path / "a file").open("w") as file:
        assert not trio_internals.ends_wait(file.fileno())


def test_of_another_release_there_is_no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_internals, "CONTEXT", None)
    assert trio_internals.epoll() is None
    assert not trio_internals.ends_wait(0)


async def test_without_trios_private_name_nobody_is_known_to_wait_for_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A circle that closes through an abandoned thread lasts until it is cancelled then."""
    assert await trio.to_thread.run_sync(host_of_this_thread) is trio.lowlevel.current_task()
    monkeypatch.delattr(trio, "_threads")

    assert await trio.to_thread.run_sync(host_of_this_thread) is None
