"""`okibi.telemetry.opentelemetry`, with the SDK, its OTLP exporter and a real HTTP receiver."""

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from okibi import Context, Function
from okibi.batch import Batch, Record
from okibi.telemetry.opentelemetry import trace_events
from okibi.testing import FunctionError, running
from okibi.web import ASGI
from tests.support import observing
from tests.support.batch_events import Item, make_event
from tests.support.observing import HANDLERS, invoke_and_kill, on_trio, until
from tests.support.sandbox import running as running_process
from tests.support.servers import free_port
from tests.support.span_receiver import Receiver, receiving
from tests.telemetry.test_observed_events import orders_on_fastapi, web_request
from tests.test_docs import DOCS, sample_of


@attrs.frozen
class Traced:
    receiver: Receiver
    tracer: trace.Tracer


@pytest.fixture
def traced(none_registered: None) -> Iterator[Traced]:
    """Register the adapter with a provider of its own; another test must not see it."""
    with receiving() as receiver:
        exporter = OTLPSpanExporter(receiver.url, timeout=5)
        provider = TracerProvider(shutdown_on_exit=False)
        # Only a flush exports.
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
        trace_events(provider)
        yield Traced(receiver, provider.get_tracer("test"))
        provider.shutdown()


@attrs.frozen
class Timed:
    """Seconds of an invocation: within the handler, and around the whole event."""

    inner: float
    outer: float


async def timed(app: Any, event: str, inner: list[float]) -> Timed:
    began = time.perf_counter()
    with suppress(FunctionError):
        await app.invoke(event, request_id=event)
    return Timed(inner.pop() if inner else 0.0, time.perf_counter() - began)


@pytest.fixture
def inner(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have the handlers make a span; return the seconds of those that do."""
    act = observing.act
    seconds: list[float] = []

    def act_in_span(event: Any) -> str:
        began = time.perf_counter()
        with traced.tracer.start_as_current_span(f"in {event}"):
            if event == "wait":
                time.sleep(0.3)
            seconds.append(time.perf_counter() - began)
            return act(event)

    monkeypatch.setattr(observing, "act", act_in_span)
    return seconds


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("kind", HANDLERS)
async def test_each_kind_of_handler_has_its_span_with_each_outcome(
    kind: str, concurrency: int, traced: Traced, inner: list[float]
) -> None:
    receiver = traced.receiver
    async with running(HANDLERS[kind](), timeout=2.0, concurrency=concurrency) as app:
        took = {event: await timed(app, event, inner) for event in ("wait", "raise")}
        await app.invoke("own", request_id="own")
        with pytest.raises(FunctionError):
            await app.invoke("sleep", request_id="sleep", timeout=0.4)
        await until(lambda: len(receiver.spans) == 7)

    for event, each in took.items():
        assert each.inner <= receiver.of_event(event).seconds <= each.outer
        (child,) = receiver.named(f"in {event}")
        assert child.parent_id == receiver.of_event(event).span_id
        assert child.trace_id == receiver.of_event(event).trace_id
    ok, error = receiver.of_event("wait"), receiver.of_event("raise")
    late = receiver.of_event("sleep")
    assert (ok.name, ok.error, ok.attributes["faas.coldstart"]) == ("function", False, True)
    assert (error.error, error.message, error.events) == (True, "asked for", ["ValueError"])
    assert error.attributes["error.type"] == "Function.ValueError"
    assert (late.error, late.attributes["error.type"]) == (True, "Runtime.DeadlineExceeded")
    assert 0.1 < late.seconds < 0.4
    assert not receiver.of_event("own").attributes["faas.coldstart"]


async def test_sixteen_traces_at_once_are_never_mixed(traced: Traced) -> None:
    async def handler(event: Any, context: Context) -> None:
        for step in range(3):
            with traced.tracer.start_as_current_span(f"step {step}") as span:
                await trio.sleep(event % 4 / 200)
                span.set_attribute("request", context.aws_request_id)

    async with running(handler, concurrency=16, timeout=20) as app:
        async with trio.open_nursery() as nursery:
            for n in range(64):
                nursery.start_soon(partial(app.invoke, n, request_id=f"request-{n}"))
        await until(lambda: len(traced.receiver.spans) == 64 * 4)

    for n in range(64):
        event = traced.receiver.of_event(f"request-{n}")
        steps = [s for s in traced.receiver.spans if s.parent_id == event.span_id]
        assert [s.name for s in steps] == ["step 0", "step 1", "step 2"]
        assert {(s.trace_id, s.attributes["request"]) for s in steps} == {
            (event.trace_id, f"request-{n}")
        }
    assert len({s.trace_id for s in traced.receiver.spans}) == 64


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled="


@pytest.mark.parametrize(
    ("header", "xray", "parent"),
    [
        ("traceparent", XRAY + "1", TRACEPARENT[3:52]),
        ("Traceparent", "", TRACEPARENT[3:52]),
        (None, XRAY + "1", "5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8"),
        (None, XRAY + "0", None),
        (None, "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", None),
        (None, "Root=nonsense", None),
        (None, "", None),
    ],
)
async def test_a_span_continues_the_http_client_s_trace_or_the_sampled_xray_trace(
    header: str | None, xray: str, parent: str | None, traced: Traced
) -> None:
    event = web_request("/")
    event["headers"] = {header: TRACEPARENT} if header else {}
    async with running(on_trio) as app:
        invocation = app._prepare(event, None, None, "", "1")
        invocation.trace_id = xray
        await app._engine.run_invocation(invocation)
        await until(lambda: traced.receiver.spans)

    span = traced.receiver.of_event("1")
    if parent is None:
        assert span.parent_id == ""
    else:
        assert f"{span.trace_id}-{span.parent_id}" == parent


@pytest.mark.parametrize("kind", ["def", "async def", "async def that waits", "asyncio"])
async def test_each_record_of_a_batch_has_a_span(kind: str, traced: Traced) -> None:
    import asyncio

    def plain(record: Record[str]) -> None:
        with traced.tracer.start_as_current_span(f"in {record.body}"):
            if record.body == "b":
                raise ValueError("bad")

    async def at_once(record: Record[str]) -> None:
        plain(record)

    async def waiting(record: Record[str]) -> None:
        await trio.sleep(0.01)
        plain(record)

    async def on_asyncio(record: Record[str]) -> None:
        await asyncio.sleep(0.01)
        plain(record)

    handlers: dict[str, Any] = {
        "def": plain,
        "async def": at_once,
        "async def that waits": waiting,
        "asyncio": on_asyncio,
    }
    loop: Any = "asyncio" if kind == "asyncio" else "trio"
    receiver = traced.receiver
    batch = make_event("SQS", [Item(n, body) for n, body in enumerate("abc")])
    batch["Records"][0]["messageAttributes"] = {
        "traceparent": {"stringValue": TRACEPARENT, "dataType": "String"}
    }
    batch["Records"][1]["attributes"]["AWSTraceHeader"] = XRAY + "1"
    async with running(Function(Batch(handlers[kind]), loop=loop)) as app:
        await app.invoke(batch, request_id="batch")
        await until(lambda: len(receiver.spans) == 7)

    event = receiver.of_event("batch")
    assert (event.attributes["faas.trigger"], event.kind, event.error) == ("pubsub", 5, False)
    found = [each for each in receiver.spans if each.parent_id == event.span_id]
    by_id = {each.attributes["messaging.message.id"]: each for each in found}
    assert [by_id[f"id-{n}"].error for n in range(3)] == [False, True, False]
    assert by_id["id-1"].events == ["ValueError"]
    assert [by_id[f"id-{n}"].links for n in range(3)] == [
        ["0af7651916cd43dd8448eb211c80319c"], ["5759e988bd862e3fe1be46a994272793"], [],
    ]  # fmt: skip
    for n, body in enumerate("abc"):
        (child,) = receiver.named(f"in {body}")
        assert child.parent_id == by_id[f"id-{n}"].span_id


async def test_a_late_record_s_span_is_an_error(traced: Traced) -> None:
    async def handler(record: Record[str]) -> None:
        await trio.sleep(60 if record.body == "b" else 0)

    batch = make_event("SQS", [Item(n, body) for n, body in enumerate("ab")])
    async with running(Function(Batch(handler)), timeout=0.5) as app:
        await app.invoke(batch, request_id="batch")
        # There may be no time left after the late response: the next event exports the rest.
        await app.invoke(make_event("SQS", [Item(2, "a")]), request_id="next")
        await until(lambda: len(traced.receiver.spans) == 5)

    records = {s.attributes.get("messaging.message.id"): s for s in traced.receiver.spans}
    assert (records["id-0"].error, records["id-1"].error) == (False, True)


async def test_a_web_request_s_span_is_named_for_its_route(traced: Traced) -> None:
    app: Any = orders_on_fastapi()

    async def broken() -> None:
        raise ValueError("asked for")

    app.get("/broken")(broken)
    async with running(Function(ASGI(app))) as function:
        for path in ("/orders/7", "/broken", "/nowhere"):
            await function.invoke(web_request(path), request_id=path.replace("/", "-"))
        await until(lambda: len(traced.receiver.spans) == 3)

    found, failed, unknown = (
        traced.receiver.of_event(path) for path in ("-orders-7", "-broken", "-nowhere")
    )
    assert found.name == "GET /orders/{number}"
    assert found.attributes["http.route"] == "/orders/{number}"
    assert found.attributes["http.response.status_code"] == 200
    assert (found.kind, found.error, unknown.error) == (2, False, False)
    assert (failed.error, failed.events, failed.name) == (True, ["ValueError"], "GET /broken")
    assert failed.attributes["error.type"] == "500"
    assert unknown.name == "function"
    assert unknown.attributes["http.response.status_code"] == 404


async def test_a_web_request_without_a_framework_has_the_api_s_route(traced: Traced) -> None:
    event = web_request("/orders/7")
    event["requestContext"]["routeKey"] = "GET /orders/{id}"
    async with running(on_trio) as app:
        await app.invoke(event, request_id="1")
        await app.invoke(event | {"requestContext": {"routeKey": "$default"}}, request_id="2")
        await until(lambda: len(traced.receiver.spans) == 2)

    assert traced.receiver.of_event("1").name == "GET /orders/{id}"
    assert traced.receiver.of_event("2").name == "function"


async def test_a_killed_worker_s_span_arrives_with_an_error(traced: Traced) -> None:
    async with running(on_trio) as app:
        await invoke_and_kill(app, request_id="killed")
        await until(lambda: traced.receiver.spans)

    span = traced.receiver.of_event("killed")
    assert (span.error, span.attributes["error.type"]) == (True, "Runtime.WorkerExited")


async def test_a_slow_receiver_delays_no_answer(traced: Traced) -> None:
    receiver = traced.receiver
    receiver.go.clear()
    async with running(on_trio, timeout=20) as app:
        await app.invoke("", request_id="1")
        await until(lambda: receiver.requests == 1)
        assert receiver.answered == 0
        receiver.go.set()
        await app.invoke("", request_id="2")
        await until(lambda: len(receiver.spans) == 2)


async def test_a_receiver_that_refuses_for_a_while_loses_no_span(traced: Traced) -> None:
    receiver = traced.receiver
    receiver.status = 503
    receiver.go.clear()
    async with running(on_trio, timeout=20) as app:
        await app.invoke("", request_id="1")
        assert receiver.answered == 0
        receiver.go.set()
        # The exporter tries again.
        await until(lambda: receiver.answered == 1)
        receiver.status = 200
        await app.invoke("", request_id="2")
        await until(lambda: len(receiver.spans) == 2)


async def test_without_a_receiver_each_event_is_answered(
    none_registered: None, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = OTLPSpanExporter(f"http://127.0.0.1:{free_port()}/v1/traces", timeout=1)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
    trace_events(provider)
    async with running(on_trio, timeout=20) as app:
        for n in range(3):
            await app.invoke("own", request_id=f"{n}")
    provider.shutdown()

    assert any("Failed to export" in each.getMessage() for each in caplog.records)


async def test_metrics_are_exported_with_the_spans(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = list[float]()

    class Reader(InMemoryMetricReader):
        def force_flush(self, timeout_millis: float = 0) -> bool:
            flushed.append(timeout_millis)
            return True

    meters = MeterProvider([Reader()], shutdown_on_exit=False)
    monkeypatch.setattr("opentelemetry.metrics.get_meter_provider", lambda: meters)
    async with running(on_trio, timeout=20) as app:
        await app.invoke("", request_id="1")
        await until(lambda: flushed)

    assert traced.receiver.of_event("1")
    assert flushed[0] <= 10_000


async def test_in_a_process_a_held_loop_s_span_arrives_and_names_the_sandbox() -> None:
    with receiving() as receiver:
        async with running_process(
            "traced.handler",
            environment={
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.url,
                "OKIBI_DEADLINE_MARGIN_MS": "2000",
            },
            timeout=4.0,
        ) as sandbox:
            first = await sandbox.invoke({})
            held = await sandbox.invoke({"do": "hold the loop"})
            await until(lambda: len(receiver.spans) == 2)

    span = receiver.of_event(held.request_id)
    assert (span.error, span.attributes["error.type"]) == (True, "Runtime.DeadlineExceeded")
    assert 2.5 < span.seconds < 4
    resource = receiver.of_event(first.request_id).resource
    assert resource["service.name"] == resource["faas.name"] == "function"
    assert (resource["cloud.provider"], resource["cloud.platform"]) == ("aws", "aws_lambda")
    assert resource["faas.max_memory"] == 128 * 2**20
    assert {"cloud.region", "faas.version", "faas.instance"} <= {*resource}


async def test_the_sample_of_the_page_sends_the_spans_of_an_event(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "telemetry.md", "trace_events"))
    with receiving() as receiver:
        endpoint = receiver.url.removesuffix("/v1/traces")
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "orders"}
        async with running_process(
            "app.handler", task_root=tmp_path, environment=environment
        ) as sandbox:
            answer = await sandbox.invoke({"name": "bob"})
            await until(lambda: len(receiver.spans) == 2)

    event, (child,) = receiver.of_event(answer.request_id), receiver.named("look up")
    assert child.parent_id == event.span_id
    assert event.resource["service.name"] == "orders"
