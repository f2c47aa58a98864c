"""The local Lambda with the tests' own bootstrap."""

import json
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from okibi.local import FunctionSettings, LocalLambda, RuntimeApiOptions, open_local_lambda
from tests.limits import HANG

BOOTSTRAP = Path(__file__).with_name("plain_bootstrap.py")


def settings(handler: str = "app.handler", **fields: Any) -> FunctionSettings:
    fields.setdefault("task_root", BOOTSTRAP.parent)
    return FunctionSettings(handler, command=(sys.executable, "-S", "-E", str(BOOTSTRAP)), **fields)


@asynccontextmanager
async def opened(
    handler: str = "app.handler",
    *,
    api: RuntimeApiOptions | None = None,
    freeze: bool = False,
    grace: float = 10.0,
    any_process: bool = False,
    allowed_hosts: Collection[str] = (),
    **fields: Any,
) -> AsyncIterator[tuple[LocalLambda, list[str]]]:
    """Open a local Lambda. The long grace period keeps a busy machine from deciding a test."""
    lines: list[str] = []
    with trio.fail_after(HANG):
        async with open_local_lambda(
            settings(handler, **fields),
            output=lines.append,
            api=api,
            freeze=freeze,
            grace=grace,
            any_process=any_process,
            allowed_hosts=allowed_hosts,
        ) as function:
            yield function, lines


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()
