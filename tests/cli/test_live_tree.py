"""`okibi tree --live`: the trees of the sandboxes of a running `okibi dev`."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from okibi.cli.commands.tree import tree as tree_command
from okibi.dev.dev_function import DevFunction
from okibi.dev.dev_server import DevServer, DevServerOptions, open_dev_server
from okibi.local import FunctionSettings
from tests.limits import HANG

APP = """
from okibi import Child, Function, Name, Server

class Visits(Server):
    async def visit(self) -> None:
        raise OSError("disk full")

VISITS = Name("visits", Visits)

async def handler(event, context):
    try:
        await VISITS.call(Visits.visit)
    except Exception:
        await VISITS.wait()

function = Function(handler, children=[Child(Visits, name=VISITS)])
"""


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[DevServer]:
    """Serve a function whose actor has crashed once."""
    (folder / "app.py").write_text(APP)
    function = DevFunction(FunctionSettings("app.function", name="visits", task_root=folder))
    with trio.fail_after(HANG):
        async with (
            open_dev_server([function], DevServerOptions(port=0)) as server,
            httpx.AsyncClient(trust_env=False, timeout=HANG) as client,
        ):
            await client.post(server.invoke_url("visits"), content=b"{}")
            yield server


async def tree(server: DevServer, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `okibi tree --live` in a process of its own."""
    command = [sys.executable, "-m", "okibi.cli", "tree", "--live", "--port", str(server.port)]
    return await trio.run_process(
        [*command, *arguments], capture_stdout=True, capture_stderr=True, check=False
    )


async def test_the_trees_of_a_running_okibi_dev_are_printed(tmp_path: Path) -> None:
    async with opened(tmp_path) as server:
        text = await tree(server)

    assert (text.returncode, text.stderr) == (0, b"")
    lines = text.stdout.decode().splitlines()
    assert lines[0].startswith("visits, sandbox 1 (process ")
    assert lines[1].startswith("function, running for ")
    (visits,) = [line for line in lines if "visits (Visits)" in line]
    assert visits.startswith("│  └─ visits (Visits), running for ")
    assert visits.endswith(" s, restarted 1 x")


@pytest.mark.slow
async def test_the_tree_of_one_function_is_printed_as_json(tmp_path: Path) -> None:
    async with opened(tmp_path) as server:
        as_json = await tree(server, "visits", "--json")
        unknown = await tree(server, "other")

    (sandbox,) = json.loads(as_json.stdout)
    assert sandbox["tree"]["children"][0]["children"][0]["incarnation"] == 2
    assert (unknown.returncode, unknown.stderr) == (
        2,
        b"okibi: no function 'other': okibi dev serves visits\n",
    )


async def test_a_web_page_cannot_read_the_trees(tmp_path: Path) -> None:
    async with opened(tmp_path) as server, httpx.AsyncClient(trust_env=False) as client:
        url = f"{server.url}/okibi/tree"
        origin = await client.get(url, headers={"Origin": "http://evil.example"})
        host = await client.get(url, headers={"Host": "evil.example"})

    assert (origin.status_code, host.status_code) == (403, 403)


def test_a_port_without_okibi_dev_is_bad_input(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert tree_command(live=True, port=port) == 2
    assert f"okibi dev does not answer on port {port} (" in capfd.readouterr().err
