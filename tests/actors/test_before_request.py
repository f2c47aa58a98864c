"""The hook before a server's requests, which the test kit sets."""

from collections.abc import Iterator

import pytest
import trio

from okibi.actors import ActorExited, Refusal, Server, start, stop
from okibi.actors.before_request import set_before_request
from okibi.actors.request import Request


class Counter(Server):
    async def init(self) -> None:
        self.count = 0

    async def add(self) -> int:
        self.count += 1
        return self.count


@pytest.fixture
def errors() -> Iterator[list[BaseException]]:
    """Errors that the hook raises, the first one first; without one, a request is handled."""
    waiting = list[BaseException]()

    def take(server: Server, request: Request) -> BaseException | None:
        assert isinstance(server, Counter)
        return waiting.pop(0) if waiting else None

    set_before_request(take)
    yield waiting
    set_before_request(None)


async def test_a_refusal_of_the_hook_reaches_the_caller_and_the_server_lives(
    errors: list[BaseException], nursery: trio.Nursery
) -> None:
    ref = await start(nursery, Counter)
    errors.append(Refusal("not now"))

    with pytest.raises(Refusal, match="not now"):
        await ref.call(Counter.add)

    assert await ref.call(Counter.add) == 1
    await stop(ref)


async def test_an_error_of_the_hook_crashes_the_server(errors: list[BaseException]) -> None:
    async def call_once() -> None:
        async with trio.open_nursery() as nursery:
            ref = await start(nursery, Counter)
            with pytest.raises(ActorExited, match="no database"):
                await ref.call(Counter.add)

    errors.append(OSError("no database"))

    with pytest.raises(ExceptionGroup) as crash:
        await call_once()

    assert crash.group_contains(OSError, match="no database")


async def test_without_a_hook_requests_are_handled_as_ever(nursery: trio.Nursery) -> None:
    set_before_request(lambda server, request: OSError("never"))
    set_before_request(None)
    ref = await start(nursery, Counter)

    assert await ref.call(Counter.add) == 1

    await stop(ref)
