"""SnapStart: what runs before the snapshot of a sandbox is taken, and after it is restored.

Imported in such a sandbox alone (Runtime API: `AWS_LAMBDA_INITIALIZATION_TYPE=snap-start`). One
actor of the tree, the last before the pollers, does it in its `init`:

    before   the tree's actors, the last started first; then the functions that were registered
             with the package `snapshot_restore_py`, the last registered first
    restore  GET /restore/next: the snapshot is taken while it waits, and restored when it returns
    after    the registered functions in order; then the tree's actors in start order

What an actor has to do it says in `async def before_snapshot(self)` and `async def
after_restore(self)`: of a Server they are messages like its others, handled in its own task; of
any other actor they run beside its `run`. A Handler's own instance is asked too.

A failure is final, with the official client's exit codes: 64 before, reported as an init error;
65 after, reported to /restore/error.
"""

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from ...actors import Actor, ActorExited, Ignore, Ref, Server
from ...actors.exits import crash_in
from ...actors.process import Phase, Process
from ...supervisors.parent import Parent
from ..errors.error_response import init_error
from ..errors.exceptions import InitError
from ..protocol.runtime_api import VERSION, ApiResponse, ApiResponseParser, WireError
from ..protocol.transport import Connect, Transport

BEFORE, AFTER = "before_snapshot", "after_restore"
ENDPOINT: Final = b"%s/runtime/restore/next" % VERSION


class BeforeSnapshotError(InitError):
    """The snapshot is not to be taken: somebody did not get ready for it."""

    header = "Runtime.BeforeSnapshotError"
    code = 64


class AfterRestoreError(InitError):
    """The restored sandbox cannot serve: somebody did not find back."""

    header = "Runtime.AfterRestoreError"
    path = b"restore/error"
    code = 65


class LambdaRuntimeClientError(Exception):
    """The Runtime API did not answer /restore/next as it should."""


class SnapStart(Actor):
    """Takes the tree through a snapshot; started once, ended when that is done.

    Args:
        host: of the Runtime API, as it stands in a request.
        connect: makes a connection to it.
        begun: empty until it has been started; its supervisor may be restarted, a sandbox is not.
    """

    def __init__(self, host: bytes, connect: Connect, begun: list[None]) -> None:
        self.host = host
        self.connect = connect
        self.begun = begun

    async def init(self) -> None:
        if self.begun:
            raise Ignore
        self.begun.append(None)
        await _or(BeforeSnapshotError, self._before)
        await _or(AfterRestoreError, self._after)

    async def run(self) -> None:
        """There is no more to do: its supervisor forgets it."""

    async def _before(self) -> None:
        for process in reversed([*self._tree()]):
            await _ask(process, BEFORE)
        for call in reversed(_registered("get_before_snapshot")):
            await call()
        await self._restored()

    async def _after(self) -> None:
        for call in _registered("get_after_restore"):
            await call()
        for process in self._tree():
            await _ask(process, AFTER)

    def _tree(self) -> Iterator[Process]:
        root = self._process
        while root.parent is not None:
            root = root.parent
        return _below(root)

    async def _restored(self) -> None:
        transport = await self.connect()
        try:
            answer = await _answer(transport, b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (
                ENDPOINT, self.host,
            ))  # fmt: skip
        finally:
            transport.close()
        if answer.status != 200:
            raise LambdaRuntimeClientError(
                f"Request to Lambda Runtime '{ENDPOINT.decode()}' endpoint failed. "
                f"Reason: '{answer.status}'. Response body: '{answer.body!r}'"
            )


async def _or(kind: type[InitError], what: Callable[[], Awaitable[None]]) -> None:
    try:
        await what()
    except BaseException as error:
        crash = crash_in(error)
        if crash is None:
            # It is told to stop: no failure of anybody's.
            raise
        if isinstance(crash, ActorExited) and crash.reason.error is not None:
            crash = crash.reason.error
        told = init_error(crash)
        raise kind(told.kind, told.message, told.stack) from crash


def _below(process: Process) -> Iterator[Process]:
    """An actor and all below it, in start order."""
    yield process
    if isinstance(process.actor, Parent):
        for place in process.actor.places:
            if place.process is not None:
                yield from _below(place.process)


async def _ask(process: Process, hook: str) -> None:
    actor: Any = process.actor
    method: Any = getattr(actor.__class__, hook, None)
    if method is None or process.phase is Phase.DEAD:
        return
    if isinstance(actor, Server):
        ref: Ref[Any] = Ref(process)
        await ref.call(method)
    else:
        await _awaited(method(actor))


def _registered(which: str) -> list[Callable[[], Awaitable[None]]]:
    """What was registered with AWS's package, which nobody has used who has not imported it."""
    package: Any = sys.modules.get("snapshot_restore_py")
    if package is None:
        return []

    def call(function: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await _awaited(function(*args, **kwargs))

        return run

    return [call(*entry) for entry in getattr(package, which)()]


async def _awaited(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


async def _answer(transport: Transport, request: bytes) -> ApiResponse:
    """Ask, and wait as long as it takes: for all the time that the snapshot lies in store."""
    left, parser = memoryview(request), ApiResponseParser()
    while left:
        try:
            left = left[transport.send(left) :]
        except BlockingIOError:
            await transport.writable()
    while True:
        await transport.readable()
        try:
            data = transport.receive(65536)
        except BlockingIOError:
            continue
        if not data:
            raise WireError("the Runtime API closed the connection of /restore/next")
        for answer in parser.feed(data):
            return answer
