"""`python -m okibi.runtime.observed`: a function whose tree can be looked at from outside."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.local import FunctionSettings, LocalLambda, open_local_lambda

APP = """
import os, sys, time
from okibi import Child, Function, Name, Server

class Visits(Server):
    async def visit(self, crash: bool) -> int:
        return 1 // (not crash)

VISITS = Name("visits", Visits)

async def handler(event, context):
    if "hold" in event:
        print("holds", flush=True)
        while os.path.exists(event["hold"]):
            time.sleep(0.01)
    if "crash" in event:
        try:
            await VISITS.call(Visits.visit, True)
        except Exception:
            await VISITS.wait()
    return [len(sys.argv), hasattr(sys.modules["__main__"], "bootstrap")]

function = Function(handler, children=[Child(Visits, name=VISITS)])
"""


@pytest.fixture
def settings(tmp_path: Path) -> FunctionSettings:
    """A function whose sandbox answers on a socket in the folder `sockets`."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "sockets").mkdir()
    return FunctionSettings(
        "app.function",
        command=(sys.executable, "-P", "-m", "okibi.runtime.observed", str(tmp_path / "sockets")),
        task_root=tmp_path,
    )


async def look(function: LocalLambda) -> dict[str, Any]:
    """Read the tree of the running sandbox."""
    folder = Path(function.settings.command[-1])
    with trio.fail_after(10):
        async with await trio.open_unix_socket(folder / str(function.pid)) as stream:
            pieces = [piece async for piece in stream]
    tree = json.loads(b"".join(pieces))
    assert isinstance(tree, dict)
    return tree


def find(tree: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the actor of a path."""
    if tree["path"] == path:
        return tree
    (below,) = [each for each in tree["children"] if f"{path}/".startswith(f"{each['path']}/")]
    return find(below, path)


async def test_the_tree_has_states_restarts_and_ages(settings: FunctionSettings) -> None:
    async with open_local_lambda(settings) as function:
        result = await function.invoke(b'{"crash": true}')
        tree = await look(function)

    # The function sees an ordinary sandbox.
    assert result.payload == b"[1, true]"
    assert tree["path"] == "/function"
    assert [child["path"] for child in tree["children"]] == [
        "/function/children",
        "/function/lambda",
    ]
    visits = find(tree, "/function/children/visits")
    assert (visits["actor"], visits["phase"], visits["incarnation"]) == ("Visits", "running", 2)
    assert visits["age"] >= 0
    assert find(tree, "/function/lambda/workers/worker-0")["actor"] == "Worker"


async def test_a_tree_whose_loop_is_stuck_is_seen_without_ages(
    settings: FunctionSettings, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    held.touch()
    holds = trio.Event()

    def note(line: str) -> None:
        if line == "holds":
            holds.set()

    async with open_local_lambda(settings, output=note) as function, trio.open_nursery() as nursery:
        nursery.start_soon(function.invoke, json.dumps({"hold": str(held)}).encode())
        with trio.fail_after(10):
            await holds.wait()
        tree = await look(function)
        held.unlink()

    workers = find(tree, "/function/lambda/workers")["children"]
    assert len([worker for worker in workers if "app.py:" in worker["line"]]) == 1
    assert (tree["age"], workers[0]["age"]) == (None, None)


@pytest.mark.slow
async def test_without_the_folder_the_function_is_served_as_usual(
    settings: FunctionSettings, tmp_path: Path
) -> None:
    (tmp_path / "sockets").rmdir()

    async with open_local_lambda(settings) as function:
        result = await function.invoke(b"{}")

    assert result.error_type is None
