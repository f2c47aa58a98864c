"""`okibi tree --live`: the trees of the functions that a running `okibi dev` serves."""

from functools import partial
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

import msgspec
import trio

from ..observer.live_trees import decode_trees
from ..observer.tree_text import describe_tree
from ..project.bad_input import BadInput
from .output import write_err, write_text

OUTPUT = "the trees"
GOOD, NO_TREE = 0, 1
# Seconds for all sandboxes to answer.
TIMEOUT = 30.0


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
    try:
        trees = decode_trees(body)
        texts = ["\n".join(describe_tree(each)) for each in trees if not each.error]
    except msgspec.DecodeError as error:
        raise BadInput(
            f"what answers on port {port} is not okibi dev of this version ({error}); give the port"
            " of okibi dev, as in --port 9001"
        ) from error
    if json:
        write_text(f"{msgspec.json.format(body).decode()}\n", OUTPUT)
    else:
        write_text("\n\n".join(texts) + "\n" if texts else "", OUTPUT)
    for each in trees:
        if each.error:
            write_err(f"okibi: {each.function}, sandbox {each.sandbox}: {each.error}")
    if not trees:
        write_err("okibi: no sandbox runs now; the next event starts one")
    return NO_TREE if any(each.error for each in trees) else GOOD


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
