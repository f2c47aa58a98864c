"""Vendors' telemetry in real processes, first that of a handler or layer set by variables alone.

`python -m tests.telemetry.vendors` prints the whole table, with AWS's own client.
"""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import running
from tests.support.servers import free_port
from tests.support.span_receiver import receiving
from tests.support.vendors import (
    BY_VARIABLES,
    CASES,
    KINDS,
    VENDORS,
    Served,
    find_faults,
    find_mixed,
    find_waits,
    is_slow_without_receiver,
    serving,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *product(BY_VARIABLES, KINDS),
        # Their own tests have each kind.
        ("Sentry", "Function"),
        ("Powertools", "Function"),
    ],
)
async def test_a_span_is_right_for_each_outcome(name: str, kind: str, tmp_path: Path) -> None:
    # A `def` stays behind the vendor's handler, which does not know okibi's deadline.
    cases = ("success", "exception") if kind == "def" else CASES
    with VENDORS[name].receiving() as receiver:
        async with serving(VENDORS[name], kind, receiver, tmp_path) as served:
            # The table has 5 % without more.
            faults = {case: await find_faults(served, kind, case, slack=0.2) for case in cases}

    assert faults == {case: [] for case in cases}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "Function", "asyncio"])
@pytest.mark.parametrize("name", BY_VARIABLES)
async def test_sixteen_at_once_are_never_mixed(name: str, kind: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with serving(
            VENDORS[name], kind, receiver, tmp_path, timeout=60.0, max_concurrency=16
        ) as served:
            assert await find_mixed(served) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_VARIABLES)
async def test_no_answer_waits_for_a_receiver(name: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with serving(VENDORS[name], "Function", receiver, tmp_path, timeout=60.0) as served:
            assert await find_waits(served) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_VARIABLES)
async def test_no_answer_waits_for_an_absent_receiver(name: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.url = f"http://127.0.0.1:{free_port()}"
        async with serving(VENDORS[name], "Function", receiver, tmp_path, timeout=60.0) as served:
            assert not await is_slow_without_receiver(served)


BY_HAND = """
from ddtrace.trace import tracer
from okibi import Child, Function, Server
from okibi.telemetry.datadog import trace_events

trace_events()

class Beside(Server): ...

async def handler(event, context):
    with tracer.trace("body", resource=context.aws_request_id):
        return event.get("answer")

function = Function(handler, [Child(Beside)])
"""


@pytest.mark.slow
async def test_a_function_traces_its_events_for_datadog(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BY_HAND)
    with receiving() as receiver:
        _, _, variables = VENDORS["Datadog"].serve(
            "def", receiver.url.removesuffix("/v1/traces"), tmp_path
        )
        del variables["DD_LAMBDA_HANDLER"]
        async with running(
            "app.function",
            task_root=tmp_path,
            environment={"AWS_REGION": "eu-central-1", **variables},
        ) as sandbox:
            served = Served(VENDORS["Datadog"], sandbox, receiver)
            answers: list[Any] = [{"statusCode": 503}, {"statusCode": 404}, None]
            found = [await served.wait_for(await served.invoke(answer=each)) for each in answers]
            web = [each.event for each in found if each is not None]
            other = (await sandbox.invoke({})).request_id
            not_web = await served.wait_for(other)

    assert [(s.error, s.attributes["http.status_code"]) for s in web] == [
        (True, "503"), (False, "404"), (False, "200"),
    ]  # fmt: skip
    assert not_web is not None
    assert not not_web.event.error
    assert not_web.body is not None
    assert not_web.body.parent_id == not_web.event.span_id
