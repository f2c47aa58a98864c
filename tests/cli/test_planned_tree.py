"""`okibi tree`: the tree that a start would build, as text and as JSON."""

import json
from pathlib import Path

import pytest
import trio

from okibi.actors import Ref, Server
from okibi.cli.commands.tree import tree
from okibi.cli.planned_tree import draw_tree
from okibi.project.probe.static_tree import TreeNode, find_nodes
from okibi.supervisors import (
    Child,
    PartitionSupervisorSpec,
    Snapshot,
    SupervisorSpec,
    snapshot,
    supervise,
)

APP = """
from okibi import Child, Function, Name, Restart, Server, Strategy, SupervisorSpec
from okibi.supervisors import DynamicSupervisorSpec

class Visits(Server): ...

def make() -> Visits:
    return Visits()

async def handler(event, context): ...

storage = SupervisorSpec(
    [Child(make, id="pool", name=Name("the pool", Visits)), Child(DynamicSupervisorSpec())],
    strategy=Strategy.REST_FOR_ONE, intensity=1, period=10,
)
function = Function(
    handler,
    children=[
        Child(storage, id="storage", restart=Restart.TRANSIENT),
        Child(Visits, restart=Restart.TEMPORARY),
    ],
)
"""
TEXT = """\
function, one_for_one, at most 1 restart in 5 s
├─ children, one_for_one, restarts 3 x at once, then after delays of 1 to 30 s
│  ├─ storage, rest_for_one, at most 1 restart in 10 s, transient
│  │  ├─ pool (Visits), permanent, name 'the pool'
│  │  └─ dynamic (DynamicSupervisor), children start while it runs, at most 3 restarts in 5 s
│  └─ Visits (Visits), temporary
└─ lambda, one_for_one, at most 5 restarts in 5 s
   ├─ clock (FreezeDetector), permanent
   ├─ responder-0 (Responder), permanent, name 'lambda.responder.0'
   ├─ workers, one_for_one, at most 5 restarts in 5 s
   │  ├─ worker-0 (Worker), permanent
   │  └─ worker-1 (Worker), permanent
   ├─ dispatcher (Dispatcher), permanent, name 'lambda.dispatcher'
   ├─ extension (InternalExtension), permanent
   └─ poller-0 (Poller), permanent
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a function, as the current folder."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_text_has_the_users_actors_and_okibis(capfd: pytest.CaptureFixture[str]) -> None:
    assert tree("app.function") == 0
    assert capfd.readouterr() == (TEXT, "")


SHOP = """
from okibi import Application, Child, Function, SupervisorSpec
from okibi.resource import Resource

async def connect(): ...

async def handler(event, context): ...

DATABASE = Resource(connect, name="database")
shop = Application("shop", SupervisorSpec([Child(DATABASE)]))
function = Function(handler, applications=[shop])
"""


def test_applications_are_part_of_the_tree(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "shop.py").write_text(SHOP)

    assert tree("shop.function") == 0
    assert capfd.readouterr().out.splitlines()[1:5] == [
        "├─ applications (ApplicationController)",
        "│  └─ shop (ApplicationMaster)",
        "│     └─ supervisor, one_for_one, at most 3 restarts in 5 s",
        "│        └─ database (Resource), permanent",
    ]


@pytest.mark.slow
def test_json_has_the_same_tree(capfd: pytest.CaptureFixture[str]) -> None:
    assert tree("app.function", json=True) == 0

    root = json.loads(capfd.readouterr().out)
    assert root["path"] == "/function"
    pool = root["children"][0]["children"][0]["children"][0]
    assert pool == {
        "path": "/function/children/storage/pool",
        "kind": "worker",
        "actor": "Visits",
        "name": "the pool",
        "restart": "permanent",
        "shutdown": "5.0",
        "strategy": "",
        "intensity": None,
        "period": None,
        "backoff": None,
        "children": [],
    }


@pytest.mark.slow
def test_a_project_function_has_the_tree_of_its_own_settings(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "pyproject.toml").write_text("""
[tool.okibi.functions.many]
handler = "app.handler"
memory = 2048
environment = {OKIBI_GRACEFUL_SHUTDOWN = "0", OKIBI_LOOP = "asyncio"}
[tool.okibi.functions.many.capacity_provider]
arn = "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:mine"
concurrency = 2
""")

    assert tree(None) == 0, capfd.readouterr().err
    text = capfd.readouterr().out
    assert "extension" not in text
    assert "└─ loop (LoopActor), permanent" in text
    assert "│  └─ responder-1 (Responder), permanent" in text
    assert "│  └─ worker-2 (Worker), permanent" in text


@pytest.mark.slow
def test_a_function_that_does_not_load_has_no_tree(capfd: pytest.CaptureFixture[str]) -> None:
    assert tree("app.missing") == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "Handler 'missing' missing on module 'app'" in err


def test_bad_input_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert tree("app") == 2
    assert "a handler is written as in app.handler" in capfd.readouterr().err


def test_a_large_supervisor_is_cut_after_20_children() -> None:
    children = [TreeNode(f"/many/{n}", "worker", "Pool", restart="permanent") for n in range(23)]
    root = TreeNode("/many", "supervisor", "PartitionSupervisor", children=children)

    assert draw_tree(root).splitlines()[20:] == ["├─ 19 (Pool), permanent", "└─ … and 3 more"]


class Pool(Server): ...


USERS = SupervisorSpec(
    [
        Child(Pool),
        Child(PartitionSupervisorSpec(Child(Pool), partitions=2)),
        Child(SupervisorSpec([Child(Pool)]), id="inner"),
    ]
)


def _paths(root: Snapshot | TreeNode) -> list[tuple[str, str]]:
    return [(root.path, root.actor), *(each for child in root.children for each in _paths(child))]


async def test_the_paths_and_classes_are_those_of_the_running_tree() -> None:
    async with trio.open_nursery() as nursery:
        top: Ref[object] = await supervise(nursery, USERS, path="/function")
        running = snapshot(top)
        top.stop()

    assert _paths(find_nodes(USERS)) == _paths(running)
