"""A pool of sandboxes with the tests' own bootstrap, and its reports."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from okibi.dev.dev_function import DevFunction
from okibi.dev.invocation_events import DevEvent, LogLine
from okibi.dev.sandbox_pool import SandboxPool, open_sandbox_pool
from okibi.local import FunctionSettings, Invocation, InvokeResult
from tests.limits import HANG
from tests.support.local_lambda import event, settings

EventT = TypeVar("EventT", bound=DevEvent)


@attrs.define(eq=False)
class Reported:
    """The reports of a pool."""

    events: list[DevEvent] = attrs.field(factory=list[DevEvent])
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def __call__(self, happened: DevEvent) -> None:
        self.events.append(happened)
        self._changed.set()
        self._changed = trio.Event()

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [each for each in self.events if isinstance(each, kind)]

    @property
    def log(self) -> list[str]:
        return [each.text for each in self.of(LogLine)]

    async def wait_for(self, kind: type[EventT], count: int = 1) -> EventT:
        """Wait until this many events of a kind have been reported; return the last."""
        while len(found := self.of(kind)) < count:
            await self._changed.wait()
        return found[count - 1]


@asynccontextmanager
async def opened_pool(
    function: DevFunction | None = None, *, handler: str = "app.handler", **options: Any
) -> AsyncIterator[tuple[SandboxPool, Reported]]:
    reported = Reported()
    fields = {
        name: options.pop(name)
        for name in tuple(options)
        if name in {field.name for field in attrs.fields(DevFunction)}
    }
    function = function or DevFunction(settings(handler, timeout=HANG), **fields)
    with trio.fail_after(HANG):
        async with open_sandbox_pool(function, report=reported, **options) as pool:
            yield pool, reported


def invocation(pool: SandboxPool, **fields: object) -> Invocation:
    return Invocation(event(**fields), pool.function.settings.timeout)


async def invoke(pool: SandboxPool, **fields: object) -> InvokeResult:
    return await pool.run_invocation(invocation(pool, **fields))


async def invoke_pid(pool: SandboxPool, **fields: object) -> int:
    """Invoke, and return the process that has answered."""
    return int(json.loads((await invoke(pool, **fields)).payload)["pid"])


@attrs.define(eq=False)
class Held:
    """Events that stay in their sandboxes until they are released."""

    folder: Path
    pool: SandboxPool
    count: int = 0

    def start(self, done: trio.Event | None = None) -> Invocation:
        """Start an event."""
        self.count += 1
        path = self.folder / f"fifo{self.count}"
        os.mkfifo(path)
        held = invocation(self.pool, do="fifo", path=str(path))
        self.pool.start_invocation(held, done)
        return held

    async def release(self, number: int) -> None:
        """Let an event end; the first is 1."""
        fifo = await trio.to_thread.run_sync(open, self.folder / f"fifo{number}", "w")
        fifo.close()


def okibi_settings(folder: Path, source: str, name: str = "app", **fields: Any) -> FunctionSettings:
    """Write a function of okibi, and return its settings."""
    (folder / f"{name}.py").write_text(source)
    return FunctionSettings(f"{name}.handler", task_root=folder, timeout=HANG, **fields)
