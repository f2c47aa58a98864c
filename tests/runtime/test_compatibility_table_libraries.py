"""Rows of docs/compatibility.md about libraries that wrap the handler: each with the library."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.packaging.resolve import find_uv
from tests.support.sandbox import ROOT, Running, running

ASYNCIO = {"OKIBI_LOOP": "asyncio", "AWS_XRAY_CONTEXT_MISSING": "IGNORE_ERROR"}


def served(name: str, **environment: str) -> Any:
    """Serve a handler of Powertools' on asyncio."""
    return running(f"with_powertools.{name}", environment={**ASYNCIO, **environment})


async def warnings(sandbox: Running) -> list[str]:
    """Return the warnings of the start, without level, time and id."""
    await sandbox.function.wait_for_report()
    return [line.rstrip().split("\t")[-1] for line in sandbox.lines if "[WARNING]" in line]


async def refusal(handler: str) -> str:
    """Return the text of an init error."""
    async with running(handler, environment=ASYNCIO) as sandbox:
        told = await sandbox.ask()
    assert told["errorType"] == "SpecError"
    return str(told["errorMessage"])


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("logged", "dict"),
        pytest.param("parsed", "Order", marks=pytest.mark.slow),
        pytest.param("sourced", "SQSEvent", marks=pytest.mark.slow),
    ],
)
async def test_powertools_logger_parser_and_event_source(name: str, event: str) -> None:
    async with served(name) as sandbox:
        assert (await sandbox.ask({"name": "bob", "Records": []}))["event"] == event
        assert await warnings(sandbox) == []
        (line,) = [json.loads(line) for line in sandbox.lines if "in the handler" in line]

    assert ("function_request_id" in line) is (name == "logged")


@pytest.mark.slow
async def test_powertools_tracer() -> None:
    async with served("traced") as traced, served("traced_as_method") as as_method:
        assert (await traced.ask())["segment"] is None
        assert (await as_method.ask())["segment"] == "## with_powertools.handle"

        (warning,) = await warnings(traced)
        assert "capture_lambda_handler traces nothing" in warning
        assert warning.endswith("use capture_method")
        assert await warnings(as_method) == []


@pytest.mark.slow
async def test_powertools_metrics() -> None:
    async def sent(sandbox: Running) -> list[float]:
        """Ask twice; return the metrics that were sent before the second event's end."""
        for orders in (1, 2):
            await sandbox.ask({"orders": orders})
        await sandbox.function.wait_for_report()
        lines = [json.loads(line) for line in sandbox.lines if '"CloudWatchMetrics"' in line]
        return [each for line in lines for each in line["orders"]]

    async with served("measured") as measured, served("flush") as flushed:
        assert await sent(measured) == [1]
        assert await sent(flushed) == [1, 2]
        (warning,) = await warnings(measured)

    assert warning.endswith("call metrics.flush_metrics() at the end of the handler")


@pytest.mark.slow
async def test_powertools_middleware() -> None:
    async def order(sandbox: Running) -> list[str]:
        await sandbox.ask()
        await sandbox.function.wait_for_report()
        said = [line.rstrip() for line in sandbox.lines]
        return [line for line in said if line in ("before", "inside", "after")]

    async with served("wrapped") as wrapped, served("wrapped_by_async_def") as awaits:
        assert await order(wrapped) == ["before", "after", "inside"]
        assert await order(awaits) == ["before", "inside", "after"]
        (warning,) = await warnings(wrapped)
        assert "write `async def around(handler, event, context)`" in warning
        assert await warnings(awaits) == []


@pytest.mark.slow
async def test_powertools_validator() -> None:
    assert "call validate(event=result, schema=...)" in await refusal(
        "with_powertools.checked_after"
    )
    async with served("function") as before, served("check") as inside:
        assert (await before.ask({"name": "bob"}))["event"] == "dict"
        assert (await before.ask({}))["errorType"] == "SchemaValidationError"
        assert await inside.ask({"name": "bob"}) == "bob"
        assert await warnings(before) == []


@pytest.mark.slow
async def test_powertools_idempotency() -> None:
    assert "idempotent_function, and call that in a thread" in await refusal(
        "with_idempotency.around"
    )
    async with running("with_idempotency.in_thread", environment=ASYNCIO) as sandbox:
        assert [await sandbox.ask({"id": number}) for number in (1, 1, 2)] == [1, 1, 2]


@pytest.mark.slow
async def test_powertools_on_a_handler_class() -> None:
    words = await refusal("with_powertools.Orders")

    assert "a decorator of aws_lambda_powertools.logging.logger makes it a plain `def`" in words


@pytest.mark.slow
async def test_powertools_around_a_decorator_that_runs_the_async_def() -> None:
    async with served("traced_run", OKIBI_LOOP="") as sandbox:
        assert (await sandbox.ask())["segment"] == "## run"
        assert await warnings(sandbox) == []


@pytest.mark.slow
async def test_datadog_around_a_function(tmp_path: Path) -> None:
    # Not a requirement of all tests: with ddtrace it has 60 MB.
    await trio.run_process(
        [find_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", tmp_path,
         "datadog-lambda"],
    )  # fmt: skip
    datadog = {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "AWS_REGION": "eu-central-1",
        "DD_API_KEY": "none", "DD_LAMBDA_HANDLER": "with_actor.function",
    }  # fmt: skip
    async with running("datadog_lambda.handler.handler", environment=datadog) as sandbox:
        told = await sandbox.ask()
        assert told["errorType"] == "Runtime.HandlerWrapperConflict"
        assert "set the handler setting to with_actor.function" in told["errorMessage"]

    datadog["DD_TRACE_AWS_LAMBDA_ENABLED"] = "false"
    async with running("with_actor.wrapped", environment=datadog) as sandbox:
        assert await sandbox.ask() == "on"
        assert sandbox.said("aws.lambda.enhanced.invocations") == 1
