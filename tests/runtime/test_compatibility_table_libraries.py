"""Rows of docs/compatibility.md about libraries that wrap the handler: each with the library."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import trio

from okibi.local import FunctionSettings, open_local_lambda
from okibi.packaging.resolve import find_uv
from tests.limits import HANG
from tests.support.sandbox import COMMAND, FUNCTIONS, PYTHON, ROOT, Running, running
from tests.support.servers import free_port
from tests.support.side_by_side import skip_without_official
from tests.support.span_receiver import receiving
from tests.support.vendors import VENDORS, find_faults, serving

ASYNCIO = {"OKIBI_LOOP": "asyncio", "AWS_XRAY_CONTEXT_MISSING": "IGNORE_ERROR"}


async def install(folder: Path, *packages: str) -> None:
    """Install packages for one test."""
    await trio.run_process(
        [find_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", folder,
         *packages],
    )  # fmt: skip


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
        assert warning.endswith("call okibi.telemetry.powertools.observe(tracer=tracer) instead")
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

    assert warning.endswith("call okibi.telemetry.powertools.observe(metrics=metrics) instead")


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
    await check_span("Datadog", tmp_path)


@pytest.mark.slow
async def test_opentelemetry_s_layer_around_a_function(tmp_path: Path) -> None:
    await check_span("OpenTelemetry", tmp_path)


async def check_span(vendor: str, tmp_path: Path) -> None:
    """Check the span of a Function with a child (tests/telemetry/test_vendors.py has all kinds)."""
    with receiving() as receiver:
        async with serving(VENDORS[vendor], "Function", receiver, tmp_path) as served:
            assert await find_faults(served, "Function", "success") == []


RUNNER = "from aws_durable_execution_sdk_python_testing.cli import main; main()"
OFFICIAL = (sys.executable, "-m", "awslambdaric", "durable.handler")


@pytest.mark.slow
@pytest.mark.parametrize("command", [COMMAND, pytest.param(OFFICIAL, marks=skip_without_official)])
async def test_aws_s_durable_sdk(command: tuple[str, ...], tmp_path: Path) -> None:
    """AWS's local runner is the backend, and invokes the function over the local Invoke API."""
    await install(tmp_path, "aws-durable-execution-sdk-python-testing")
    runner_port, invoke_port = free_port(), free_port()
    runner_url = f"http://127.0.0.1:{runner_port}"
    environment = {
        **PYTHON, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
        "AWS_ENDPOINT_URL_LAMBDA": runner_url, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
    }  # fmt: skip
    started = {
        "AccountId": "123456789012", "FunctionName": "function", "FunctionQualifier": "$LATEST",
        "ExecutionName": "orders", "InvocationId": "1", "Input": json.dumps({"orders": [1, 2]}),
        "ExecutionTimeoutSeconds": 60, "ExecutionRetentionPeriodDays": 1,
    }  # fmt: skip
    settings = FunctionSettings(
        "durable.handler", command=command, task_root=FUNCTIONS, environment=environment
    )
    runner = [
        *(sys.executable, "-c", RUNNER, "start-server", "--host", "127.0.0.1"),
        *("--port", f"{runner_port}", "--lambda-endpoint", f"http://127.0.0.1:{invoke_port}"),
    ]
    lines = list[str]()
    with trio.fail_after(HANG):
        async with (
            open_local_lambda(settings, invoke_port=invoke_port, output=lines.append),
            trio.open_nursery() as nursery,
            httpx.AsyncClient(
                base_url=runner_url, transport=httpx.AsyncHTTPTransport(retries=10)
            ) as client,
        ):
            nursery.start_soon(partial(trio.run_process, runner, env={**os.environ, **environment}))
            arn = (await client.post("/start-durable-execution", json=started)).json()
            path = f"/2025-12-01/durable-executions/{quote(arn['ExecutionArn'], safe='')}"
            while (told := (await client.get(path)).json())["Status"] == "RUNNING":  # noqa: ASYNC110, HTTP
                await trio.sleep(0.1)
            nursery.cancel_scope.cancel()

    assert told["Status"] == "SUCCEEDED"
    result = json.loads(told["Result"])
    # The wait suspends the execution: a second event, in the same process, finds the step's result.
    assert result == {"pids": [result["pids"][0]] * 2, "doubled": [2, 4]}
    assert sum(line.startswith("START") for line in lines) == 2
