"""A child whose code has left a cancel scope open is restarted, and nobody else pays for it."""

import threading
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import ActorExited, Name, Ref, Server, stop
from okibi.supervisors import Child, Supervision, supervise

UNRAISABLE = "ignore::pytest.PytestUnraisableExceptionWarning"


class Reader(Server):
    async def first(self) -> int:
        async def numbers() -> AsyncIterator[int]:
            with trio.CancelScope():
                yield 1

        self.numbers = numbers()
        return await anext(self.numbers)

    async def crash(self) -> None:
        raise ValueError("no")


READER, OTHER = Name("reader", Reader), Name("other", Reader)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", UNRAISABLE)
def test_a_child_that_has_left_a_scope_open_is_restarted_alone() -> None:
    before: list[Ref[Reader] | None] = []
    after: list[Ref[Reader] | None] = []

    async def main() -> None:
        flags = Supervision([Child(Reader, name=name) for name in (READER, OTHER)])
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, flags)
            before.extend([READER.whereis(), OTHER.whereis()])
            await READER.call(Reader.first)
            with pytest.raises(ActorExited):
                await READER.call(Reader.crash)
            await wait_all_tasks_blocked()
            after.extend([READER.whereis(), OTHER.whereis()])
            await stop(top)

    # A supervisor that waits for a child which has no end does not hear of any time-out.
    run = threading.Thread(target=trio.run, args=(main,), daemon=True)
    run.start()
    run.join(10)

    assert not run.is_alive()
    assert [ref and ref.incarnation for ref in after] == [2, 1]
    assert after[1] == before[1]
