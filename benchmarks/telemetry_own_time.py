"""The CPU time of telemetry itself: `python -m benchmarks.telemetry_own_time`.

Bootstrap processes serve the same events in turns, round by round: with nothing registered, with a
function after the response, with an observer, with an export that does nothing, and with
the adapters of OpenTelemetry (with a processor that keeps nothing), Powertools and Sentry. Beside
each adapter the handler itself does the same, as the vendor's own wrapper does. Printed are
microseconds of CPU time an event, of all threads.
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
# The handlers that do what an adapter does, by name.
OWN_WRAPPERS = {
    "OpenTelemetry itself": "handler_in_span",
    "Powertools itself": "handler_in_decorators",
    "Sentry itself": "handler_in_transaction",
}
SERVED = (
    "nothing", "after_response", "observer", "export",
    "OpenTelemetry", "Powertools", "Sentry", *OWN_WRAPPERS,
)  # fmt: skip


def serve(observed: str) -> float:
    """Return microseconds of CPU time of an event."""
    handler = OWN_WRAPPERS.get(observed, "handler")
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
            OKIBI_COMMAND,
            env=environment,
            cwd=ROOT,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
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
    took = {name: statistics.median(of) for name, of in times.items()}
    nothing = took["nothing"]
    print(f"an event, nothing registered              {nothing:6.1f} us")
    print(f"an empty function after the response      {took['after_response'] - nothing:+6.1f} us")
    print(f"an empty observer                         {took['observer'] - nothing:+6.1f} us")
    print(f"an empty observer and an empty export     {took['export'] - nothing:+6.1f} us")
    for itself in OWN_WRAPPERS:
        name = itself.removesuffix(" itself")
        # Powertools' metrics are printed; nothing is exported.
        empty = took["observer" if name == "Powertools" else "export"]
        print(f"{itself + ', in the handler':42}{took[itself] - nothing:+6.1f} us")
        print(f"{'the adapter of ' + name:42}{took[name] - nothing:+6.1f} us")
        beyond = took[name] - empty - (took[itself] - nothing)
        print(f"  beyond itself and the empty ones (30)   {beyond:+6.1f} us")


if __name__ == "__main__":
    main()
