"""okibi and the official client side by side, each in a process of its own on the local Lambda."""

import importlib.util
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from runtime.local import RuntimeApi
from tests.runtime.sandbox import COMMAND, ROOT, Running, running

REASON = "awslambdaric is not installed: `make bench` installs it"


def official_path() -> str:
    """A PYTHONPATH by which the official client is found.

    Raises:
        pytest.skip.Exception: it is not installed.
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
    apis: tuple[RuntimeApi | None, RuntimeApi | None] = (None, None),
) -> AsyncIterator[tuple[Running, Running]]:
    """A function on okibi, and the same on the official client.

    Args:
        handler: `module.name`.
        task_root: where it lies.
        environment: of both.
        apis: their servers, to invoke them with more than an event.

    Raises:
        pytest.skip.Exception: the official client is not installed.
    """
    told = {"PYTHONPATH": official_path(), **environment}
    official = (sys.executable, "-m", "awslambdaric", handler)
    async with (
        running(
            handler, task_root=task_root, environment=told, command=COMMAND, api=apis[0]
        ) as ours,
        running(
            handler, task_root=task_root, environment=told, command=official, api=apis[1]
        ) as theirs,
    ):
        yield ours, theirs
