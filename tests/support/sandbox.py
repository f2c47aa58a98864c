"""A function in a real process, `python -P -m okibi.runtime`, on the local Lambda."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import trio

from okibi.local import (
    FunctionSettings,
    InvokeResult,
    LocalLambda,
    RuntimeApi,
    RuntimeApiOptions,
    open_local_lambda,
)
from okibi.local.sandbox.sandbox import GRACE
from tests.limits import HANG
from tests.support.extensions_api import Extensions

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = Path(__file__).with_name("functions")
COMMAND = (sys.executable, "-P", "-m", "okibi.runtime")
# Output buffered as on Lambda, and bytecode cached: tests start dozens of processes.
PYTHON = {
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "",
    "PYTHONDONTWRITEBYTECODE": "",
    # In the checkout: in a temporary folder another user could have placed bytecode.
    "PYTHONPYCACHEPREFIX": str(ROOT / ".bytecode"),
}
# okibi answers at half of any time-out, long before the platform's kill. A busy machine may stall
# both for a while, and the margin costs no time.
WIDE_MARGIN = {"OKIBI_DEADLINE_MARGIN_MS": "60000"}
DEFAULT_MARGIN = {"OKIBI_DEADLINE_MARGIN_MS": ""}
# Seconds that the platform waits for a response.
PLATFORM = 30.0


@attrs.define(eq=False)
class Running:
    """A running function, and its log lines."""

    function: LocalLambda
    lines: list[str]

    @property
    def pid(self) -> int:
        assert self.function.pid is not None
        return self.function.pid

    async def invoke(self, event: object = MappingProxyType({})) -> InvokeResult:
        """Invoke the function and return the whole result."""
        told = dict(event) if isinstance(event, MappingProxyType) else event
        return await self.function.invoke(json.dumps(told).encode())

    async def ask(self, event: object = MappingProxyType({})) -> Any:
        """Invoke the function and return the decoded response."""
        return json.loads((await self.invoke(event)).payload)

    async def do(self, what: str, **fields: object) -> Any:
        """Let a handler of `functions/app.py` do something."""
        return await self.ask({"do": what, **fields})

    def said(self, text: str) -> int:
        """Return in how many log lines a text occurs."""
        return sum(text in line for line in self.lines)


@asynccontextmanager
async def running(
    handler: str,
    *,
    task_root: Path = FUNCTIONS,
    timeout: float = PLATFORM,
    environment: Mapping[str, str] = MappingProxyType({}),
    command: tuple[str, ...] = COMMAND,
    api: RuntimeApiOptions | None = None,
    max_concurrency: int | None = None,
    snap_start: bool = False,
    freeze: bool = False,
    grace: float = GRACE,
) -> AsyncIterator[Running]:
    """Run a function of `functions/` until the block ends, with a wide deadline margin."""
    settings = FunctionSettings(
        handler,
        command=command,
        task_root=task_root,
        timeout=timeout,
        environment={**PYTHON, **WIDE_MARGIN, **environment},
        max_concurrency=max_concurrency,
        snap_start=snap_start,
    )
    lines: list[str] = []
    with trio.fail_after(HANG):
        async with open_local_lambda(
            settings, output=lines.append, api=api, freeze=freeze, grace=grace
        ) as function:
            yield Running(function, lines)


def deadline_after(seconds: float) -> RuntimeApiOptions:
    """Give events a deadline after some seconds, although the platform waits PLATFORM seconds.

    However busy the machine is, no time-out of the platform passes.
    """
    return RuntimeApiOptions(wall_clock=lambda: time.time() - PLATFORM + seconds)


def runtime_api(
    timeout: float = PLATFORM,
    max_concurrency: int | None = None,
    wall_clock: Callable[[], float] = time.time,
) -> RuntimeApi:
    """Return a Runtime API for a bare process."""
    settings = FunctionSettings("app.handler", timeout=timeout, max_concurrency=max_concurrency)
    return RuntimeApi(settings, RuntimeApiOptions(wall_clock=wall_clock))


@asynccontextmanager
async def process_of(
    handler: str,
    *,
    task_root: Path = FUNCTIONS,
    command: tuple[str, ...] = COMMAND,
    extensions: Extensions | None = None,
    max_concurrency: int | None = None,
    read: bool = True,
    wall_clock: Callable[[], float] = time.time,
    **environment: str,
) -> AsyncIterator[tuple[trio.Process, RuntimeApi, list[bytes]]]:
    """Run a bare process, with an exit code and without the platform's time-out.

    All output is there when the process has ended. Without `read`, nothing reads the pipe.
    """
    own = runtime_api(max_concurrency=max_concurrency, wall_clock=wall_clock)
    api = own if extensions is None else extensions.api
    serve = api.serve_connection if extensions is None else extensions.serve
    if max_concurrency is not None:
        environment["AWS_LAMBDA_MAX_CONCURRENCY"] = str(max_concurrency)
    said = list[bytes]()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listeners[0].socket.getsockname()
    told = {"AWS_LAMBDA_RUNTIME_API": f"{host}:{port}", "_HANDLER": handler, **environment}
    with trio.fail_after(HANG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            process = await trio.lowlevel.open_process(
                command,
                cwd=task_root,
                env={**without_lambda(), **told},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            if read:
                nursery.start_soon(_read, process, said)
            try:
                yield process, api, said
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()
                nursery.cancel_scope.cancel()


async def until_idle(function: LocalLambda, slots: int) -> None:
    """Wait until that many slots of a function have asked for an event."""
    platform = function._api._platform
    with trio.fail_after(HANG):
        while len(platform._idle) < slots:  # type: ignore[union-attr]
            await trio.lowlevel.checkpoint()


async def until_handed_out(api: RuntimeApi) -> None:
    """Wait until the runtime has an event."""
    while api.current is None:  # noqa: ASYNC110, the process is starting
        await trio.sleep(0.001)


async def until_there(path: Path) -> None:
    """Wait until a file exists."""
    while not await trio.Path(path).exists():  # noqa: ASYNC110, of a process
        await trio.sleep(0.001)


async def _read(process: trio.Process, said: list[bytes]) -> None:
    assert process.stdout is not None
    async for data in process.stdout:
        said.append(bytes(data))


def waited(*pids: int) -> float:
    """Return how many seconds the threads of processes were ready to run and waited for a core.

    The machine, not the program, causes these delays. 0 if the kernel does not report them.
    """
    seconds = 0.0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # the thread may have ended
                seconds += int(thread.read_text().split()[1]) / 1e9
    return seconds


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def without_lambda() -> dict[str, str]:
    """Return this process's environment without Lambda's variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "OKIBI_", "_HANDLER"))}
    return {**kept, **PYTHON}
