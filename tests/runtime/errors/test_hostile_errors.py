"""An exception whose own methods raise is answered as any other."""

import json

import pytest

from tests.support.sandbox import running


@pytest.mark.parametrize(
    "handler", ["hostile.handler", pytest.param("hostile.plain", marks=pytest.mark.slow)]
)
async def test_a_hostile_exception_is_answered_and_the_process_serves_on(handler: str) -> None:
    async with running(handler) as sandbox:
        for kind in ("Nameless", "Mute", "Closed", "ClosedGroup"):
            told = await sandbox.ask({"raise": kind})
            assert told["errorType"] == kind
            assert await sandbox.ask() == "served"
        told = await sandbox.ask({"raise": "Long"})
        assert len(told["errorMessage"]) == 65_536 + len(" [cut]")
        assert sandbox.function.starts == 1

    assert sum(map(len, sandbox.lines)) < 200_000


@pytest.mark.slow
async def test_a_hostile_exception_in_init_is_an_init_error() -> None:
    async with running("hostile.unready") as sandbox:
        result = await sandbox.invoke()

    assert json.loads(result.payload)["errorType"] == "Closed"
    assert "unready did not start" in json.loads(result.payload)["errorMessage"]
