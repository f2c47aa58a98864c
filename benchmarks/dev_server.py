"""`okibi dev`: how long it takes to start, and what its server adds to a request.

Measured are the time from the start of the process to the first answer of a function, and the
median time of a request by HTTP compared with the same invocation made on the sandboxes directly.
On a busy machine, where the first figure says little, the CPU time of all processes decides.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import trio

from okibi.dev.dev_function import DevFunction
from okibi.dev.dev_server import DevServer, DevServerOptions, open_dev_server
from okibi.local import FunctionSettings
from okibi.local.platform.invocation import Invocation
from okibi.local.sandbox.processes import cpu_seconds, descendants

from .contenders import FUNCTIONS

STARTS = 7
REQUESTS = 400
# Bars in seconds: to the first answer, and added to a request.
START_BAR, REQUEST_BAR = 1.0, 0.003

EVENT = json.dumps({"name": "Ada"}).encode()
INVOKE = "/2015-03-31/functions/{}/invocations"


def start_to_first_answer() -> tuple[float, float]:
    """Return the seconds from the start of `okibi dev` to the first answer, and the CPU time."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1"}
    # A user's own installation has its byte code.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "okibi.cli", "dev", "app.plain", "--port", "0"],
        cwd=FUNCTIONS,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first_line = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{first_line.rpartition(' ')[2]}/", data=EVENT) as answer:
            answer.read()
        took = time.perf_counter() - began
        cpu = sum(map(cpu_seconds, (process.pid, *descendants(process.pid))))
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    return took, cpu


async def invoke_by_http(client: trio.SocketStream, request: bytes) -> float:
    """Return the seconds of one request on an open connection."""
    began = time.perf_counter()
    await client.send_all(request)
    received = b""
    while not received.endswith(EVENT):
        received += await client.receive_some()
    return time.perf_counter() - began


async def invoke_directly(server: DevServer) -> float:
    """Return the seconds of the same invocation without HTTP."""
    invocation = Invocation(EVENT, 3.0)
    began = time.perf_counter()
    result = await server.pools["echo"].run_invocation(invocation)
    assert result.payload == EVENT
    return time.perf_counter() - began


async def measure_requests() -> tuple[float, float]:
    """Return the median seconds of a request by HTTP, and of an invocation without it."""
    settings = FunctionSettings(
        "app.plain",
        name="echo",
        task_root=FUNCTIONS,
        environment={"PYTHONPATH": str(Path.cwd())},
    )
    path = INVOKE.format("echo")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(EVENT)}\r\n\r\n"
    request = head.encode() + EVENT
    by_http, directly = list[float](), list[float]()
    async with (
        open_dev_server([DevFunction(settings)], DevServerOptions(port=0)) as server,
        await trio.open_tcp_stream("127.0.0.1", server.port) as client,
    ):
        for _ in range(REQUESTS):
            by_http.append(await invoke_by_http(client, request))
            directly.append(await invoke_directly(server))
    return statistics.median(by_http), statistics.median(directly)


def main() -> int:
    """Measure, print, and return 1 if a bar fails."""
    starts = [start_to_first_answer() for _ in range(STARTS)]
    start, cpu = (statistics.median(each) for each in zip(*starts, strict=True))
    print(
        f"start to the first answer: {start * 1000:.0f} ms, CPU time {cpu * 1000:.0f} ms"
        f" (bar {START_BAR * 1000:.0f}; medians of {STARTS}; load {os.getloadavg()[0]:.1f})"
    )
    by_http, directly = trio.run(measure_requests)
    added = by_http - directly
    print(
        f"a request by HTTP: {by_http * 1000:.2f} ms; the invocation alone: {directly * 1000:.2f}"
        f" ms; added: {added * 1000:.2f} ms (bar {REQUEST_BAR * 1000:.0f}; medians of {REQUESTS},"
        " interleaved)"
    )
    return 0 if min(start, cpu) <= START_BAR and added <= REQUEST_BAR else 1


if __name__ == "__main__":
    sys.exit(main())
