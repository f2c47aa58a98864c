"""Functions with the telemetry of a vendor, and what the vendor's receiver gets."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import trio

from okibi.local.platform.invocation import Invocation
from tests.support import span_receiver, xray_daemon
from tests.support.sandbox import COMMAND, FUNCTIONS, ROOT, Running, running
from tests.support.span_receiver import ReceivedSpan, Receiver
from tests.support.xray_daemon import XRayDaemon

VENV = Path(sys.prefix)
LAYER = FUNCTIONS / "otel_layer"
OFFICIAL = (sys.executable, "-m", "awslambdaric")
# For each kind of handler: its name in `functions/vendors.py`.
KINDS = {
    "def": "plain",
    "def in a Function": "plain_function",
    "def beside an actor": "plain_beside",
    "async def": "on_trio",
    "Handler": "Class",
    "Function": "function",
    "stream": "stream",
    "asyncio": "on_asyncio",
}
CASES = ("success", "exception", "deadline", "crash")
# Seconds of a late event: until its time-out less the margin.
TIMEOUT, LATE = 1.5, 1.2
# What the caller of an event sends: a trace id from this number on, and a span id.
TRACE, CALLER = 0x8448EB211C803000, "b7ad6b7169203331"


@attrs.frozen
class Vendor:
    """How a function gets a vendor's telemetry."""

    name: str

    def receiving(self) -> AbstractContextManager[Receiver | XRayDaemon]:
        """Run the vendor's receiver."""
        return span_receiver.receiving()

    def serve(
        self, kind: str, receiver_url: str, tmp_path: Path, *, official: bool = False
    ) -> tuple[str, tuple[str, ...], dict[str, str]]:
        """Return the handler setting, the command and the variables of a function."""
        raise NotImplementedError

    def find_others(self, served: "Served", request_id: str, *, error: bool) -> list[str]:
        """Return what is wrong with what is no span: logs, metrics and errors of an event."""
        return []


class Datadog(Vendor):
    def serve(
        self, kind: str, receiver_url: str, tmp_path: Path, *, official: bool = False
    ) -> tuple[str, tuple[str, ...], dict[str, str]]:
        handler = "datadog_lambda.handler.handler"
        environment = {
            "DD_LAMBDA_HANDLER": f"vendors.{KINDS[kind]}",
            "DD_TRACE_AGENT_URL": receiver_url,
            "DD_TRACE_API_VERSION": "v0.4",
            "DD_COLD_START_TRACING": "false",
            "DD_API_KEY": "none",
            "DD_FLUSH_TO_LOG": "true",
        }
        return handler, (*OFFICIAL, handler) if official else COMMAND, environment


class OpenTelemetry(Vendor):
    def serve(
        self, kind: str, receiver_url: str, tmp_path: Path, *, official: bool = False
    ) -> tuple[str, tuple[str, ...], dict[str, str]]:
        # The layer's script, for a layer elsewhere than in /opt.
        script = tmp_path / "otel-instrument"
        script.write_text((LAYER / script.name).read_text().replace('"/opt/python"', f'"{VENV}"'))
        script.chmod(0o755)
        command = (*OFFICIAL, "otel_wrapper.lambda_handler") if official else COMMAND
        environment = {
            "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver_url,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{LAYER}",
        }
        return f"vendors.{KINDS[kind]}", (str(script), *command), environment


class Sentry(Vendor):
    """`capture_events` in the function's module; AwsLambdaIntegration on the official client."""

    def serve(
        self, kind: str, receiver_url: str, tmp_path: Path, *, official: bool = False
    ) -> tuple[str, tuple[str, ...], dict[str, str]]:
        handler = f"vendors.{KINDS[kind]}"
        environment = {"SENTRY_DSN": Receiver(receiver_url).dsn}
        return handler, (*OFFICIAL, handler) if official else COMMAND, environment

    def find_others(self, served: "Served", request_id: str, *, error: bool) -> list[str]:
        assert isinstance(served.receiver, Receiver)
        errors = [e["extra"]["lambda"]["aws_request_id"] for e in served.receiver.errors]
        count = errors.count(request_id)
        return [] if count == error else [f"{count} errors"]


class Powertools(Vendor):
    """`observe` in the function's module; the decorators on the official client."""

    def receiving(self) -> AbstractContextManager[Receiver | XRayDaemon]:
        return xray_daemon.receiving()

    def serve(
        self, kind: str, receiver_url: str, tmp_path: Path, *, official: bool = False
    ) -> tuple[str, tuple[str, ...], dict[str, str]]:
        handler = f"vendors.{KINDS[kind]}"
        environment = {"AWS_XRAY_DAEMON_ADDRESS": receiver_url.removeprefix("http://")}
        return handler, (*OFFICIAL, handler) if official else COMMAND, environment

    def find_others(self, served: "Served", request_id: str, *, error: bool) -> list[str]:
        written = list[dict[str, Any]]()
        for line in served.sandbox.lines:
            if request_id in line and line[0] == "{":
                with suppress(ValueError):  # lines that the official client's processes have mixed
                    written.append(json.loads(line))
        logs = [each for each in written if each.get("message") == request_id]
        metrics = [each for each in written if each.get("request") == request_id]
        faults = list[str]()
        if [each.get("function_request_id") for each in logs] != [request_id]:
            faults.append("not one log line with the request id")
        if served.has_metrics and [each["events"] for each in metrics] != [[1.0]]:
            faults.append(f"{len(metrics)} lines of metrics")
        return faults


VENDORS: dict[str, Vendor] = {
    v.name: v
    for v in (
        Datadog("Datadog"),
        OpenTelemetry("OpenTelemetry"),
        Sentry("Sentry"),
        Powertools("Powertools"),
    )
}
# Those whose handler or layer is set by variables alone: a plain `def` stays behind it.
BY_VARIABLES = ("Datadog", "OpenTelemetry")


@attrs.frozen
class Served:
    """A function of a vendor's, and the receiver of its spans.

    Attributes:
        has_metrics: whether the function makes a metric of each event.
    """

    vendor: Vendor
    sandbox: Running
    receiver: Receiver | XRayDaemon
    has_metrics: bool = True

    async def invoke(self, number: int = 0, **event: Any) -> str:
        """Invoke the function as an HTTP API does, within a trace; return the request id.

        Args:
            number: makes the trace another one.
            event: what the handler does.
        """
        trace = f"0af7651916cd43dd{TRACE + number:016x}"
        headers = {"traceparent": f"00-{trace}-{CALLER}-01", "sentry-trace": f"{trace}-{CALLER}-1"}
        http = {"method": "GET", "path": "/", "sourceIp": "192.0.2.1", "userAgent": "test"}
        request = {
            "version": "2.0", "rawPath": "/", "headers": headers,
            "requestContext": {"http": http, "domainName": "example.com", "stage": "$default"},
            **event,
        }  # fmt: skip
        function = self.sandbox.function
        invocation = Invocation(json.dumps(request).encode(), function.settings.timeout)
        invocation.trace_id = f"Root=1-{trace[:8]}-{trace[8:]};Parent={CALLER};Sampled=1"
        function.start_invocation(invocation, done := trio.Event())
        await done.wait()
        return invocation.request_id

    def find(self, request_id: str) -> "Found | None":
        """Return an event's span and the one that its handler has made; None without the first.

        Raises:
            ValueError: an event has several spans.
        """
        spans = [*self.receiver.spans]
        events = [s for s in spans if s.attributes.get("faas.invocation_id") == request_id]
        bodies = [
            s for s in spans if s.name == "body" and s.attributes.get("resource") == request_id
        ]
        if not events:
            return None
        (event,) = events
        return Found(event, *bodies)

    async def wait_for(self, request_id: str, seconds: float = 5.0) -> "Found | None":
        """The same, and wait; None if no span has come after some seconds."""
        with trio.move_on_after(seconds):
            while self.find(request_id) is None:  # noqa: ASYNC110, of a thread
                await trio.sleep(0.01)
        return self.find(request_id)

    async def find_others(self, request_id: str, *, error: bool) -> list[str]:
        """Return what is wrong with the rest after some seconds at most."""
        with trio.move_on_after(2):
            while self.vendor.find_others(self, request_id, error=error):  # noqa: ASYNC110
                await trio.sleep(0.01)
        return self.vendor.find_others(self, request_id, error=error)

    def find_faults(
        self, found: "Found | None", *, error: bool, seconds: float, number: int, slack: float = 0.0
    ) -> list[str]:
        """Return what is wrong with the span of an event.

        Args:
            found: the spans of the event.
            error: whether the event has failed.
            seconds: the most that it may last; its handler's span may say less.
            number: the number of its trace.
            slack: more seconds that it may differ.
        """
        if found is None:
            return ["no span"]
        event, body = found.event, found.body
        faults = list[str]()
        if event.error is not error:
            faults.append("no error" if error else "an error")
        if body is not None:
            # That of a late thread goes on.
            seconds = min(body.seconds, seconds)
            if (body.parent_id, body.trace_id) != (event.span_id, event.trace_id):
                faults.append("not above the handler's span")
        if abs(event.seconds - seconds) > seconds * 0.05 + slack:
            faults.append(f"{event.seconds:.4f} s for {seconds:.4f} s")
        # There may be a span of the API between.
        by_id = {each.span_id: each for each in self.receiver.spans}
        top = event
        while top.parent_id in by_id:
            top = by_id[top.parent_id]
        if (top.parent_id, top.trace_id[-16:]) != (CALLER, f"{TRACE + number:016x}"):
            faults.append("not below the caller")
        return faults


@attrs.frozen
class Found:
    """The span of an event, and the one that its handler has made."""

    event: ReceivedSpan
    body: ReceivedSpan | None = None


async def find_faults(served: Served, kind: str, case: str, slack: float = 0.0) -> list[str]:
    """Invoke a function, and return what is wrong with what the receiver has of the event.

    Args:
        served: the function.
        kind: the kind of its handler.
        case: how the event ends.
        slack: more seconds that its span may differ, on a loaded machine.
    """
    event: dict[str, Any] = {"seconds": LATE}
    match case:
        case "success":
            event = {"seconds": 0.5}
        case "exception":
            event = {"seconds": 0.5, "do": "raise"}
        case "deadline":
            event = {"seconds": 3.0}
        case "crash":
            threads = kind.startswith("def")
            event = {"seconds": 0.5, "do": "exit" if threads else "kill the worker"}
        case _:
            raise ValueError(case)
    request_id = await served.invoke(**event)
    found = await served.wait_for(request_id)
    error = case != "success"
    return [
        *served.find_faults(found, error=error, seconds=LATE, number=0, slack=slack),
        *await served.find_others(request_id, error=error),
    ]


async def find_mixed(served: Served) -> list[str]:
    """Have 64 events in 16 slots, and return what is wrong with their spans."""
    faults = list[str]()

    async def invoke(number: int) -> None:
        request_id = await served.invoke(number, seconds=0.2 + number % 4 / 20)
        found = await served.wait_for(request_id)
        faults.extend(
            served.find_faults(found, error=False, seconds=20.0, number=number, slack=0.2)
        )
        faults.extend(await served.find_others(request_id, error=False))

    async def invoke_four(slot: int) -> None:
        for number in range(slot * 4, slot * 4 + 4):
            await invoke(number)

    async with trio.open_nursery() as nursery:
        for slot in range(16):
            nursery.start_soon(invoke_four, slot)
    return faults


async def find_waits(served: Served) -> list[str]:
    """Have the receiver take 3 s, then refuse; return which answers waited or failed."""
    receiver, faults = served.receiver, list[str]()
    assert isinstance(receiver, Receiver)
    receiver.go.clear()
    async with trio.open_nursery() as nursery:

        async def answer_late() -> None:
            await trio.sleep(3)
            receiver.go.set()

        nursery.start_soon(answer_late)
        waited = await served.invoke(seconds=0.01)
        if receiver.go.is_set():
            faults.append("the answer waits for the receiver")
    if await served.wait_for(waited) is None:
        faults.append("no span from a slow receiver")
    receiver.status = 503
    with trio.move_on_after(2):
        await served.invoke(seconds=0.01)
        receiver.status = 200
    if receiver.status != 200:
        faults.append("the answer waits for a receiver that refuses")
    receiver.status = 200
    await served.invoke(seconds=0.01)
    later = await served.invoke(seconds=0.01)
    if await served.wait_for(later) is None:
        faults.append("no span after a refusal")
    return faults


async def is_slow_without_receiver(served: Served) -> bool:
    """Return whether the first answer waits for a receiver that is not there."""
    with trio.move_on_after(5) as limit:
        await served.invoke(seconds=0.01)
    return limit.cancelled_caught


@asynccontextmanager
async def serving(
    vendor: Vendor,
    kind: str,
    receiver: Receiver | XRayDaemon,
    tmp_path: Path,
    *,
    official: bool = False,
    timeout: float = TIMEOUT,
    max_concurrency: int | None = None,
) -> AsyncIterator[Served]:
    """Run a function of `functions/vendors.py`."""
    url = receiver.url.removesuffix("/v1/traces")
    handler, command, environment = vendor.serve(kind, url, tmp_path, official=official)
    async with running(
        handler,
        command=command,
        timeout=timeout,
        max_concurrency=max_concurrency,
        environment={
            "PYTHONPATH": str(ROOT), "VENDOR": vendor.name, "OFFICIAL": "1" if official else "",
            "OKIBI_LOOP": "asyncio" if kind == "asyncio" else "",
            "OKIBI_DEADLINE_MARGIN_MS": "300", "AWS_REGION": "eu-central-1",
            **environment,
        },
    ) as sandbox:  # fmt: skip
        alone = official or max_concurrency is None
        yield Served(vendor, sandbox, receiver, has_metrics=alone)
