"""Many events at once with one socket each: what one process can do at most.

    python -m benchmarks.peers.lanes loop     a loop around epoll, with a heap of timers
    python -m benchmarks.peers.lanes trio     a trio task per socket
    python -m benchmarks.peers.lanes threads  a thread per socket, without a loop

Each event is echoed after 20 ms, as by the handlers it is compared with. No JSON, and HTTP only by
splitting. All three measure time in microseconds, as okibi does. Events must arrive in one read.
"""

import heapq
import os
import select
import socket
import sys
import time

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = (
    b"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" + NEXT
)
HEAD_END, LENGTH = b"\r\n\r\n", b"Content-Length: "
REQUEST_ID = b"Lambda-Runtime-Aws-Request-Id: "
WAITS = 0.02


def open_lanes() -> list[socket.socket]:
    """Open a connection per event in flight, and ask for an event on each."""
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    slots = int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1"))
    made = [socket.create_connection((host, int(port))) for _ in range(slots)]
    for lane in made:
        lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lane.sendall(NEXT)
        lane.setblocking(False)
    return made


def answer_to(came: bytes) -> bytes:
    """Return the response to received bytes, or b"" for a status."""
    while came:
        end = came.index(HEAD_END) + len(HEAD_END)
        size = came.index(LENGTH) + len(LENGTH)
        behind = end + int(came[size : came.index(b"\r\n", size)])
        at = came.find(REQUEST_ID, 0, end) + len(REQUEST_ID)
        if at >= len(REQUEST_ID):
            body = came[end:behind]
            return ANSWER % (came[at : came.index(b"\r\n", at)], len(body), body)
        came = came[behind:]
    return b""


def run_epoll() -> None:
    """Run one loop: first handle received bytes, then due timers."""
    from okibi.runtime.system.timerfd import timerfd

    create, set_timer = timerfd()
    timer = create()
    waits_by = select.epoll()
    waits_by.register(timer, select.EPOLLIN | select.EPOLLET)
    by_number = {lane.fileno(): lane for lane in open_lanes()}
    for number in by_number:
        waits_by.register(number, select.EPOLLIN)
    due: list[tuple[float, int, bytes]] = []
    rings_at = 0.0
    while True:
        for number, _ in waits_by.poll():
            if number != timer:
                came = by_number[number].recv(8192) or sys.exit("the server has gone")
                if answer := answer_to(came):
                    heapq.heappush(due, (time.perf_counter() + WAITS, number, answer))
        while due and due[0][0] <= time.perf_counter():
            _, number, answer = heapq.heappop(due)
            by_number[number].send(answer)
        if due and due[0][0] != rings_at:
            rings_at = due[0][0]
            set_timer(timer, max(1e-9, rings_at - time.perf_counter()))


def run_trio() -> None:
    """Run a task per connection."""
    import trio

    from okibi.runtime.system.precise_clock import PreciseClock

    clock = PreciseClock()

    async def serve(lane: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(lane)
            if answer := answer_to(lane.recv(8192) or sys.exit("the server has gone")):
                await trio.sleep(WAITS)
                lane.send(answer)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run_timer)
            for lane in open_lanes():
                nursery.start_soon(serve, lane)

    trio.run(main, clock=clock)


def run_threads() -> None:
    """Run a thread per connection, woken as precisely as a plain `def`'s."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    from okibi.runtime.system.scheduling import remove_timer_slack

    def serve(lane: socket.socket) -> None:
        remove_timer_slack()
        lane.setblocking(True)
        while True:
            if answer := answer_to(lane.recv(8192) or sys.exit("the server has gone")):
                time.sleep(WAITS)
                lane.send(answer)

    all_lanes = open_lanes()
    pool = ThreadPoolExecutor(len(all_lanes))
    ended, _ = wait([pool.submit(serve, lane) for lane in all_lanes], None, FIRST_EXCEPTION)
    print(*(each.exception() for each in ended), file=sys.stderr, flush=True)
    # The other threads wait for events that will not come.
    os._exit(1)


if __name__ == "__main__":
    {"loop": run_epoll, "trio": run_trio, "threads": run_threads}[sys.argv[1]]()
