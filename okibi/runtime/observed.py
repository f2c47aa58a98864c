"""`python -P -m okibi.runtime.observed FOLDER`: serve a function whose tree can be looked at.

`okibi dev` starts sandboxes so. Each connection to a Unix socket in the folder, named by the
process id, is answered with a snapshot of the tree as JSON. A production start does not import this
module.

A thread answers, because the event loop may be stuck: the moment at which a snapshot is needed. The
thread asks the loop first, which alone knows the ages.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .__main__ import __getattr__ as __getattr__
from .__main__ import start

if TYPE_CHECKING:
    import socket

    from trio.lowlevel import TrioToken

    from ..actors.process import Process
    from ..supervisors import Snapshot


# Seconds for the event loop to answer, and for the client to read.
LOOP_LIMIT = 0.2
READ_LIMIT = 1.0


def serve_snapshots(folder: str, root: Process) -> None:
    """Answer connections from now on, in a thread. Call it in the event loop.

    Args:
        folder: a folder of this user only.
        root: the root of the tree.

    Raises:
        OSError: the socket cannot be made.
    """
    import socket

    from trio.lowlevel import current_trio_token

    from .system.unlisted_thread import start_unlisted_thread

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, str(os.getpid())))
    listener.listen()
    start_unlisted_thread(partial(_answer_all, listener, root, current_trio_token()))


def _answer_all(listener: socket.socket, root: Process, token: TrioToken) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(READ_LIMIT)
            try:
                connection.sendall(_encode(_take_snapshot(root, token)))
            except OSError:
                continue  # the client has left


def _take_snapshot(root: Process, token: TrioToken) -> Snapshot:
    from queue import Empty, SimpleQueue

    from trio import RunFinishedError

    from ..actors import Ref
    from ..supervisors import snapshot

    take: Callable[[], Snapshot] = partial(snapshot, Ref(root))
    taken: SimpleQueue[Snapshot] = SimpleQueue()
    try:
        token.run_sync_soon(lambda: taken.put(take()))
        return taken.get(timeout=LOOP_LIMIT)
    except (Empty, RunFinishedError):
        return take()


def _encode(tree: Snapshot) -> bytes:
    import json

    import attrs

    def without_nan(_: object, __: object, value: object) -> object:
        return None if value != value else value

    return json.dumps(attrs.asdict(tree, value_serializer=without_nan)).encode()


def _observe(folder: str, root: Process) -> None:
    try:
        serve_snapshots(folder, root)
    except OSError as error:
        # The function itself is not harmed.
        print(f"okibi: no snapshots of the tree: {error}", flush=True)


def main() -> None:
    """Serve the function, and answer in the folder."""
    # An argument, not a variable: the user's code has the environment of an ordinary sandbox.
    start(observe=partial(_observe, sys.argv.pop(1)))


if __name__ == "__main__":
    main()
