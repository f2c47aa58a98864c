"""`okibi dev`'s server in a thread, for clients that block."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from okibi.dev.dev_function import DevFunction
from okibi.dev.dev_server import DevServerOptions, open_dev_server
from tests.limits import HANG

__all__ = ["serve_in_thread"]


@contextmanager
def serve_in_thread(functions: Sequence[DevFunction]) -> Iterator[str]:
    """Serve functions on a free port, and yield the server's address."""
    started: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()

    async def serve() -> None:
        async with open_dev_server(functions, DevServerOptions(port=0)) as server:
            token, stopped = trio.lowlevel.current_trio_token(), trio.Event()
            started.put((server.url, lambda: token.run_sync_soon(stopped.set)))
            await stopped.wait()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    url, stop = started.get(timeout=HANG)
    try:
        yield url
    finally:
        stop()
        thread.join()
