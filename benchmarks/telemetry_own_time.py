"""The CPU time of telemetry itself: `python -m benchmarks.telemetry_own_time`.

Bootstrap processes serve the same events in turns, round by round: with nothing registered, with a
function after the response, with an observer, with an export that does nothing, and with
`trace_events` and a processor that keeps nothing. In the last, the handler itself makes a span with
the same attributes and flushes, as a vendor's wrapper does. Printed are microseconds of CPU time an
event, of all threads.
"""

import os
import re
import signal
import socket
import statistics
import subprocess

from okibi.bench.measured_runtime import OKIBI_COMMAND

from . import events
from .canned import PATIENCE, event
from .contenders import FUNCTIONS, ROOT
from .requests import Requests

ROUNDS = 9
# Events that are not measured, and that are.
WARM, EVENTS = 200, 1000
SERVED = ("nothing", "after_response", "observer", "export", "OpenTelemetry", "SDK")


def serve(observed: str) -> float:
    """Return microseconds of CPU time of an event."""
    handler = "handler_in_span" if observed == "SDK" else "handler"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        environment = {
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "_HANDLER": f"observed_app.{handler}",
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
            "OBSERVED": observed,
            "OBSERVED_EVENTS": f"{WARM} {EVENTS}",
            "OKIBI_GRACEFUL_SHUTDOWN": "0",
        }
        process = subprocess.Popen(
            OKIBI_COMMAND, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        try:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(PATIENCE)
                made, requests = event(20), Requests(1000)
                requests.attach(connection)
                requests.until_next()
                for _ in range(WARM + EVENTS):
                    connection.sendall(made)
                    # The answer. The GET comes with it, or after the work that follows the status.
                    assert requests.answers()
                    connection.sendall(events.STATUS)
                    requests.until_next()
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    found = re.search(r"^CPU (.+)$", said, re.MULTILINE)
    if found is None:
        raise SystemExit(f"the function has reported no time:\n{said[-2000:]}")
    return float(found[1])


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in SERVED}
    for _ in range(ROUNDS):
        for name in SERVED:
            times[name].append(serve(name))
    nothing, after, observer, export, traced, sdk = map(statistics.median, times.values())
    adapter = traced - export - (sdk - nothing)
    print(f"an event, nothing registered              {nothing:6.1f} us")
    print(f"an empty function after the response      {after - nothing:+6.1f} us")
    print(f"an empty observer                         {observer - nothing:+6.1f} us")
    print(f"an empty observer and an empty export     {export - nothing:+6.1f} us")
    print(f"the SDK in the handler, flush included    {sdk - nothing:+6.1f} us")
    print(f"trace_events                              {traced - nothing:+6.1f} us")
    print(f"  beyond the SDK and the empty ones (30)  {adapter:+6.1f} us")


if __name__ == "__main__":
    main()
