"""`okibi.telemetry.powertools`, with Powertools, the X-Ray SDK and a UDP receiver."""

import io
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics.provider import cold_start
from aws_xray_sdk import global_sdk_config
from aws_xray_sdk.core import xray_recorder

from okibi import Child, Context, Function, Name, Server, Workers
from okibi.local import InvokeResult
from okibi.local.platform.invocation import Invocation
from okibi.telemetry import powertools
from okibi.testing import RunningFunction, running
from tests.support import observing
from tests.support.observing import HANDLERS, on_trio
from tests.support.sandbox import Running
from tests.support.sandbox import running as running_process
from tests.support.xray_daemon import XRayDaemon, receiving
from tests.test_docs import DOCS, sample_of


@attrs.frozen
class Observed:
    """What a function with Powertools has written."""

    logger: Logger
    tracer: Tracer
    metrics: Metrics
    daemon: XRayDaemon
    log: io.StringIO

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of the logger."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def of_event(self, number: int) -> dict[str, Any]:
        """Return the one subsegment of an event."""
        (found,) = [s for s in self.daemon.named("## handler") if s["trace_id"] == root(number)]
        return found


@pytest.fixture
def observed(none_registered: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Observed]:
    """Make Powertools' objects; their globals are as in a new process."""
    monkeypatch.setattr("aws_lambda_powertools.logging.logger.is_cold_start", True)
    monkeypatch.setattr(cold_start, "is_cold_start", True)
    monkeypatch.setattr(xray_recorder, "_context", xray_recorder.context)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")
    global_sdk_config.set_sdk_enabled(True)
    with receiving() as daemon:
        xray_recorder.configure(daemon_address=daemon.url)
        log = io.StringIO()
        # A logger of a name is made once a process.
        logger = Logger(service=f"shop-{id(log)}", stream=log)
        tracer = Tracer(service="shop", auto_patch=False, disabled=False)
        yield Observed(logger, tracer, Metrics("shop", namespace="shop"), daemon, log)
        Metrics(namespace="shop").clear_metrics()
        Tracer._reset_config()  # type: ignore[no-untyped-call]


def root(number: int) -> str:
    return f"1-5759e988-{number:024x}"


def make_invocation(event: object, number: int, timeout: float = 20) -> Invocation:
    """Make an invocation with a sampled X-Ray trace; the request id is the number."""
    return Invocation(
        json.dumps(event).encode(),
        timeout,
        request_id=f"{number}",
        trace_id=f"Root={root(number)};Parent=53995c3f42cd8ad8;Sampled=1",
    )


async def invoke(
    app: RunningFunction, event: object, number: int, timeout: float = 20
) -> InvokeResult:
    invocation = make_invocation(event, number, timeout)
    await app._engine.run_invocation(invocation)
    app._engine.errors.pop(invocation.request_id, None)
    return invocation.result()


async def invoke_process(sandbox: Running, event: object, timeout: float = 20) -> InvokeResult:
    invocation = make_invocation(event, 1, timeout)
    sandbox.function.start_invocation(invocation, done := trio.Event())
    await done.wait()
    return invocation.result()


def read_metrics(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines() if '"CloudWatchMetrics"' in line]


@pytest.fixture
def inner(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have the handlers log, measure and trace; return the seconds of each."""
    act, seconds = observing.act, list[float]()

    def act_and_observe(event: Any) -> str:
        began = time.time()
        with observed.tracer.provider.in_subsegment("inner"):
            observed.logger.info(event)
            observed.metrics.add_metric(event, "Count", 1)
            observed.metrics.add_dimension("event", event)
            if event == "wait":
                time.sleep(0.3)
            seconds.append(time.time() - began)
            return act(event)

    monkeypatch.setattr(observing, "act", act_and_observe)
    return seconds


@pytest.mark.parametrize("kind", HANDLERS)
async def test_each_kind_of_handler_is_observed_with_each_outcome(
    kind: str, observed: Observed, inner: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    powertools.observe(
        logger=observed.logger,
        tracer=observed.tracer,
        metrics=observed.metrics,
        capture_cold_start_metric=True,
    )
    took = list[float]()
    async with running(HANDLERS[kind]()) as app:
        for number, event in enumerate(("wait", "raise", "last")):
            began = time.time()
            await invoke(app, event, number)
            took.append(time.time() - began)
        observed.metrics.add_metric("sleep", "Count", 1)
        await invoke(app, "sleep", 3, timeout=0.4)

    of_event = [observed.of_event(number) for number in range(4)]
    for number in range(3):
        segment = of_event[number]
        assert inner[number] <= segment["end_time"] - segment["start_time"] <= took[number]
        (child,) = [s for s in observed.daemon.named("inner") if s["trace_id"] == root(number)]
        assert child["parent_id"] == segment["id"]
    assert [segment.get("fault", False) for segment in of_event] == [False, True, False, True]
    (inner_error,) = [s for s in observed.daemon.named("inner") if s.get("fault")]
    # The SDK names an exception that a child has recorded.
    assert of_event[1]["cause"] == inner_error["cause"]["exceptions"][0]["id"]
    assert of_event[3]["cause"]["exceptions"][0]["type"] == "Runtime.DeadlineExceeded"
    assert [s["annotations"]["ColdStart"] for s in of_event] == [True, False, False, False]
    assert [line["function_request_id"] for line in observed.lines] == ["0", "1", "2"]
    assert [line["cold_start"] for line in observed.lines] == [True, False, False]
    cold, *each = read_metrics(capfd.readouterr().out)
    assert cold["ColdStart"] == [1]
    # The dimension of an event is not the next one's.
    assert [(m.get("event"), m.get(m.get("event", "sleep"))) for m in each] == [
        ("wait", [1]), ("raise", [1]), ("last", [1]), (None, [1]),
    ]  # fmt: skip


async def test_sixteen_events_at_once_are_never_mixed(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_MAX_CONCURRENCY", "16")
    powertools.observe(
        logger=observed.logger,
        tracer=observed.tracer,
        correlation_id_path="detail.order",
        log_event=True,
    )
    in_thread = observed.tracer.capture_method(observed.logger.info)

    @observed.tracer.capture_method
    async def step(number: int) -> None:
        await trio.sleep(number % 4 / 200)
        observed.logger.info(number)

    async def handler(event: Any, context: Context) -> None:
        number = event["detail"]["order"]
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(step, number)
            nursery.start_soon(trio.to_thread.run_sync, in_thread, number)

    async with running(handler, concurrency=16) as app, trio.open_nursery() as nursery:
        for n in range(64):
            nursery.start_soon(partial(invoke, app, {"detail": {"order": n}}, n))

    for n in range(64):
        of_event = observed.of_event(n)
        inner = [s for s in observed.daemon.subsegments if s["trace_id"] == root(n)]
        assert len(inner) == 4
        assert {s["parent_id"] for s in inner if s is not of_event} == {of_event["id"]}
    assert len(observed.lines) == 64 * 4
    for line in observed.lines:
        message, request_id = line["message"], line["function_request_id"]
        assert message in (int(request_id), {"detail": {"order": int(request_id)}})
        assert line["correlation_id"] == int(request_id)


async def test_a_killed_worker_s_event_is_observed(
    observed: Observed, capfd: pytest.CaptureFixture[str]
) -> None:
    powertools.observe(tracer=observed.tracer, metrics=observed.metrics)
    async with running(on_trio) as app, trio.open_nursery() as nursery:
        nursery.start_soon(invoke, app, "sleep", 7)
        await trio.sleep(0.1)
        observed.metrics.add_metric("sleep", "Count", 1)
        for n in range(2):
            await app.kill(f"lambda/workers/worker-{n}")

    (exception,) = observed.of_event(7)["cause"]["exceptions"]
    assert exception["type"] == "Runtime.WorkerExited"
    assert [each["sleep"] for each in read_metrics(capfd.readouterr().out)] == [[1]]


async def test_an_actor_s_subsegment_is_the_event_s_child(observed: Observed) -> None:
    powertools.observe(tracer=observed.tracer)

    class Stock(Server):
        @observed.tracer.capture_method
        async def take(self) -> None:
            await trio.lowlevel.checkpoint()

    stock = Name("stock", Stock)

    async def handler(event: Any, context: Context) -> None:
        await stock.call(Stock.take)

    async with running(Function(handler, [Child(Stock, name=stock)])) as app:
        for number in range(2):
            await invoke(app, None, number)

    for number in range(2):
        (child,) = [
            s
            for s in observed.daemon.subsegments
            if s["name"].endswith("take") and s["trace_id"] == root(number)
        ]
        assert child["parent_id"] == observed.of_event(number)["id"]


async def test_a_task_that_outlives_its_event_is_in_the_event_s_trace(observed: Observed) -> None:
    powertools.observe(tracer=observed.tracer)
    go = trio.Event()

    @observed.tracer.capture_method
    async def later() -> None:
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:

        async def wait_and_go() -> None:
            await go.wait()
            await later()

        async def handler(event: Any, context: Context) -> None:
            if event == "start":
                nursery.start_soon(wait_and_go)

        async with running(handler) as app:
            await invoke(app, "start", 1)
            go.set()
            await trio.testing.wait_all_tasks_blocked()
            await invoke(app, "next", 2)

    (segment,) = [s for s in observed.daemon.subsegments if "later" in s["name"]]
    assert (segment["trace_id"], segment["parent_id"]) == (root(1), "53995c3f42cd8ad8")


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({}, {}, ({"handler response": "text"}, {"handler error"})),
        ({}, {"capture_response": False}, ({}, {"handler error"})),
        ({"POWERTOOLS_TRACER_CAPTURE_RESPONSE": "false"}, {}, ({}, {"handler error"})),
        ({}, {"capture_error": False}, ({"handler response": "text"}, {})),
    ],
)
async def test_the_response_and_the_error_are_captured_as_asked_for(
    variables: dict[str, str],
    options: dict[str, Any],
    expected: tuple[dict[str, str], set[str]],
    observed: Observed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    powertools.observe(tracer=observed.tracer, **options)

    async def handler(event: Any, context: Context) -> str:
        if event == "raise":
            raise ValueError("asked for")
        return "text"

    async with running(handler) as app:
        await invoke(app, "", 1)
        await invoke(app, "raise", 2)

    response, error = (observed.of_event(n).get("metadata", {}).get("shop", {}) for n in (1, 2))
    assert (response, {*error}) == (expected[0], {*expected[1]})


async def test_the_logger_has_the_options_of_its_decorator(observed: Observed) -> None:
    logger = observed.logger
    powertools.observe(logger=logger, log_event=True, correlation_id_path="id", clear_state=True)

    async def handler(event: Any, context: Context) -> str | None:
        logger.append_keys(**event["keys"])
        logger.info("done")
        return logger.get_correlation_id()

    async with running(handler) as app:
        assert await app.invoke({"id": "a", "keys": {"tenant": 1}}) == "a"
        assert await app.invoke({"id": "b", "keys": {}}) == "b"

    assert [(line["correlation_id"], line.get("tenant")) for line in observed.lines] == [
        ("a", None), ("a", 1), ("b", None), ("b", None),
    ]  # fmt: skip
    assert observed.lines[0]["message"] == {"id": "a", "keys": {"tenant": 1}}


async def test_the_log_buffer_of_a_late_event_is_flushed(
    none_registered: None,
) -> None:
    from aws_lambda_powertools.logging.buffer import LoggerBufferConfig

    log = io.StringIO()
    logger = Logger(
        service=f"buffered-{id(log)}", stream=log, level="DEBUG", buffer_config=LoggerBufferConfig()
    )
    powertools.observe(logger=logger, flush_buffer_on_uncaught_error=True)

    async def handler(event: Any, context: Context) -> None:
        logger.debug(event)
        await trio.sleep(60 if event == "late" else 0)

    async with running(handler) as app:
        await invoke(app, "in time", 1)
        await invoke(app, "late", 2, timeout=0.4)

    assert [json.loads(line)["message"] for line in log.getvalue().splitlines()] == ["late"]


def test_metrics_that_would_mix_events_are_refused(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_MAX_CONCURRENCY", "16")
    with pytest.raises(RuntimeError, match="use single_metric, or an EphemeralMetrics object"):
        powertools.observe(metrics=observed.metrics)


async def test_a_disabled_tracer_traces_nothing(observed: Observed) -> None:
    tracer = Tracer(service="shop", auto_patch=False, disabled=True)
    powertools.observe(tracer=tracer)
    async with running(on_trio) as app:
        await invoke(app, "", 1)

    assert observed.daemon.subsegments == []


async def test_an_event_without_an_instance_is_in_its_own_trace(observed: Observed) -> None:
    from tests.telemetry.test_observed_events import FailsSecondInit

    FailsSecondInit.made, FailsSecondInit.takes = 0, 0.0
    powertools.observe(tracer=observed.tracer)
    async with running(Workers(FailsSecondInit, count=1)) as app:
        for number, event in enumerate(("raise", "")):
            await invoke(app, event, number)

    assert [observed.of_event(n)["cause"]["exceptions"][0]["type"] for n in range(2)] == [
        "ValueError", "ConnectionError",
    ]  # fmt: skip


async def test_in_a_process_a_held_loop_s_subsegments_arrive(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import time\n"
        "from aws_lambda_powertools import Tracer\n"
        "from okibi.telemetry import powertools\n"
        "tracer = Tracer(service='shop', auto_patch=False)\n"
        "powertools.observe(tracer=tracer)\n"
        "@tracer.capture_method\n"
        "def block():\n"
        "    time.sleep(60)\n"
        "async def orders(event, context):\n"
        "    block()\n"
    )
    with receiving() as daemon:
        environment = {
            "AWS_XRAY_DAEMON_ADDRESS": daemon.url,
            "OKIBI_DEADLINE_MARGIN_MS": "2000",
        }
        async with running_process(
            "app.orders", task_root=tmp_path, environment=environment, timeout=4.0
        ) as sandbox:
            held = await invoke_process(sandbox, {}, 4.0)
            assert held.error_type == "Runtime.DeadlineExceeded"
        (segment,), (inner,) = daemon.named("## orders"), daemon.named("## app.block")

    assert inner["parent_id"] == segment["id"]
    assert segment["cause"]["exceptions"][0]["type"] == "Runtime.DeadlineExceeded"


async def test_the_sample_of_the_page_observes_an_event(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "telemetry.md", "powertools.observe"))
    with receiving() as daemon:
        async with running_process(
            "app.handler",
            task_root=tmp_path,
            environment={"AWS_XRAY_DAEMON_ADDRESS": daemon.url},
        ) as sandbox:
            await invoke_process(sandbox, {"name": "bob"})
            await sandbox.function.wait_for_report()
        (segment,), (child,) = daemon.named("## handler"), daemon.named("## app.look_up")

    assert child["parent_id"] == segment["id"]
    assert sandbox.said('"function_request_id":"1"') == 1
    assert sandbox.said('"orders":[1.0]') == 1
