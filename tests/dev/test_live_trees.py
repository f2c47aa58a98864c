"""The trees of the sandboxes of `okibi dev`, also of frozen and busy ones."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from okibi.dev.dev_function import DevFunction
from okibi.dev.live_trees import TREE_PATH, LiveTrees
from okibi.dev.sandbox_pool import SandboxPool, open_sandbox_pool
from okibi.local import FunctionSettings, Invocation
from okibi.local.invoke_api.invoke_errors import InvokeError
from tests.limits import HANG

APP = """
from okibi import Child, Function, Name, Server

class Visits(Server):
    async def visit(self, number: int) -> float:
        return 1 / number

VISITS = Name("visits", Visits)

async def handler(event, context):
    try:
        await VISITS.call(Visits.visit, 0)
    except Exception:
        await VISITS.wait()

function = Function(handler, children=[Child(Visits, name=VISITS)])
"""


@pytest.fixture
def function(tmp_path: Path) -> DevFunction:
    """A function whose actor crashes at each event."""
    (tmp_path / "app.py").write_text(APP)
    return DevFunction(FunctionSettings("app.function", name="visits", task_root=tmp_path))


@asynccontextmanager
async def opened(function: DevFunction) -> AsyncIterator[tuple[SandboxPool, LiveTrees]]:
    with trio.fail_after(HANG):
        async with open_sandbox_pool(function) as pool:
            yield pool, LiveTrees({function.settings.name: pool})


async def get(trees: LiveTrees, query: bytes = b"", method: str = "GET") -> Any:
    """Send one request to the ASGI application."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": TREE_PATH, "query_string": query}
    await trees(scope, receive, send)
    assert sent[0]["status"] == 200
    return json.loads(sent[1]["body"])


def state(pid: int) -> str:
    """The state of a process, such as T for stopped."""
    return Path(f"/proc/{pid}/status").read_text().partition("\nState:\t")[2][0]


async def test_a_frozen_sandbox_shows_its_tree_and_stays_frozen(function: DevFunction) -> None:
    async with opened(function) as (pool, trees):
        await pool.run_invocation(Invocation(b"{}", timeout=HANG))
        (sandbox,) = pool.sandboxes
        while not sandbox.frozen:
            await trio.testing.wait_all_tasks_blocked(0.01)

        (found,) = await get(trees, b"function=visits")

        assert (found["function"], found["sandbox"], found["error"]) == ("visits", 1, "")
        assert (found["pid"], found["frozen"]) == (sandbox.pid, True)
        (children, _) = found["tree"]["children"]
        (visits,) = children["children"]
        assert (visits["path"], visits["incarnation"]) == ("/function/children/visits", 2)
        assert isinstance(visits["age"], float)
        while state(found["pid"]) != "T":
            await trio.lowlevel.checkpoint()


async def test_after_a_look_the_sandbox_takes_events_as_before(function: DevFunction) -> None:
    async with opened(function) as (pool, trees):
        for _ in range(3):
            result = await pool.run_invocation(Invocation(b"{}", timeout=HANG))
            await trees.read("visits")

        assert result.error_type is None
        assert len(pool.sandboxes) == 1


async def test_a_function_is_found_by_its_handler_too(function: DevFunction) -> None:
    async with opened(function) as (_, trees):
        (found,) = await get(trees, b"function=app.function")

    assert found["function"] == "visits"


async def test_a_function_without_sandboxes_has_no_tree(function: DevFunction) -> None:
    async with opened(attrs.evolve(function, reserved_concurrency=0)) as (_, trees):
        assert await get(trees) == []


async def test_a_command_of_the_users_has_no_tree(tmp_path: Path) -> None:
    script = "import time; time.sleep(1000)"
    settings = FunctionSettings(
        "app.function", name="own", command=(sys.executable, "-c", script), task_root=tmp_path
    )
    async with opened(DevFunction(settings)) as (pool, trees):
        (sandbox,) = pool.sandboxes
        while sandbox.pid is None:
            await trio.testing.wait_all_tasks_blocked(0.01)

        (found,) = await get(trees)

        assert found["tree"] is None
        assert found["error"] == "the process has no tree that can be looked at now"
        os.kill(sandbox.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("method", "query", "status"), [("POST", b"", 405), ("GET", b"function=other", 404)]
)
async def test_a_wrong_request_is_refused(
    function: DevFunction, method: str, query: bytes, status: int
) -> None:
    async with opened(attrs.evolve(function, reserved_concurrency=0)) as (_, trees):
        with pytest.raises(InvokeError) as refused:
            await get(trees, query, method)

    assert refused.value.status == status
