"""`okibi tree --live`: the trees of the functions that a running `okibi dev` serves."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

import attrs
import msgspec
import trio

from ..observer.drawing import draw
from ..project.bad_input import BadInput
from ..runtime.errors.user_code import is_okibi_file
from ..supervisors.snapshots import describe_load, describe_next_start
from .output import write_err, write_text

OUTPUT = "the trees"
GOOD, NO_TREE = 0, 1
TIMEOUT = 30.0
"""Seconds for all sandboxes to answer."""


@attrs.frozen
class LiveNode:
    """The fields of a `Snapshot` that are shown; ages are None while the event loop is stuck."""

    path: str
    actor: str
    phase: str
    incarnation: int
    waiting: int
    peak: int
    callers: int
    recent_restarts: int
    age: float | None
    message: str
    message_age: float | None
    line: str
    next_start: float | None = 0.0
    reason: str = ""
    suspended: bool = False
    children: "Sequence[LiveNode]" = ()


@attrs.frozen
class LiveSandbox:
    """The fields of a `LiveTree` of `okibi dev`, decoded from JSON."""

    function: str
    sandbox: int
    pid: int | None
    frozen: bool
    tree: LiveNode | None = None
    error: str = ""


async def print_trees(function: str | None, port: int, *, json: bool = False) -> int:
    """Print the trees of the functions that a running `okibi dev` serves.

    Args:
        function: the name of the function there; None: all functions.
        port: the port of `okibi dev`.
        json: whether to print JSON in place of text.

    Returns:
        The exit code: 0, 1 if a sandbox did not answer.

    Raises:
        BadInput: `okibi dev` does not answer there, or does not serve the function.
    """
    body = await _fetch(function, port)
    sandboxes = _decode(body, port)
    if json:
        write_text(f"{msgspec.json.format(body).decode()}\n", OUTPUT)
    else:
        texts = ["\n".join(_describe_sandbox(each)) for each in sandboxes if each.tree is not None]
        write_text("\n\n".join(texts) + "\n" if texts else "", OUTPUT)
    for each in sandboxes:
        if each.error:
            write_err(f"okibi: {each.function}, sandbox {each.sandbox}: {each.error}")
    if not sandboxes:
        write_err("okibi: no sandbox runs now; the next event starts one")
    return NO_TREE if any(each.error for each in sandboxes) else GOOD


async def _fetch(function: str | None, port: int) -> bytes:
    """Ask `okibi dev`.

    Raises:
        BadInput: `okibi dev` does not run there, or does not serve the function.
    """
    query = "" if function is None else f"?{urlencode({'function': function})}"
    try:
        ask = partial(_get, port, f"/okibi/tree{query}")
        status, body = await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"okibi dev does not answer on port {port} ({reason}); start it first, or give its"
            " port, as in --port 9001"
        ) from error
    if status == 404 and (message := _read_message(body)):
        raise BadInput(message)
    if status != 200:
        raise BadInput(
            f"what answers on port {port} is not okibi dev (HTTP {status}); give the port of"
            " okibi dev, as in --port 9001"
        )
    return body


def _get(port: int, path: str) -> tuple[int, bytes]:
    # Not httpx: its import takes longer than all else here.
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _read_message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=dict[str, str]).get("Message", "")
    except msgspec.DecodeError:
        return ""


def _decode(body: bytes, port: int) -> list[LiveSandbox]:
    try:
        return msgspec.json.decode(body, type=list[LiveSandbox])
    except msgspec.DecodeError as error:
        raise BadInput(
            f"what answers on port {port} is not okibi dev of this version ({error}); give the port"
            " of okibi dev, as in --port 9001"
        ) from error


def _describe_sandbox(sandbox: LiveSandbox) -> Iterator[str]:
    frozen = ", frozen" if sandbox.frozen else ""
    yield f"{sandbox.function}, sandbox {sandbox.sandbox} (process {sandbox.pid}{frozen})"
    if sandbox.tree is not None:
        yield from draw(sandbox.tree, describe_live)


def describe_live(node: LiveNode) -> Iterator[str]:
    """Yield the parts of an actor's line: since when, how often restarted, then its messages."""
    plain = node.actor in ("", "Supervisor", "RootSupervisor")
    yield node.path.rpartition("/")[2] + ("" if plain else f" ({node.actor})")
    # Of a child that does not run, only the phase is known.
    since = "" if node.age is None or not node.actor else f" for {_duration(node.age)}"
    yield f"{node.phase}{since}{describe_next_start(node.next_start or 0.0)}"
    if node.reason:
        yield node.reason
    if node.suspended:
        yield "suspended"
    if node.incarnation > 1:
        yield f"restarted {node.incarnation - 1} x"
    yield from describe_load(node.recent_restarts, node.waiting, node.peak, node.callers)
    if node.message:
        age = "" if node.message_age is None else f" for {_duration(node.message_age)}"
        yield f"handling {node.message}{age}"
    if node.line and not is_okibi_file(node.line):
        # An idle actor of okibi's waits in okibi's code.
        yield f"at {_shorten(node.line)}"


def _shorten(line: str) -> str:
    """Write the file of a line relative to the current folder, if it is there."""
    return line.removeprefix(os.path.join(os.getcwd(), ""))


def _duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    >>> _duration(0.0421), _duration(61.2), _duration(7322)
    ('0.04 s', '1 min 1 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.3g} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
