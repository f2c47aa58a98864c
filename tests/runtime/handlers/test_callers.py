"""Who calls an actor from a handler: the worker, whichever way the handler asks."""

import pytest

from tests.support.sandbox import running


@pytest.mark.parametrize(
    "kind",
    ["on_trio", "on_asyncio", "in_a_thread", pytest.param("by_a_class", marks=pytest.mark.slow)],
)
async def test_the_caller_of_an_actor_that_a_handler_asks_is_its_worker(kind: str) -> None:
    async with running(f"asking.{kind}") as sandbox:
        assert await sandbox.ask() == "/function/lambda/workers/worker-0"
