"""`make demo`: a real bootstrap serves real AWS events and survives what is done to it.

Everything here is real: the bootstrap is a process of its own, `python -P -m okibi.runtime`; it
speaks the Runtime API over TCP with the local Lambda of this project, which the events reach by
HTTP as they would reach Lambda. Anything unexpected ends the demonstration non-zero.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
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
# Above this the Runtime API sends an event chunked.
CHUNKED_ABOVE = 2048
TIMEOUT = 1.0


class Unexpected(Exception):
    """The demonstration did not show what it is there to show."""


@attrs.define(eq=False)
class Demonstration:
    """Invokes the function and compares what comes with what must come."""

    function: LocalLambda
    client: httpx.AsyncClient
    pid: int = 0
    served: int = 0
    by_instance: int = 0
    visits: dict[str, int] = attrs.field(factory=dict[str, int])

    async def invoke(self, payload: bytes) -> tuple[dict[str, Any], bool, float]:
        """Send one event; its answer, whether that is an error, and the milliseconds it took."""
        began = time.perf_counter()
        response = await self.client.post(self.function.invoke_url, content=payload)
        took = (time.perf_counter() - began) * 1000
        return response.json(), "x-amz-function-error" in response.headers, took

    async def event(self, name: str) -> None:
        """Send an AWS event and see that state, process and answer are as they must be."""
        payload = (HERE / "events" / f"{name}.json").read_bytes()
        service = SERVICES[name]
        answer, failed, took = await self.invoke(payload)
        self.served += 1
        self.by_instance += 1
        self.visits[service] = self.visits.get(service, 0) + 1
        self.pid = self.pid or answer.get("pid", 0)
        expect(
            answer if not failed else {"an error": answer},
            {
                "hello": service,
                "visit": self.visits[service],
                "served": self.served,
                "served by this instance": self.by_instance,
                "pid": self.pid,
            },
        )
        way = ", chunked" if len(payload) > CHUNKED_ABOVE else ""
        say(
            f"  {service:13} {len(payload):5} B{way:9}  visit {answer['visit']}, "
            f"{answer['served']:2} served in all, pid {answer['pid']}   {took:6.1f} ms"
        )

    async def mischief(self, what: str, error_type: str | None) -> dict[str, Any]:
        """Have the function do something that would cost a cold start elsewhere."""
        answer, failed, took = await self.invoke(json.dumps({"do": what}).encode())
        expect(answer.get("errorType") if failed else None, error_type)
        if error_type is not None:
            # The instance that failed is not trusted again; a new one serves from here.
            self.by_instance = 0
            told = f"{answer['errorType']}: {answer['errorMessage']}"
            say(f"  answered with an error, as it must be   {took:6.1f} ms\n    {told}")
        return answer


def expect(found: object, wanted: object) -> None:
    """Stop the demonstration if the two differ."""
    if found != wanted:
        raise Unexpected(f"expected {wanted!r}, and there came {found!r}")


def say(text: str) -> None:
    """Print, at once: somebody is watching."""
    print(text, flush=True)


async def demonstrate(function: LocalLambda, client: httpx.AsyncClient) -> None:
    """The whole of it."""
    demo = Demonstration(function, client)
    say("\nFive AWS services send an event each, then all of them again (warm).")
    for name in [*SERVICES, *SERVICES]:
        await demo.event(name)
    say(f"  the bootstrap is process {demo.pid}; it must serve until the end")

    say("\nThe handler raises.")
    await demo.mischief("raise", "ValueError")
    await demo.event("sqs")
    say("  same process; a new handler instance; the state of both servers lived on")

    say(f"\nThe handler runs past its deadline of {TIMEOUT:g} s.")
    await demo.mischief("sleep", "Runtime.DeadlineExceeded")
    await demo.event("s3")
    say("  okibi ended it before the platform would have ended the sandbox")

    say("\nThe Visits server is killed.")
    await demo.mischief("kill visits", None)
    demo.by_instance += 1
    demo.visits.clear()
    await demo.event("sqs")
    say("  Visits was restarted and starts to count afresh; Served, beside it, kept its count")

    say("\nThe handler calls sys.exit(3).")
    await demo.mischief("exit", "SystemExit")
    await demo.event("http_api")

    answer = await demo.mischief("tree", None)
    say("\nThe supervision tree, with what was restarted in it:")
    say(answer["tree"])
    expect("visits (Visits), restarted 1 x" in answer["tree"], True)
    expect(answer["tree"].count("restarted"), 1)
    expect(function.starts, 1)
    expect(answer["pid"], demo.pid)


async def main() -> int:
    """Serve the example and show what it bears."""
    lines: list[str] = []
    settings = FunctionSettings(
        name="visits",
        handler="app.function",
        task_root=HERE / "visits",
        timeout=TIMEOUT,
        # Half of the time-out: on a busy machine the answer is still there before the kill.
        environment={"OKIBI_DEADLINE_MARGIN_MS": "500"},
    )
    began = time.perf_counter()
    try:
        with trio.fail_after(50):
            async with (
                open_local_lambda(settings, output=lines.append) as function,
                httpx.AsyncClient(timeout=20) as client,
            ):
                await demonstrate(function, client)
    except (Unexpected, httpx.HTTPError, trio.TooSlowError) as unexpected:
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
