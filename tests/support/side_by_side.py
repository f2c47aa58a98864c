"""okibi and the official client side by side, each as a process on the local Lambda."""

import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import pytest
import trio

from okibi.local import RuntimeApiOptions
from tests.support.output_side_by_side import MANAGED
from tests.support.sandbox import COMMAND, FUNCTIONS, ROOT, Running, running

T = TypeVar("T")

REASON = "awslambdaric is not installed: `make bench` installs it"

skip_without_official = pytest.mark.skipif(
    importlib.util.find_spec("awslambdaric") is None, reason=REASON
)
"""For tests that run it in their own tasks, where nothing can be skipped."""


def official_path() -> str:
    """Return a PYTHONPATH with the official client.

    Raises:
        pytest.skip.Exception: the official client is not installed.
    """
    found = importlib.util.find_spec("awslambdaric")
    if found is None or found.origin is None:
        pytest.skip(REASON)
    return f"{ROOT}:{Path(found.origin).parents[1]}"


@asynccontextmanager
async def beside(
    handler: str,
    task_root: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    max_concurrency: int | None = None,
) -> AsyncIterator[tuple[Running, Running]]:
    """Run a function on okibi, and the same function on the official client.

    Args:
        handler: `module.name`.
        task_root: the folder of the module.
        environment: the variables of both.
        max_concurrency: events at once in okibi.

    Raises:
        pytest.skip.Exception: the official client is not installed.
    """
    told = {"PYTHONPATH": official_path(), **environment}
    official = (sys.executable, "-m", "awslambdaric", handler)
    async with (
        running(
            handler,
            task_root=task_root,
            environment=told,
            command=COMMAND,
            max_concurrency=max_concurrency,
        ) as ours,
        running(handler, task_root=task_root, environment=told, command=official) as theirs,
    ):
        yield ours, theirs


async def both(
    handler: str,
    scenario: Callable[[Running], Awaitable[T]],
    *,
    own: str | None = None,
    timeout: float = 10.0,
    environment: Mapping[str, str] = MappingProxyType({}),
    max_concurrency: int | None = None,
    api: Callable[[], RuntimeApiOptions] | None = None,
) -> tuple[T, T]:
    """Run a scenario with the official client and with okibi; return both results.

    Each runs in its own sandbox.

    Args:
        handler: `module.name` in `functions/`.
        scenario: runs with a sandbox and returns a result.
        own: okibi's handler, if another one.
        timeout: the function's time-out in seconds.
        environment: the variables of both, besides those of Lambda's managed runtimes.
        max_concurrency: events at once.
        api: creates the options of the Runtime API of each.

    Raises:
        pytest.skip.Exception: the official client is not installed.
    """
    told = {**MANAGED, "PYTHONPATH": official_path(), **environment}
    came: dict[int, T] = {}

    async def one(place: int, name: str, command: tuple[str, ...]) -> None:
        async with running(
            name,
            task_root=FUNCTIONS,
            timeout=timeout,
            environment=told,
            command=command,
            api=None if api is None else api(),
            max_concurrency=max_concurrency,
        ) as sandbox:
            came[place] = await scenario(sandbox)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 0, handler, (sys.executable, "-m", "awslambdaric", handler))
        nursery.start_soon(one, 1, own or handler, COMMAND)
    return came[0], came[1]
