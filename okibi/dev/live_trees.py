"""The supervision trees of running sandboxes, for `okibi tree --live`.

A sandbox answers on a Unix socket (`okibi.runtime.observed`). A frozen one is continued for the
answer, and stopped again.
"""

import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

import attrs
import msgspec
import trio

from ..local.invoke_api.invoke_errors import InvokeError
from ..local.invoke_api.operations import LambdaResponse
from ..observer.live_trees import LiveTree, encode_trees
from .asgi import Receive, Scope, Send, read_body, send_response
from .pooled_sandbox import PooledSandbox
from .sandbox_pool import SandboxPool

# The path of `LiveTrees`; the query `function=NAME` chooses a function, also by its handler.
TREE_PATH = "/okibi/tree"

# Seconds for a sandbox to answer.
ANSWER_LIMIT = 2.0


@attrs.frozen
class LiveTrees:
    """Serves `GET /okibi/tree` (ASGI 3): the trees of all sandboxes, as a list of LiveTree.

    Args:
        pools: the sandboxes of each function, by the function's name.
    """

    pools: Mapping[str, SandboxPool]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            InvokeError: the method or the function does not exist.
        """
        await read_body(receive, 0)
        if scope["method"] != "GET":
            raise InvokeError(405, "MethodNotAllowedException", f"{TREE_PATH} takes GET only")
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("function", [])
        trees = [tree for name in self._find(*asked) for tree in await self.read(name)]
        await send_response(send, LambdaResponse(200, encode_trees(trees)))

    def _find(self, asked: str = "", *_: str) -> list[str]:
        """Return the names of the functions that a request asks for."""
        found = [
            name
            for name, pool in self.pools.items()
            if asked in ("", name, pool.function.settings.handler)
        ]
        if found:
            return found
        raise InvokeError(
            404,
            "ResourceNotFoundException",
            f"no function {asked!r}: okibi dev serves {', '.join(self.pools)}",
        )

    async def read(self, name: str) -> list[LiveTree]:
        """Read the trees of a function's sandboxes."""
        pool = self.pools[name]
        return [await _read_tree(name, sandbox, pool.socket_folder) for sandbox in pool.sandboxes]


async def _read_tree(name: str, sandbox: PooledSandbox, folder: Path) -> LiveTree:
    found = LiveTree(name, sandbox.number, sandbox.pid, sandbox.frozen)
    if found.pid is None:
        return attrs.evolve(found, error="the process has not started yet")
    try:
        with trio.fail_after(ANSWER_LIMIT):
            async with _continued(sandbox, found.pid):
                answer = await _ask(folder / str(found.pid))
    except (FileNotFoundError, ConnectionError, trio.BrokenResourceError):
        # The imports have not ended, the process ends, or the command is the user's own.
        return attrs.evolve(found, error="the process has no tree that can be looked at now")
    except trio.TooSlowError:
        return attrs.evolve(found, error=f"no answer within {ANSWER_LIMIT:g} s")
    return attrs.evolve(found, tree=msgspec.Raw(answer))


@asynccontextmanager
async def _continued(sandbox: PooledSandbox, pid: int) -> AsyncGenerator[None]:
    """Let a frozen sandbox run during the block."""
    if not sandbox.frozen:
        yield
        return
    _signal(pid, signal.SIGCONT)
    try:
        yield
    finally:
        # An event that came meanwhile has thawed the sandbox; a new process has another id.
        if sandbox.frozen and sandbox.pid == pid:
            _signal(pid, signal.SIGSTOP)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


async def _ask(path: Path) -> bytes:
    async with await trio.open_unix_socket(path) as stream:
        return b"".join([piece async for piece in stream])
