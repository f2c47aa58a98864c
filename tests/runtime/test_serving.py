"""Functions of all kinds in a real process on the local Lambda."""

import json
import os
from pathlib import Path

import pytest

from runtime.local import RuntimeApi
from tests.runtime.sandbox import ROOT, running


@pytest.mark.parametrize("handler", ["app.asynchronous", "app.plain"])
async def test_what_a_handler_raises_is_its_answer_and_the_process_goes_on(handler: str) -> None:
    async with running(handler) as sandbox:
        pid = (await sandbox.ask())["pid"]
        assert pid == sandbox.pid

        for what, kind in (("raise", "ValueError"), ("exit", "SystemExit")):
            result = await sandbox.invoke({"do": what})
            assert result.function_error == "Unhandled"
            assert json.loads(result.payload)["errorType"] == kind
            assert (await sandbox.ask())["pid"] == pid
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []


async def test_a_sys_exit_in_a_group_is_an_error_like_any_other() -> None:
    async with running("app.asynchronous") as sandbox:
        told = await sandbox.do("group")

        assert told["errorType"] == "BaseExceptionGroup"
        assert any("SystemExit: 4" in entry for entry in told["stackTrace"])
        assert (await sandbox.ask())["pid"] == sandbox.pid
        assert sandbox.function.starts == 1


GROUPS = """
class Whole(ExceptionGroup):
    def derive(self, _):
        raise LookupError("derive")

async def handler(event, context):
    raise Whole("no", [ValueError(1), KeyError(2)])
"""


async def test_a_group_of_one_s_own_class_that_cannot_be_made_anew_is_told_as_it_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(GROUPS)
    async with running("app.handler", task_root=tmp_path) as sandbox:
        told = await sandbox.ask()

        assert told["errorType"] == "Whole"
        assert "derive" not in json.dumps(told)


async def test_a_handler_s_tree_keeps_its_state_over_what_happens_to_the_handler() -> None:
    async with running("tree.function") as sandbox:
        first = await sandbox.ask({"name": "a"})
        assert first == {"name": "a", "visit": 1, "served": 1, "pid": sandbox.pid}

        assert (await sandbox.ask({"name": "a", "do": "raise"}))["errorType"] == "ValueError"
        assert (await sandbox.ask({"name": "a", "do": "exit"}))["errorType"] == "SystemExit"
        assert (await sandbox.ask({"name": "a", "do": "crash beside"}))["errorType"] == (
            "LookupError"
        )
        assert (await sandbox.ask({"nam": "a"}))["errorType"] == "Runtime.UnmarshalError"
        last = await sandbox.ask({"name": "b"})

        assert (last["visit"], last["pid"]) == (2, first["pid"])
        assert sandbox.said("beside ends") == 3


async def test_a_server_that_crashes_is_restarted_afresh_under_its_name() -> None:
    async with running("tree.function") as sandbox:
        await sandbox.ask({"name": "a"})

        crashed = await sandbox.ask({"name": "a", "do": "crash the server"})
        after = await sandbox.ask({"name": "a"})

        assert crashed["errorType"] in ("ActorExited", "NoProcess")
        assert (after["visit"], after["pid"]) == (1, sandbox.pid)
        assert sandbox.function.starts == 1


async def test_beside_children_a_plain_def_runs_in_a_thread() -> None:
    async with running("tree.plain") as sandbox:
        assert await sandbox.ask() == {"pid": sandbox.pid, "main": False}


async def test_an_async_def_that_needs_asyncio_is_told_so() -> None:
    async with running("official.needs_a_loop") as sandbox:
        told = await sandbox.ask()

        assert told["errorType"] == "RuntimeError"
        assert "the handler needs asyncio, and okibi runs it on trio" in told["errorMessage"]


@pytest.mark.parametrize("taken", [False, True], ids=["closed", "another file's since"])
async def test_a_connection_that_the_function_has_closed_does_not_hang_its_event(
    taken: bool,
) -> None:
    async with running("closes.handler", timeout=60) as sandbox:
        before = await sandbox.ask({})
        told = await sandbox.ask({"taken": taken})

        assert told["errorType"] == "Runtime.ExitError"
        assert await sandbox.ask({}) != before
        assert sandbox.function.starts == 2


async def test_events_and_answers_of_any_size() -> None:
    async with running("app.asynchronous") as sandbox:
        for size in (20, 3_000, 1_000_000, 6_000_000):
            event = {"text": "x" * size}
            assert (await sandbox.ask(event))["event"] == event


HOLDS_ALL = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []

def handler(event, context):
    try:
        while event["do"] == "hold":
            held.append(open("/dev/null"))
    except OSError:
        return len(held)
    if event["do"] == "raise":
        raise ValueError("x" * 80_000)
    return "x" * event["size"]
"""


@pytest.mark.parametrize(
    "event",
    [
        {"do": "answer", "size": 100_000},
        {"do": "answer", "size": 0, "more": "x" * 200_000},
        {"do": "raise"},
    ],
)
async def test_a_handler_that_has_left_no_descriptor_is_served_whatever_the_size(
    event: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(HOLDS_ALL)
    async with running("app.handler", task_root=tmp_path) as sandbox:
        assert await sandbox.ask({"do": "hold"}) > 0

        told = await sandbox.invoke(event)

        assert told.error_type == (None if event["do"] == "answer" else "Function.ValueError")
        assert await sandbox.ask({"do": "answer", "size": 1}) == "x"
        assert sandbox.function.starts == 1


async def test_an_answer_that_is_too_large_costs_its_own_invocation_only() -> None:
    async with running("odd.huge") as sandbox:
        told = await sandbox.ask({"size": 6_291_557})

        assert told["errorType"] == "Function.ResponseSizeTooLarge"
        assert await sandbox.ask({"size": 10}) == "x" * 10
        assert sandbox.function.starts == 1


async def test_pipelining_can_be_turned_off() -> None:
    async with running("app.plain", environment={"OKIBI_PIPELINE": "0"}) as sandbox:
        for n in range(5):
            assert (await sandbox.ask({"n": n}))["event"] == {"n": n}
        assert (await sandbox.do("raise"))["errorType"] == "ValueError"
        assert sandbox.function.journal.refusals() == []
        assert sandbox.said("no longer sends") == 0


async def test_a_server_that_closes_after_each_answer_turns_the_lane_sequential_once() -> None:
    async with running("app.plain", api=RuntimeApi(keep_alive=False)) as sandbox:
        for n in range(5):
            assert (await sandbox.ask({"n": n}))["event"] == {"n": n}

        assert sandbox.said("no longer sends the next request with an answer") == 1
        assert sandbox.function.starts == 1


async def test_empty_headers_are_absent_ones() -> None:
    async with running("context.told", api=RuntimeApi(empty_headers=True)) as sandbox:
        told = await sandbox.ask()

        assert told["custom"] is None
        assert told["name"] == "function"
        assert told["version"] == "$LATEST"
        assert told["memory"] == "128"


# -- what user code may be called


async def test_modules_named_like_the_standard_library_s_break_nothing_of_okibi_s(
    tmp_path: Path,
) -> None:
    for name in ("http", "email", "token", "queue", "random", "select", "tokenize", "stringprep"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "app.py").write_text(
        "import os\ndef handler(event, context):\n    return 1 / event['n']\n"
    )
    async with running("app.handler", task_root=tmp_path) as sandbox:
        assert await sandbox.ask({"n": 1}) == 1.0
        told = await sandbox.ask({"n": 0})

        assert told["errorType"] == "ZeroDivisionError"
        assert "return 1 / event['n']" in told["stackTrace"][-1]
        assert await sandbox.ask({"n": 2}) == 0.5
        assert sandbox.function.starts == 1


async def test_a_module_with_a_name_of_okibi_s_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "actors.py").write_text("")
    (tmp_path / "app.py").write_text("handler = print")
    async with running("app.handler", task_root=tmp_path) as sandbox:
        told = await sandbox.ask()

        assert told["errorType"] == "Runtime.ModuleNameConflict"
        assert f"{tmp_path}/actors.py" in told["errorMessage"]


async def test_okibi_vendored_into_the_task_root_serves(tmp_path: Path) -> None:
    for name in ("actors", "supervisors", "runtime"):
        os.symlink(ROOT / name, tmp_path / name)
    (tmp_path / "app.py").write_text(
        "import runtime\ndef handler(event, context):\n    return runtime.__file__\n"
    )
    inside = {"PYTHONPATH": str(tmp_path)}
    async with running("app.handler", task_root=tmp_path, environment=inside) as sandbox:
        assert Path(await sandbox.ask()).parent == tmp_path / "runtime"
