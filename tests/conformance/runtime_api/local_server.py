"""okibi's local server in a thread with its own trio run, for clients that block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import trio

from okibi.local import FunctionSettings, RuntimeApiOptions, open_local_lambda

__all__ = ["BOOTSTRAP", "SLOTS", "STARTED", "serve_local"]

STARTED = "bootstrap started"
BOOTSTRAP = f"trap 'echo asked to end; exit 0' TERM; echo {STARTED}; while :; do sleep 0.05; done"
"""A runtime that prints that it has started, then idles: the suite sends its requests."""
SLOTS = 4


Address = tuple[str, int]


@contextmanager
def serve_local(mode: str, timeout: int, log: Path) -> Iterator[tuple[Address, Address]]:
    """Serve until the block exits. The output of the bootstrap goes to the log.

    Yields the addresses of the Runtime API and of the Invoke API.
    """
    slots = SLOTS if mode == "many" else None
    settings = FunctionSettings(
        "test.handler",
        name="function",
        command=("/bin/sh", "-c", BOOTSTRAP),
        timeout=timeout,
        max_concurrency=slots,
    )
    api = RuntimeApiOptions(invocation_ids=mode == "many")
    scope, failures = trio.CancelScope(), list[BaseException]()
    ready = threading.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    addresses: list[tuple[Address, Address]] = []

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope, log.open("a", buffering=1) as lines:
            async with open_local_lambda(
                settings,
                api=api,
                output=lambda line: print(line, file=lines),
                grace=5.0,
                any_process=True,
            ) as function:
                invoked_at = urlsplit(function.invoke_url).netloc
                addresses.append((address_of(function.runtime_api), address_of(invoked_at)))
                ready.set()
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait()
        if addresses:
            yield addresses[0]
    finally:
        if tokens and thread.is_alive():
            tokens[0].run_sync_soon(scope.cancel)
        thread.join()
    if failures:
        raise failures[0]


def address_of(netloc: str) -> Address:
    """Parse an address such as `127.0.0.1:8080`."""
    host, _, port = netloc.rpartition(":")
    return host, int(port)
