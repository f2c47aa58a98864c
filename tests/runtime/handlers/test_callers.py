"""The caller of an actor that a handler calls is the worker."""

import pytest

from tests.support.sandbox import running


@pytest.mark.parametrize(
    "kind",
    ["on_trio", "on_asyncio", "in_a_thread", pytest.param("by_a_class", marks=pytest.mark.slow)],
)
async def test_an_actor_called_by_a_handler_sees_the_worker_as_caller(kind: str) -> None:
    async with running(f"asking.{kind}") as sandbox:
        assert await sandbox.ask() == "/function/lambda/workers/worker-0"
