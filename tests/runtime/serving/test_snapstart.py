"""SnapStart: the hooks before and after the snapshot, and their errors."""

import json
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

from okibi.local import RuntimeApi
from okibi.local.platform.extensions import Extensions
from okibi.runtime.serving.snapstart import reseed
from okibi.testing import sample_event
from tests.limits import HANG
from tests.support.sandbox import COMMAND, Running, running, runtime_api, without_lambda
from tests.support.side_by_side import official_path

# The registry of AWS's package, as clients use it.
PACKAGE = """
before, after = [], []

def register_before_snapshot(function, *args, **kwargs):
    before.append((function, args, kwargs))
    return function

def register_after_restore(function, *args, **kwargs):
    after.append((function, args, kwargs))
    return function

def get_before_snapshot():
    return before

def get_after_restore():
    return after
"""
APP = """
import asyncio
import os
from okibi.actors import Actor, Server
from okibi.runtime import Function, Handler
from okibi.supervisors import Child, SupervisorSpec
from snapshot_restore_py import register_after_restore, register_before_snapshot

SAID = []

def say(what):
    SAID.append(what)
    if os.environ.get("FAILS") == what:
        raise KeyError(what)

class One(Server):
    name = "one"

    async def before_snapshot(self):
        say(f"before {self.name}")

    async def after_restore(self):
        say(f"after {self.name}")

class Two(One):
    name = "two"

class Plain(Actor):
    async def run(self):
        await self.receive()

    async def after_restore(self):
        say("after plain")

class Answers(Handler[dict]):
    async def before_snapshot(self):
        if os.environ.get("OKIBI_LOOP"):
            asyncio.get_running_loop()
        say("before handler")

    async def handle(self, event, context):
        return SAID

register_before_snapshot(say, "registered before 1")
register_before_snapshot(say, "registered before 2")
register_after_restore(say, "registered after 1")

@register_after_restore
async def last():
    say("registered after 2")

from okibi.runtime import Workers

function = Function(
    Workers(Answers, count=1),
    children=[Child(One), Child(SupervisorSpec([Child(Two), Child(Plain)]), id="more")],
)

def plain(event, context):
    return SAID
"""


@attrs.define(eq=False)
class Restoring:
    """A Runtime API with /restore, in front of one for all other requests."""

    api: RuntimeApi
    status: int = 200
    asked: list[str] = attrs.Factory(list[str])
    reported: list[tuple[str, Any]] = attrs.Factory(list[tuple[str, Any]])
    waits: trio.Event = attrs.Factory(trio.Event)
    restored: trio.Event = attrs.Factory(trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection: the first bytes tell whether it is for /restore."""
        head = (await stream.socket.recv(4096, socket.MSG_PEEK)).decode()
        path = head.split(" ")[1].removeprefix("/2018-06-01/runtime/")
        self.asked.append(path)
        if path not in {"restore/next", "restore/error", "init/error"}:
            await self.api.serve_connection(stream)
            return
        if path == "restore/next":
            self.waits.set()
            await self.restored.wait()
            await _answer(stream, self.status)
            return
        request = b""
        while not request.endswith(b"}"):
            request += await stream.receive_some()
        lines, _, body = request.partition(b"\r\n\r\n")
        (kind,) = [
            line.partition(": ")[2]
            for line in lines.decode().splitlines()
            if line.lower().startswith("lambda-runtime-function-error-type")
        ]
        self.reported.append((kind, json.loads(body)))
        await _answer(stream, 202)


async def _answer(stream: trio.SocketStream, status: int) -> None:
    await stream.send_all(b"HTTP/1.1 %d .\r\nContent-Length: 2\r\n\r\n{}" % status)
    await stream.aclose()


@asynccontextmanager
async def started(
    root: Path,
    handler: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    command: tuple[str, ...] = COMMAND,
) -> AsyncIterator[tuple[Restoring, trio.Process]]:
    (root / "app.py").write_text(APP)
    if "PYTHONPATH" not in environment:
        (root / "snapshot_restore_py.py").write_text(PACKAGE)
    platform = Restoring(runtime_api(timeout=10))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listeners[0].socket.getsockname()
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
        "OKIBI_GRACEFUL_SHUTDOWN": "0",
        "_HANDLER": handler,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        **environment,
    }
    with trio.fail_after(HANG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, platform.serve, listeners)
            process = await trio.lowlevel.open_process(
                command, cwd=root, env={**without_lambda(), **variables}, stderr=subprocess.STDOUT
            )
            try:
                yield platform, process
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()
                nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "environment", [{}, pytest.param({"OKIBI_LOOP": "asyncio"}, marks=pytest.mark.slow)]
)
async def test_hooks_run_before_and_after_the_snapshot_in_order(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with started(tmp_path, "app.function", environment) as (platform, _):
        await platform.waits.wait()
        assert platform.asked == ["restore/next"]
        platform.restored.set()
        calls = json.loads((await platform.api.invoke(b"{}")).payload)

    assert calls == [
        "before handler", "before two", "before one", "registered before 2", "registered before 1",
        "registered after 1", "registered after 2", "after one", "after two", "after plain",
    ]  # fmt: skip
    assert platform.asked == ["restore/next", "invocation/next"]


@pytest.mark.parametrize(
    "who",
    [
        "before handler",
        pytest.param("before two", marks=pytest.mark.slow),
        pytest.param("before one", marks=pytest.mark.slow),
        pytest.param("registered before 1", marks=pytest.mark.slow),
    ],
)
async def test_a_hook_failing_before_is_an_init_error_with_code_64(
    who: str, tmp_path: Path
) -> None:
    async with started(tmp_path, "app.function", {"FAILS": who}) as (platform, process):
        assert await process.wait() == 64

    ((kind, body),) = platform.reported
    assert platform.asked == ["init/error"]
    assert kind == "Runtime.BeforeSnapshotError"
    assert (body["errorType"], body["errorMessage"]) == ("KeyError", repr(who))
    assert "in say" in body["stackTrace"][-1]


@pytest.mark.parametrize(
    "who",
    [
        pytest.param("registered after 2", marks=pytest.mark.slow),
        pytest.param("after two", marks=pytest.mark.slow),
        "after plain",
    ],
)
async def test_a_hook_failing_after_is_a_restore_error_with_code_65(
    who: str, tmp_path: Path
) -> None:
    async with started(tmp_path, "app.function", {"FAILS": who}) as (platform, process):
        platform.restored.set()
        assert await process.wait() == 65

    ((kind, body),) = platform.reported
    assert platform.asked == ["restore/next", "restore/error"]
    assert kind == "Runtime.AfterRestoreError"
    assert (body["errorType"], body["errorMessage"]) == ("KeyError", repr(who))


@pytest.mark.slow
async def test_a_refused_snapshot_ends_the_process(tmp_path: Path) -> None:
    async with started(tmp_path, "app.function") as (platform, process):
        platform.status = 403
        platform.restored.set()
        assert await process.wait() == 64

    ((kind, body),) = platform.reported
    assert kind == "Runtime.BeforeSnapshotError"
    assert body["errorType"] == "LambdaRuntimeClientError"
    assert body["errorMessage"] == (
        "Request to Lambda Runtime '/2018-06-01/runtime/restore/next' endpoint failed. "
        "Reason: '403'. Response body: 'b'{}''"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "code"),
    [
        ("", None),
        ("registered before 2", 64),
        ("registered after 1", 65),
    ],
)
async def test_the_official_client_runs_hooks_the_same_way(
    fails: str, code: int | None, tmp_path: Path
) -> None:
    variables = {"PYTHONPATH": official_path(), "FAILS": fails}
    seen: list[Any] = []
    for command in (COMMAND, (sys.executable, "-m", "awslambdaric", "app.plain")):
        async with started(tmp_path, "app.plain", variables, command) as (platform, process):
            platform.restored.set()
            if code is None:
                said = json.loads((await platform.api.invoke(b"{}")).payload)
                # The official client calls an `async def` hook and never awaits it.
                seen.append([each for each in said if each != "registered after 2"])
            else:
                assert await process.wait() == code
                ((kind, body),) = platform.reported
                seen.append((kind, body["errorType"], body["errorMessage"], platform.asked))

    assert seen[0] == seen[1]


# -- on the local Lambda, which cuts connections at a restore

RANDOM = """
import random, ssl
from snapshot_restore_py import register_after_restore, register_before_snapshot

register_before_snapshot(random.seed, 1)
seen = []
register_after_restore(lambda: seen.append(random.random()))

async def handler(event, context):
    return seen
"""


@asynccontextmanager
async def restored(root: Path, handler: str, app: str = APP) -> AsyncIterator[Running]:
    (root / "app.py").write_text(app)
    (root / "snapshot_restore_py.py").write_text(PACKAGE)
    async with running(handler, task_root=root, snap_start=True) as sandbox:
        while not sandbox.function.frozen:
            await trio.lowlevel.checkpoint()
        yield sandbox


@pytest.mark.slow
async def test_the_extension_asks_again_after_a_restore(tmp_path: Path) -> None:
    async with restored(tmp_path, "app.function") as sandbox:
        (extension,) = sandbox.function._api.extensions._all.values()
        asked_before = extension.deliver
        calls = await sandbox.ask()

        while extension.deliver in (None, asked_before):
            await trio.lowlevel.checkpoint()
        ended = await sandbox.function.shut_down()

    assert calls[-1] == "after plain"
    assert (ended.sigterm_sent, ended.returncode) == (True, 0)


@pytest.mark.slow
async def test_a_platform_that_still_has_the_request_may_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the emulator would: an extension that waits must not ask.
    monkeypatch.setattr(Extensions, "lose_requests", lambda _: None)
    async with restored(tmp_path, "app.function") as sandbox:
        assert (await sandbox.ask())[-1] == "after plain"
        assert (await sandbox.ask())[-1] == "after plain"
        ended = await sandbox.function.shut_down()

    assert (ended.sigterm_sent, ended.returncode) == (True, 0)
    assert not sandbox.said("Traceback")


@pytest.mark.slow
async def test_a_hook_failing_after_a_restore_is_a_snapstart_exception(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "snapshot_restore_py.py").write_text(PACKAGE)
    fails = {"FAILS": "after one"}
    async with running(
        "app.function", task_root=tmp_path, snap_start=True, environment=fails
    ) as sandbox:
        result = await sandbox.invoke()

        assert (result.status_code, result.error_type) == (400, "SnapStartException")
        assert sandbox.said("[ERROR] KeyError: 'after one'") == 1


@pytest.mark.slow
async def test_hooks_after_a_restore_see_fresh_random_numbers(tmp_path: Path) -> None:
    async with restored(tmp_path, "app.handler", RANDOM) as sandbox:
        (number,) = await sandbox.ask()

    assert number != random.Random(1).random()


def test_numpy_s_global_generator_is_seeded_if_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = list[str]()
    numpy = SimpleNamespace(seed=lambda: seeded.append("numpy"))
    monkeypatch.setitem(sys.modules, "numpy.random", numpy)

    reseed()

    assert seeded == ["numpy"]


WEB = """
from okibi import Function
from okibi.web import ASGI

said = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["pool"] = "before"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": repr([*said, scope["state"]]).encode()})

async def close(state):
    said.append(f"close {state['pool']}")

async def open_again(state):
    state["pool"] = "after"

function = Function(ASGI(app, before_snapshot=close, after_restore=open_again))
"""


@pytest.mark.slow
async def test_the_hooks_of_a_web_application_get_its_state(tmp_path: Path) -> None:
    async with restored(tmp_path, "app.function", WEB) as sandbox:
        told = await sandbox.ask(sample_event("function-url"))

    assert told["body"] == "['close before', {'pool': 'after'}]"
