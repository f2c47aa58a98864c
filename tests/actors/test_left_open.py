"""An actor that leaves a cancel scope open still ends, and its callers get the error."""

from collections.abc import AsyncIterator, Callable

import pytest
import trio

from okibi.actors import ActorExited, Exit, ExitReason, Name, Ref, Server, start
from okibi.actors.process import Process
from okibi.actors.start import spawn, wait_started

UNRAISABLE = "ignore::pytest.PytestUnraisableExceptionWarning"


async def numbers() -> AsyncIterator[int]:
    with trio.CancelScope():
        yield 1


class Counter(Server):
    """Reads one item of a generator that has a cancel scope around its `yield`."""

    async def init(self) -> None:
        self.numbers = numbers()

    async def first(self) -> int:
        return await anext(self.numbers)

    async def quit(self) -> str:
        raise Exit(reply="bye")

    async def crash(self) -> None:
        raise ValueError("no")

    async def wait(self) -> None:
        await trio.sleep_forever()


class CleansUp(Counter):
    async def terminate(self, reason: ExitReason) -> None:
        await trio.lowlevel.checkpoint()


COUNTER = Name("counter", Counter)


@pytest.mark.parametrize("end", [Ref.stop, Ref.kill], ids=["stopped", "killed"])
@pytest.mark.parametrize("made", [Counter, CleansUp])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", UNRAISABLE)
async def test_an_actor_with_an_open_scope_ends_for_callers_and_monitors(
    made: type[Counter], end: Callable[[Ref[Counter]], None]
) -> None:
    told: list[Process] = []
    async with trio.open_nursery() as nursery:
        process = spawn(nursery, made, path="/counter", name=COUNTER, supervised=True)
        process.watch("test", told.append)
        await wait_started(process, 1)
        ref: Ref[Counter] = Ref(process)
        assert await ref.call(Counter.first) == 1
        waits = await ref.request(Counter.wait)
        end(ref)

        with pytest.raises(ActorExited, match="Cancel scope stack corrupted"):
            await waits.result()
        reason = await ref.wait()

    assert isinstance(reason.error, RuntimeError)
    assert told == [process]
    assert COUNTER.whereis() is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning", UNRAISABLE)
async def test_a_crash_goes_before_the_error_of_the_open_scope() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="no")):
        async with trio.open_nursery() as nursery:
            ref = await start(nursery, Counter, name=COUNTER)
            await ref.call(Counter.first)
            with pytest.raises(ActorExited) as exited:
                await ref.call(Counter.crash)

    assert isinstance(exited.value.reason.error, ValueError)
