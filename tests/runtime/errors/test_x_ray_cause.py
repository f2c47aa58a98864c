"""The X-Ray cause of an error has the official client's bytes."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.support.extensions_api import Extensions
from tests.support.sandbox import COMMAND, process_of, runtime_api
from tests.support.side_by_side import official_path

CAUSE = re.compile(rb"\r\nlambda-runtime-function-xray-error-cause: *([^\r]*)\r\n", re.IGNORECASE)
HANDLERS = """
import time

def handler(event, context):
    if event["do"] == "raise":
        raise LookupError("not there")
    if event["do"] == "return":
        return object()
    time.sleep(60)

async def awaits(event, context):
    import trio
    await trio.sleep(60)
"""
Event = tuple[bytes, dict[str, Any]]
EVENTS: Mapping[str, Event] = {
    "an exception": (b'{"do": "raise"}', {}),
    "a result that is not JSON": (b'{"do": "return"}', {}),
    "an event that is not JSON": (b"no", {}),
    "a client context that is not JSON": (b"{}", {"client_context": "{"}),
    "a Cognito identity that is not JSON": (b"{}", {"cognito_identity": "x"}),
}


class Tapped(trio.abc.Stream):
    """A stream that records what was received.

    Args:
        inner: the stream.
        heard: the list of the received pieces.
    """

    def __init__(self, inner: trio.abc.Stream, heard: list[bytes]) -> None:
        self._inner = inner
        self._heard = heard

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._inner.receive_some(max_bytes)
        self._heard.append(bytes(data))
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()


@attrs.define(eq=False)
class Heard(Extensions):
    """The Runtime API, with every byte that the runtime sent."""

    heard: list[bytes] = attrs.field(factory=list[bytes])

    async def serve(self, stream: trio.SocketStream) -> None:
        await self.api.serve_connection(Tapped(stream, self.heard))

    def causes(self) -> list[bytes]:
        """The X-Ray causes, in order."""
        return CAUSE.findall(b"".join(self.heard))


async def causes_of(
    command: tuple[str, ...], handler: str, root: Path, events: Mapping[str, Event]
) -> list[bytes]:
    """The X-Ray cause of each event's error."""
    heard = Heard(runtime_api(timeout=1))
    told: dict[str, Any] = {"OKIBI_GRACEFUL_SHUTDOWN": "0"}
    if command is not COMMAND:
        told["PYTHONPATH"] = official_path()
    async with process_of(handler, task_root=root, command=command, extensions=heard, **told):
        for body, sent in events.values():
            assert (await heard.api.invoke(body, **sent)).function_error is not None
    return heard.causes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(HANDLERS)
    return tmp_path


async def test_each_x_ray_cause_has_the_official_client_s_bytes(root: Path) -> None:
    handler = "app.handler"
    official = (sys.executable, "-m", "awslambdaric", handler)
    theirs = await causes_of(official, handler, root, EVENTS)
    ours = await causes_of(COMMAND, handler, root, EVENTS)

    assert ours == theirs
    assert len(ours) == len(EVENTS)


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["handler", "awaits"])
async def test_a_late_handler_s_x_ray_cause_names_its_line(handler: str, root: Path) -> None:
    (line,) = await causes_of(COMMAND, f"app.{handler}", root, {"late": (b'{"do": "sleep"}', {})})

    cause = json.loads(line)
    (exception,) = cause["exceptions"]
    assert exception["type"] == "Runtime.DeadlineExceeded"
    assert "ran out of time" in exception["message"]
    assert exception["stack"][0]["label"] == handler
    assert cause["paths"] == [str(root / "app.py")]
