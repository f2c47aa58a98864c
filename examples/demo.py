"""`make demo`: okibi serves AWS events and survives errors, time-outs, exits and kills.

The bootstrap is a real process, `python -P -m okibi.runtime`. It speaks the Runtime API over TCP
with okibi's local Lambda. An unexpected result ends the demonstration with exit code 1.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import trio

from okibi.local import FunctionSettings, LocalLambda, open_local_lambda

HERE = Path(__file__).parent
SERVICES = {
    "http_api": "aws:http-api",
    "sqs": "aws:sqs",
    "s3": "aws:s3",
    "eventbridge": "aws.events",
    "rest_api": "aws:rest-api",
}
# The Runtime API sends a longer event in chunks.
CHUNKED_ABOVE = 2048
TIMEOUT = 1.0


class Unexpected(Exception):
    """A result differs from the expected one."""


@attrs.define(eq=False)
class Demonstration:
    """Invokes the function and compares each result with the expected one."""

    function: LocalLambda
    pid: int = 0
    served: int = 0
    by_instance: int = 0
    visits: dict[str, int] = attrs.field(factory=dict[str, int])

    async def invoke(self, payload: bytes) -> tuple[dict[str, Any], bool, float]:
        """Send one event; return the response, whether it is an error, and milliseconds."""
        began = time.perf_counter()
        result = await self.function.invoke(payload)
        took = (time.perf_counter() - began) * 1000
        return json.loads(result.payload), result.function_error is not None, took

    async def send_event(self, name: str) -> None:
        """Send an AWS event; check the response, the state of the servers and the process."""
        payload = (HERE / "events" / f"{name}.json").read_bytes()
        service = SERVICES[name]
        response, failed, took = await self.invoke(payload)
        self.served += 1
        self.by_instance += 1
        self.visits[service] = self.visits.get(service, 0) + 1
        self.pid = self.pid or response.get("pid", 0)
        expect(
            response if not failed else {"error": response},
            {
                "hello": service,
                "visit": self.visits[service],
                "served": self.served,
                "served by this instance": self.by_instance,
                "pid": self.pid,
            },
        )
        chunked = ", chunked" if len(payload) > CHUNKED_ABOVE else ""
        say(
            f"  {service:13} {len(payload):5} B{chunked:9}  visit {response['visit']}, "
            f"{response['served']:2} served in all, pid {response['pid']}   {took:6.1f} ms"
        )

    async def misbehave(self, what: str, error_type: str | None) -> dict[str, Any]:
        """Make the function do something harmful; check the error type of the response."""
        response, failed, took = await self.invoke(json.dumps({"do": what}).encode())
        expect(response.get("errorType") if failed else None, error_type)
        if error_type is not None:
            # okibi replaces an instance that has failed.
            self.by_instance = 0
            error = f"{response['errorType']}: {response['errorMessage']}"
            say(f"  answered with an error, as expected   {took:6.1f} ms\n    {error}")
        return response


def expect(found: object, expected: object) -> None:
    """End the demonstration if the two differ."""
    if found != expected:
        raise Unexpected(f"expected {expected!r}, got {found!r}")


def say(text: str) -> None:
    """Print and flush."""
    print(text, flush=True)


async def demonstrate(function: LocalLambda) -> None:
    """Run all steps."""
    demo = Demonstration(function)
    say("\nFive AWS services send one event each, then once more (warm).")
    for name in [*SERVICES, *SERVICES]:
        await demo.send_event(name)
    say(f"  the bootstrap is process {demo.pid}; the same process must serve every event")

    say("\nThe handler raises.")
    await demo.misbehave("raise", "ValueError")
    await demo.send_event("sqs")
    say("  same process, new handler instance; both servers kept their state")

    say(f"\nThe handler runs past its deadline of {TIMEOUT:g} s.")
    await demo.misbehave("sleep", "Runtime.DeadlineExceeded")
    await demo.send_event("s3")
    say("  okibi cancelled the handler before the platform would have killed the sandbox")

    say("\nThe Visits server is killed.")
    await demo.misbehave("kill visits", None)
    demo.by_instance += 1
    demo.visits.clear()
    await demo.send_event("sqs")
    say("  Visits was restarted and counts from 1; Served kept its count")

    say("\nThe handler calls sys.exit(3).")
    await demo.misbehave("exit", "SystemExit")
    await demo.send_event("http_api")

    response = await demo.misbehave("tree", None)
    say("\nThe supervision tree with its restarts:")
    say(response["tree"])
    restarted = [line for line in response["tree"].splitlines() if "restarted" in line]
    expect(["visits (Visits)" in line for line in restarted], [True])
    expect(function.starts, 1)
    expect(response["pid"], demo.pid)


async def main() -> int:
    """Serve `visits/app.py` and run the demonstration."""
    lines: list[str] = []
    settings = FunctionSettings(
        name="visits",
        handler="app.function",
        task_root=HERE / "visits",
        timeout=TIMEOUT,
        # Half of the time-out: even a busy machine answers before the kill.
        environment={"OKIBI_DEADLINE_MARGIN_MS": "500"},
    )
    began = time.perf_counter()
    try:
        with trio.fail_after(50):
            async with open_local_lambda(settings, output=lines.append) as function:
                await demonstrate(function)
    except (Unexpected, trio.TooSlowError) as unexpected:
        say("\n".join(lines))
        say(f"\nUnexpected: {unexpected!r}")
        return 1
    reports = [line for line in lines if line.startswith("REPORT")]
    say(f"\n{len(reports)} invocations, 1 cold start, 0 lost. Lambda's first and last report:")
    say(f"  {reports[0]}\n  {reports[-1]}")
    say(f"All as expected, in {time.perf_counter() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(trio.run(main))
