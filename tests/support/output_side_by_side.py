"""The official client and okibi on the local server, with the same function file.

The official client is used if installed where the tests run; `make bench` installs it.
"""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from okibi.local import FunctionSettings, open_local_lambda
from okibi.local.platform.invocation import Invocation
from tests.limits import HANG
from tests.support.sandbox import COMMAND, FUNCTIONS, PYTHON, ROOT

# The environment in which the client does not escape beyond ASCII (managed runtimes since 3.12).
MANAGED = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"}
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z")

DEPTH = re.compile(r"repeated [0-9]+ more")


@attrs.frozen
class Said:
    """The output and the responses of a client, without parts that differ between runs."""

    output: str
    bodies: list[str]

    def body(self) -> Any:
        """Return the only response, decoded."""
        (body,) = self.bodies
        return json.loads(body)


def masked(text: str) -> str:
    """Mask times, request ids, and the depth of a recursion."""
    return DEPTH.sub("repeated <n> more", TIME.sub("<time>", ID.sub("<id>", text)))


def needs_official() -> str:
    """Return the folder of the official client; skip the test if it is not installed."""
    found = importlib.util.find_spec("awslambdaric")
    if found is None or found.origin is None or importlib.util.find_spec("runtime_client") is None:
        pytest.skip("awslambdaric is not installed (make bench does it)")
    return str(Path(found.origin).parents[1])


async def official(handler: str, events: Sequence[object], **options: Any) -> Said:
    """Serve events with the official client."""
    home = needs_official()
    path = os.pathsep.join([str(options.get("task_root", FUNCTIONS)), home])
    command = (sys.executable, "-m", "awslambdaric", handler)
    return await _serve(handler, events, command, {**MANAGED, "PYTHONPATH": path}, **options)


async def okibi(handler: str, events: Sequence[object], **options: Any) -> Said:
    """Serve events with okibi."""
    # Without an extension: okibi would log at DEBUG that there is none.
    own = {"PYTHONPATH": str(ROOT), "OKIBI_GRACEFUL_SHUTDOWN": "0"}
    return await _serve(handler, events, COMMAND, own, **options)


async def _serve(
    handler: str,
    events: Sequence[object],
    command: tuple[str, ...],
    own: Mapping[str, str],
    *,
    output: Path,
    task_root: Path = FUNCTIONS,
    environment: Mapping[str, str] | None = None,
    tenant_id: str = "",
    frames: Path | None = None,
) -> Said:
    # Into a file, to see every byte as written.
    more = "" if frames is None else f'9>"{frames}"'
    redirected = ("/bin/sh", "-c", f'exec "$@" {more} >>"{output}" 2>&1', "sh", *command)
    settings = FunctionSettings(
        handler,
        command=redirected,
        task_root=task_root,
        timeout=10,
        environment={**PYTHON, **own, **(environment or {})},
    )
    bodies: list[str] = []
    with trio.fail_after(HANG):
        async with open_local_lambda(settings, output=lambda _: None) as function:
            for event in events:
                invocation = Invocation(json.dumps(event).encode(), 10, tenant_id=tenant_id)
                result = await function.run_invocation(invocation)
                bodies.append(masked(result.payload.decode()))
            await function.wait_for_report()
    written = await trio.Path(output).read_bytes()
    return Said(masked(written.decode()), bodies)
