"""Functions of all kinds in a real process on the local Lambda."""

import json
import os
from pathlib import Path

import pytest

from okibi.local import RuntimeApiOptions
from tests.support.sandbox import ROOT, running

RAISED = {"raise": "ValueError", "exit": "SystemExit"}


@pytest.mark.parametrize(
    ("handler", "raised"),
    [
        ("app.asynchronous", {**RAISED, "group": "BaseExceptionGroup"}),
        ("app.plain", RAISED),
    ],
)
async def test_an_error_of_a_handler_is_its_response_and_the_process_goes_on(
    handler: str, raised: dict[str, str]
) -> None:
    async with running(handler) as sandbox:
        pid = (await sandbox.ask())["pid"]
        assert pid == sandbox.pid

        for what, kind in raised.items():
            result = await sandbox.invoke({"do": what})
            assert result.function_error == "Unhandled"
            answer = json.loads(result.payload)
            assert answer["errorType"] == kind
            assert what != "group" or any("SystemExit: 4" in each for each in answer["stackTrace"])
            assert (await sandbox.ask())["pid"] == pid
        for size in (20, 3_000, 1_000_000, 6_000_000):
            event = {"text": "x" * size}
            assert (await sandbox.ask(event))["event"] == event
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []


async def test_a_server_keeps_its_state_when_a_handler_crashes() -> None:
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

        crashed = await sandbox.ask({"name": "a", "do": "crash the server"})
        after = await sandbox.ask({"name": "a"})

        assert crashed["errorType"] in ("ActorExited", "NoProcess")
        assert (after["visit"], after["pid"]) == (1, sandbox.pid)
        assert sandbox.function.starts == 1


@pytest.mark.slow
async def test_a_function_that_closes_okibi_s_socket_does_not_hang() -> None:
    async with running("closes.handler", timeout=60) as sandbox:
        before = await sandbox.ask({})
        # The descriptor is closed, or closed and reused for another file.
        for taken in (False, True):
            answer = await sandbox.ask({"taken": taken})

            assert answer["errorType"] == "Runtime.ExitError", taken
            after = await sandbox.ask({})
            assert after != before, taken
            before = after
        assert sandbox.function.starts == 3


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


@pytest.mark.slow
async def test_a_handler_that_uses_up_all_descriptors_is_served(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(HOLDS_ALL)
    async with running("app.handler", task_root=tmp_path) as sandbox:
        assert await sandbox.ask({"do": "hold"}) > 0

        events: list[tuple[dict[str, object], str | None]] = [
            ({"do": "raise"}, "Function.ValueError"),
            ({"do": "answer", "size": 100_000}, None),
            ({"do": "answer", "size": 0, "more": "x" * 200_000}, None),
        ]
        for event, error in events:
            result = await sandbox.invoke(event)
            assert result.error_type == error
            assert error is None or b"line 13, in handler" in result.payload
            assert await sandbox.ask({"do": "answer", "size": 1}) == "x"
        assert sandbox.function.starts == 1


async def test_a_response_that_is_too_large_fails_its_own_event_only() -> None:
    async with running("odd.huge") as sandbox:
        answer = await sandbox.ask({"size": 6_291_557})

        assert answer["errorType"] == "Function.ResponseSizeTooLarge"
        assert await sandbox.ask({"size": 10}) == "x" * 10
        assert sandbox.function.starts == 1


async def test_pipelining_can_be_turned_off() -> None:
    async with running("app.plain", environment={"OKIBI_PIPELINE": "0"}) as sandbox:
        for n in range(5):
            assert (await sandbox.ask({"n": n}))["event"] == {"n": n}
        assert (await sandbox.do("raise"))["errorType"] == "ValueError"
        assert sandbox.function.journal.refusals() == []
        assert sandbox.said("no longer sends") == 0


async def test_a_server_that_closes_after_each_response_ends_pipelining() -> None:
    async with running("app.plain", api=RuntimeApiOptions(keep_alive=False)) as sandbox:
        for n in range(5):
            assert (await sandbox.ask({"n": n}))["event"] == {"n": n}

        assert sandbox.said("no longer sends the next request with a response") == 1
        assert sandbox.function.starts == 1


@pytest.mark.slow
async def test_empty_headers_count_as_absent() -> None:
    async with running("context.told", api=RuntimeApiOptions(empty_headers=True)) as sandbox:
        answer = await sandbox.ask()

        assert answer["custom"] is None
        assert answer["name"] == "function"
        assert answer["version"] == "$LATEST"
        assert answer["memory"] == "128"


# -- names of user modules


async def test_user_modules_may_shadow_the_standard_library(
    tmp_path: Path,
) -> None:
    for name in ("http", "email", "token", "queue", "random", "select", "tokenize", "stringprep"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "app.py").write_text(
        "import os\ndef handler(event, context):\n    return 1 / event['n']\n"
    )
    async with running("app.handler", task_root=tmp_path) as sandbox:
        assert await sandbox.ask({"n": 1}) == 1.0
        answer = await sandbox.ask({"n": 0})

        assert answer["errorType"] == "ZeroDivisionError"
        assert "return 1 / event['n']" in answer["stackTrace"][-1]
        assert await sandbox.ask({"n": 2}) == 0.5
        assert sandbox.function.starts == 1


@pytest.mark.slow
async def test_user_modules_may_have_the_names_of_okibi_s_packages(
    tmp_path: Path,
) -> None:
    for name in ("actors", "supervisors", "runtime"):
        (tmp_path / f"{name}.py").write_text(f"own = {name!r}")
    (tmp_path / "app.py").write_text(
        "import actors, runtime, supervisors\n"
        "def handler(event, context):\n    return [actors.own, supervisors.own, runtime.own]\n"
    )
    async with running("app.handler", task_root=tmp_path) as sandbox:
        assert await sandbox.ask() == ["actors", "supervisors", "runtime"]


@pytest.mark.slow
async def test_okibi_in_the_task_root_is_used(tmp_path: Path) -> None:
    os.symlink(ROOT / "okibi", tmp_path / "okibi")
    (tmp_path / "app.py").write_text(
        "import okibi.runtime\ndef handler(event, context):\n    return okibi.runtime.__file__\n"
    )
    inside = {"PYTHONPATH": str(tmp_path)}
    async with running("app.handler", task_root=tmp_path, environment=inside) as sandbox:
        assert Path(await sandbox.ask()).parent == tmp_path / "okibi" / "runtime"
