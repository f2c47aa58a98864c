"""What okibi reads of CPython's private names, and that it does without each."""

import asyncio
import dis
import json
import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from runtime import _cpython_internals
from runtime._cpython_internals import context_of, has_work, mark_stopped, may_skip_cleanup
from runtime.aio import loop as aio
from runtime.alarm import Alarm, handled_in
from runtime.context import Context
from runtime.delivery import Delivery
from runtime.failure import DeadlineExceeded
from tests.runtime.sandbox import ROOT, running
from tests.runtime.test_alarm import ringing
from tests.runtime.test_alarm_on_async import stage
from tests.runtime.test_unfinished import late, loop

__all__ = ["loop"]  # a fixture

slow = partial(pytest.param, marks=pytest.mark.slow)

RENAMED = """
import dis, runpy
dis.opmap = {{name: number for name, number in dis.opmap.items() if name != {name!r}}}
runpy.run_module("runtime", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", ["GET_AWAITABLE", slow("JUMP_BACKWARD")])
async def test_a_python_that_has_renamed_an_opcode_is_started_on(name: str) -> None:
    """An `async def` that holds the loop costs the process there, and is answered all the same."""
    command = (sys.executable, "-P", "-c", RENAMED.format(name=name))
    async with running("app.asynchronous", timeout=1.5, command=command) as sandbox:
        first = await sandbox.ask({"name": "a"})
        late = await sandbox.invoke({"name": "a", "do": "busy"})
        assert json.loads(late.payload)["errorType"] == "Runtime.DeadlineExceeded"
        assert (await sandbox.ask({"name": "a"}))["pid"] != first["pid"]


@pytest.mark.parametrize("name", ["_GET_AWAITABLE", "_JUMP_BACKWARD"])
async def test_without_an_opcode_the_alarm_hits_no_async_handler(
    name: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Delivery | None]()

    async def handler(event: object, context: Context) -> None:
        seen.append(handled_in(sys._getframe()))
        monkeypatch.setattr(_cpython_internals, name, None)
        seen.append(handled_in(sys._getframe()))

    made, _ = await (await stage(nursery, handler)).give()

    assert seen == [made, None]


def test_without_exception_tables_no_jump_back_is_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    def loops() -> None:
        for _ in ():
            pass

    code = loops.__code__
    jumps = [each for each in dis.get_instructions(code) if each.opname == "JUMP_BACKWARD"]
    frame: Any = SimpleNamespace(f_code=code, f_lasti=jumps[0].offset)
    assert not may_skip_cleanup(frame)

    monkeypatch.setattr(dis, "Bytecode", lambda _: SimpleNamespace())
    assert may_skip_cleanup(frame)


def test_without_asyncios_private_names_what_an_event_has_left_still_ends(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("asyncio._set_running_loop")
    said = list[str]()

    with (alarm := Alarm()), ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: loop.run_until_complete(late(said)), {}, None)

    assert said == ["cleaned up"]
    assert not asyncio.all_tasks(loop)


def test_a_loop_without_private_names_is_marked_and_may_have_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("asyncio._set_running_loop")
    unknown = SimpleNamespace()

    mark_stopped(unknown)

    assert vars(unknown) == {}
    assert has_work(unknown)
    assert has_work(SimpleNamespace(_ready=()))
    assert not has_work(SimpleNamespace(_ready=(), _stopping=False))


def test_a_loop_that_tells_of_no_threads_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    class Unknown:
        closed = False

        def shutdown_asyncgens(self) -> None: ...
        def run_until_complete(self, _: object) -> None: ...
        def close(self) -> None:
            self.closed = True

    unknown: Any = Unknown()
    aio._close(unknown)

    assert unknown.closed
    assert caplog.records == []


def test_the_context_of_a_task_without_private_names_is_not_known() -> None:
    unknown = SimpleNamespace(get_loop=SimpleNamespace)

    assert context_of(unknown) is None


WRITTEN = """
import json, sys
from json import encoder

iterencode, values = encoder.JSONEncoder.iterencode, [[1.5, None, "é"], [[1, "é"]] * 20_000]
expected = {{
    escaped: [json.dumps(value, ensure_ascii=escaped).encode() for value in values]
    for escaped in (True, False)
}}
{gone}
sys.modules["runtime.encoder"] = None
from runtime import marshal

assert [marshal.escaped_outcome_of(value).body for value in values] == expected[True]
assert [marshal.unescaped_outcome_of(value).body for value in values] == expected[False]
"""


@pytest.mark.parametrize(
    "gone",
    ["del encoder.c_make_encoder",
     slow("encoder.c_make_encoder = lambda all: all"),
     slow("encoder.JSONEncoder.iterencode = lambda self, value: iterencode(self, value)")],
    ids=["no encoder", "it takes other arguments", "no _one_shot"],
)  # fmt: skip
def test_without_the_json_encoders_private_names_the_same_is_written(gone: str) -> None:
    run = WRITTEN.format(gone=gone)
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_alarm_does_without_sniffio() -> None:
    run = """
import sys, trio
sys.modules["sniffio"] = None
from runtime.alarm import Alarm

with (alarm := Alarm()):
    print(alarm.run(lambda event, context: event, "event", None))
"""
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("event\n", "")
