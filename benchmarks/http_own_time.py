"""The CPU time that Http adds to a request: `python -m benchmarks.http_own_time`.

Http and a bare httpx.AsyncClient take turns at the same local server, round by round, each with a
connection that stays open. The server is a process of its own, so its time does not count. The bar
is 1.15 of the bare client's time.
"""

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
import trio

from okibi.http import Http

ROUNDS, REQUESTS = 31, 200
ANSWER = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"price":3}'
)
SERVER = f"""
import socket
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    import threading
    def serve(connection):
        while connection.recv(65536):
            connection.sendall({ANSWER!r})
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


async def timed(get: Callable[[str], Awaitable[httpx.Response]]) -> float:
    """Return the microseconds of CPU time that a request takes."""
    gc.collect()
    began = time.process_time_ns()
    for _ in range(REQUESTS):
        response = await get("/orders/7")
        assert response.status_code == 200
    return (time.process_time_ns() - began) / REQUESTS / 1000


async def measure(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    api, pairs = Http(url), list[tuple[float, float]]()
    async with httpx.AsyncClient(base_url=url) as client:
        await timed(api.get)
        await timed(client.get)
        for number in range(ROUNDS):
            if number % 2:
                bare = await timed(client.get)
                pairs.append((await timed(api.get), bare))
            else:
                pairs.append((await timed(api.get), await timed(client.get)))
    own, bare = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print("CPU time in us a request: Http, httpx, median of the rounds' ratios")
    print(f"{own:.0f} {bare:.0f}  {ratio:.3f} (bar 1.15)")


def main() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            trio.run(measure, int(server.stdout.readline()))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
