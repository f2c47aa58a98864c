"""The example of an MCP server, as a client of MCP calls it."""

import json
from pathlib import Path
from typing import Any

import pytest

from examples.mcp.app import app as application
from okibi import Function
from okibi.testing import running, sample_event, sandbox, virtual_time
from okibi.web import ASGI

FOLDER = Path(__file__).parents[2] / "examples" / "mcp"
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


def request(method: str, **params: Any) -> dict[str, Any]:
    """The event of a request of MCP."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return sample_event(
        "function-url", method="POST", path="/mcp", headers=HEADERS, body=json.dumps(message)
    )


def result(answer: Any) -> Any:
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])["result"]


@virtual_time
async def test_each_event_after_the_first_is_served_by_the_same_session_manager() -> None:
    async with running(Function(ASGI(application))) as app:
        started = result(await app.invoke(request("initialize", **INITIALIZE)))
        listed = result(await app.invoke(request("tools/list")))
        called = result(await app.invoke(request("tools/call", name="find_warmest", arguments={})))

    assert started["serverInfo"]["name"] == "weather"
    assert [tool["name"] for tool in listed["tools"]] == ["read_temperature", "find_warmest"]
    assert called["structuredContent"] == {"result": "Nairobi"}


@pytest.mark.slow
def test_a_real_sandbox_serves_the_server() -> None:
    oslo = request("tools/call", name="read_temperature", arguments={"city": "Oslo"})

    with sandbox("app.app", task_root=FOLDER, timeout=30) as box:
        answers = [result(box.invoke(oslo))["structuredContent"] for _ in range(3)]

    assert answers == [{"result": 3.5}] * 3
