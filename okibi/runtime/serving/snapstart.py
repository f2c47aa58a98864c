"""SnapStart: run hooks before Lambda takes the snapshot of a sandbox, and after each restore.

Imported only if `AWS_LAMBDA_INITIALIZATION_TYPE=snap-start` (Runtime API). One actor, the last
before the pollers, runs the hooks in its `init`:

    before   actors of the tree, in reverse start order; then the functions registered with the
             package `snapshot_restore_py`, the last registered first
    restore  GET /restore/next: Lambda takes the snapshot during this request, and the response
             comes after the restore
    seed     the random numbers of `reseed`; the extension's connection is opened again. The
             pollers open theirs later, when this actor has started
    after    registered functions in order; then actors in start order

An actor's hooks are `async def before_snapshot(self)` and `async def after_restore(self)`. A Server
handles them as messages, in its own task. For any other actor they run beside its `run`. A
Handler's instance may have them, too.

An error in a hook ends the process with the official client's exit codes: 64 before the snapshot,
reported as an init error; 65 after the restore, reported to /restore/error.
"""

import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ...actors import Actor, ActorExited, Ignore, Ref, Server
from ...actors.exits import crash_in
from ...actors.life import Phase
from ...actors.process import Process
from ...supervisors.parent import Parent
from ..errors.error_response import init_error
from ..errors.exceptions import InitError
from ..protocol.runtime_api import VERSION, ApiResponse, ApiResponseParser, WireError
from ..protocol.transport import Transport
from .extension import ExtensionConnection

if TYPE_CHECKING:
    from ..protocol.transport import Connect

BEFORE, AFTER = "before_snapshot", "after_restore"
ENDPOINT: Final = b"%s/runtime/restore/next" % VERSION


class BeforeSnapshotError(InitError):
    """A hook failed before the snapshot; Lambda must not take it."""

    header = "Runtime.BeforeSnapshotError"
    code = 64


class AfterRestoreError(InitError):
    """A hook failed after the restore; the sandbox cannot serve."""

    header = "Runtime.AfterRestoreError"
    path = b"restore/error"
    code = 65


class LambdaRuntimeClientError(Exception):
    """The Runtime API refused GET /restore/next. Name and message are the official client's."""


class SnapStart(Actor):
    """Takes the tree through the snapshot, once.

    Args:
        host: the Runtime API's address, for the Host header.
        connect: opens a connection to the Runtime API.
        begun: empty until the first start. A restarted supervisor passes the same list, and the
            hooks do not run again.
        extension: the extension's connection, which a restore breaks; None for no extension.
    """

    def __init__(
        self,
        host: bytes,
        connect: "Connect",
        begun: list[None],
        extension: ExtensionConnection | None = None,
    ) -> None:
        self.host = host
        self.connect = connect
        self.begun = begun
        self.extension = extension

    async def init(self) -> None:
        if self.begun:
            raise Ignore
        self.begun.append(None)
        await _run_or_raise(BeforeSnapshotError, self._run_before)
        await _run_or_raise(AfterRestoreError, self._run_after)

    async def run(self) -> None:
        """Return: the actor has done its work, and its supervisor removes it."""

    async def _run_before(self) -> None:
        for process in reversed([*self._tree()]):
            await _call_hook(process, BEFORE)
        for call in reversed(_registered("get_before_snapshot")):
            await call()
        await self._wait_restored()

    async def _run_after(self) -> None:
        reseed()
        if self.extension is not None:
            self.extension.reconnect()
        for call in _registered("get_after_restore"):
            await call()
        for process in self._tree():
            await _call_hook(process, AFTER)

    def _tree(self) -> Iterator[Process]:
        root = self._process
        while root.parent is not None:
            root = root.parent
        return _descendants(root)

    async def _wait_restored(self) -> None:
        transport = await self.connect()
        try:
            response = await _request(transport, b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (
                ENDPOINT, self.host,
            ))  # fmt: skip
        finally:
            transport.close()
        if response.status != 200:
            raise LambdaRuntimeClientError(
                f"Request to Lambda Runtime '{ENDPOINT.decode()}' endpoint failed. "
                f"Reason: '{response.status}'. Response body: '{response.body!r}'"
            )


def reseed() -> None:
    """Give this sandbox random numbers that no other sandbox of the same snapshot has.

    Seeds the generators of modules that are imported: Python's `random`, NumPy's old global one,
    and OpenSSL's, which TLS uses. `os.urandom`, `uuid.uuid4` and `secrets` ask the kernel and need
    nothing. A generator of the user's own, such as `random.Random()`, needs an `after_restore`.
    """
    modules: Any = sys.modules
    for name in ("random", "numpy.random"):
        if name in modules:
            modules[name].seed()
    if "_ssl" in modules:
        modules["_ssl"].RAND_add(os.urandom(32), 32.0)


async def _run_or_raise(kind: type[InitError], run_hooks: Callable[[], Awaitable[None]]) -> None:
    try:
        await run_hooks()
    except BaseException as error:
        crash = crash_in(error)
        if crash is None:
            # This actor is being stopped; no hook has failed.
            raise
        if isinstance(crash, ActorExited) and crash.reason.error is not None:
            crash = crash.reason.error
        described = init_error(crash)
        raise kind(described.kind, described.message, described.stack) from crash


def _descendants(process: Process) -> Iterator[Process]:
    """Yield a process and all processes below, in start order."""
    yield process
    if isinstance(process.actor, Parent):
        for place in process.actor.places:
            if place.process is not None:
                yield from _descendants(place.process)


async def _call_hook(process: Process, hook: str) -> None:
    actor: Any = process.actor
    method: Any = getattr(actor.__class__, hook, None)
    if method is None or process.life.phase is Phase.DEAD:
        return
    if isinstance(actor, Server):
        ref: Ref[Any] = Ref(process)
        await ref.call(method)
    else:
        await _await_if_needed(method(actor))


def _registered(getter: str) -> list[Callable[[], Awaitable[None]]]:
    """Return the functions registered with AWS's package; none if no user code has imported it."""
    package: Any = sys.modules.get("snapshot_restore_py")
    if package is None:
        return []

    def bind(function: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await _await_if_needed(function(*args, **kwargs))

        return run

    return [bind(*entry) for entry in getattr(package, getter)()]


async def _await_if_needed(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


async def _request(transport: Transport, request: bytes) -> ApiResponse:
    """Send a request and wait for the response, without a time-out: a snapshot may be stored for
    weeks.
    """
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
        for response in parser.feed(data):
            return response
