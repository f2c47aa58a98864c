"""`virtual_time`: a plain function runs an async one on a clock that jumps."""

import asyncio
import time
import unittest

import anyio.to_thread
import attrs
import pytest
import trio
import trio.testing

from okibi import Child, Context, Function, Name, Server, start
from okibi.asyncio_loop import on_asyncio
from okibi.testing import FunctionTimedOut, running, virtual_time
from okibi.testing.virtual_clock import watch_threads


@virtual_time
async def test_an_hour_takes_no_time() -> None:
    began = time.monotonic()
    await trio.sleep(3600)

    assert time.monotonic() - began < 60


@virtual_time
async def test_a_test_gets_its_fixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(monkeypatch, pytest.MonkeyPatch)


@virtual_time
async def returns(value: int) -> int:
    await trio.sleep(1)
    return value


def test_arguments_and_result_pass_through() -> None:
    assert returns(7) == 7


def test_an_exception_passes_through_without_a_group() -> None:
    @virtual_time
    async def main() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        main()


def test_a_plain_def_is_refused() -> None:
    def main() -> None: ...

    with pytest.raises(TypeError, match="takes an `async def`"):
        virtual_time(main)  # type: ignore[arg-type]


@pytest.mark.parametrize("forgotten", ["event", "actor"])
def test_a_test_that_waits_forever_fails(forgotten: str) -> None:
    @virtual_time
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            if forgotten == "actor":
                await start(nursery, Server)
            else:
                await trio.Event().wait()

    with pytest.raises(TimeoutError, match="the test waits forever"):
        main()


class OfUnittest(unittest.TestCase):
    @virtual_time
    async def test_a_method_of_a_test_case_runs(self) -> None:
        await trio.sleep(3600)
        assert trio.current_time() == 3600


@virtual_time
async def test_the_clock_does_not_jump_while_a_thread_works() -> None:
    with trio.move_on_after(60) as limit:
        await trio.to_thread.run_sync(time.sleep, 0.05)
        await on_asyncio(asyncio.to_thread, time.sleep, 0.05)
        await on_asyncio(anyio.to_thread.run_sync, time.sleep, 0.05)

    assert not limit.cancelled_caught
    assert trio.current_time() < 60


@virtual_time
async def test_a_time_limit_holds_for_a_thread_in_real_time() -> None:
    with trio.move_on_after(0.05) as limit:
        await trio.to_thread.run_sync(time.sleep, 0.5, abandon_on_cancel=True)
        # The thread has worked for longer than the limit.

    assert limit.cancelled_caught


@virtual_time
async def test_the_clock_jumps_again_after_a_thread() -> None:
    await trio.to_thread.run_sync(time.sleep, 0)
    began = time.monotonic()
    await trio.sleep(3600)

    assert time.monotonic() - began < 60


@virtual_time
async def test_an_actor_that_uses_a_thread_is_in_time() -> None:
    class Files(Server):
        async def read(self) -> str:
            return await trio.to_thread.run_sync(_slowly)

    files = Name("files", Files)

    async def handler(event: object, context: Context) -> str:
        with trio.fail_after(2):
            return await files.call(Files.read)

    async with running(Function(handler, children=[Child(Files, name=files)])) as app:
        assert await app.invoke() == "read"


def _slowly() -> str:
    time.sleep(0.02)
    return "read"


def test_a_clock_that_the_test_drives_stays_as_it_is() -> None:
    async def main() -> None:
        watch_threads()
        await trio.to_thread.run_sync(time.sleep, 0)
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        assert clock.rate == 2

    trio.run(main, clock=trio.testing.MockClock(rate=2))


# -- the same history by both clocks. Events are two TICKs apart: 0.1 s of real time.

TICK = 0.05


@attrs.define(eq=False)
class Journal(Server):
    """Writes down what happens, and ticks."""

    told: list[str] = attrs.Factory(list[str])

    async def init(self) -> None:
        self.send_every(4 * TICK, "tick")

    async def handle_info(self, message: object) -> None:
        self.told.append(str(message))

    async def write(self, line: str) -> None:
        self.told.append(line)

    async def read(self) -> list[str]:
        return self.told


JOURNAL = Name("journal", Journal)


async def retry(event: int, context: Context) -> None:
    """Try `event` times, each with a time limit and a pause after; then wait for the deadline."""
    began = trio.current_time()
    for attempt in range(event):
        with trio.move_on_at(began + (2 + 8 * attempt) * TICK):
            await trio.sleep_forever()
        await JOURNAL.call(Journal.write, f"attempt {attempt}")
        await trio.sleep_until(began + (8 + 10 * attempt) * TICK)
    await JOURNAL.call(Journal.write, "waiting")
    await trio.sleep(3600)


RETRYING = Function(retry, children=[Child(Journal, name=JOURNAL)])


HISTORY = [
    "attempt 0", "tick", "tick", "attempt 1", "tick", "tick", "waiting", "tick",
]  # fmt: skip


async def history() -> list[str]:
    # Ticks at 4, 8, 12, 16, 20; attempts end at 2 and 10; waiting from 18; the deadline at 22.
    async with running(RETRYING, timeout=0.1 + 22 * TICK) as app:
        with pytest.raises(FunctionTimedOut):
            await app.invoke(2)
        return list(await JOURNAL.call(Journal.read))


def test_the_history_in_virtual_time_is_complete() -> None:
    assert trio.run(history, clock=trio.testing.MockClock(autojump_threshold=0)) == HISTORY


@pytest.mark.slow
def test_the_history_by_the_real_clock_is_the_same() -> None:
    # A machine without a free core may delay an event: then once more.
    assert any(trio.run(history) == HISTORY for _ in range(3))


@virtual_time
async def test_calls_are_answered_while_time_is_skipped() -> None:
    """A query while the time is skipped: the known hang of other test kits."""
    async with running(RETRYING, timeout=30) as app, trio.open_nursery() as nursery:

        async def invoke() -> None:
            with pytest.raises(FunctionTimedOut):
                await app.invoke(0)

        nursery.start_soon(invoke)
        for _ in range(20):
            await trio.sleep(1)
            assert "waiting" in await JOURNAL.call(Journal.read)
