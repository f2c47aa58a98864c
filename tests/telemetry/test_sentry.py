"""`okibi.telemetry.sentry`, with Sentry's SDK and a real HTTP receiver."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
import trio
from sentry_sdk.integrations import aws_lambda

from okibi import Context
from okibi.telemetry import sentry
from okibi.testing import FunctionError, running
from tests.support import observing
from tests.support.batch_events import Item, make_event
from tests.support.observing import HANDLERS, invoke_and_kill, on_trio, until
from tests.support.sandbox import running as running_process
from tests.support.servers import free_port
from tests.support.span_receiver import Receiver, receiving
from tests.telemetry.test_observed_events import web_request
from tests.test_docs import DOCS, sample_of


@pytest.fixture
def receiver(none_registered: None) -> Iterator[Receiver]:
    """Set up Sentry without integrations, which would patch this process."""
    with receiving() as made:
        init(made)
        sentry.capture_events()
        yield made
        sentry_sdk.get_client().close(0)
        sentry_sdk.get_global_scope().set_client(None)


def init(receiver: Receiver, **options: Any) -> None:
    sentry_sdk.init(dsn=receiver.dsn, default_integrations=False, traces_sample_rate=1.0, **options)


def request_id_of(item: dict[str, Any]) -> str:
    return str(item["extra"]["lambda"]["aws_request_id"])


def error_of(item: dict[str, Any]) -> tuple[str, str]:
    (error,) = item["exception"]["values"]
    assert error["mechanism"] == {"type": "okibi", "handled": False}
    return error["type"], error["value"]


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("kind", HANDLERS)
async def test_each_kind_of_handler_has_its_error_and_transaction_with_each_outcome(
    kind: str, concurrency: int, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, inner = observing.act, list[float]()

    def act_in_span(event: Any) -> str:
        began = time.time()
        with sentry_sdk.start_span(name="inner"):
            sentry_sdk.set_tag("event", event)
            time.sleep(0.3 if event == "wait" else 0)
            inner.append(time.time() - began)
            return act(event)

    monkeypatch.setattr(observing, "act", act_in_span)
    outer = list[float]()
    async with running(HANDLERS[kind](), timeout=5.0, concurrency=concurrency) as app:
        for event in ("wait", "raise", "last"):
            began = time.time()
            with suppress(FunctionError):
                await app.invoke(event, request_id=event)
            outer.append(time.time() - began)
        with pytest.raises(FunctionError):
            await app.invoke("sleep", request_id="sleep", timeout=0.4)
        await until(lambda: len(receiver.items) == 6)

    raised, late = sorted(receiver.errors, key=request_id_of)
    assert (request_id_of(raised), error_of(raised)) == ("raise", ("ValueError", "asked for"))
    assert (request_id_of(late), error_of(late)[0]) == ("sleep", "Runtime.DeadlineExceeded")
    assert raised["extra"]["lambda"]["remaining_time_in_millis"] > 1000
    assert raised["tags"]["event"] == "raise"
    assert "function" in raised["exception"]["values"][0]["stacktrace"]["frames"][-1]
    of_event = {request_id_of(each): each for each in receiver.transactions}
    for number, event in enumerate(("wait", "raise", "last")):
        transaction = of_event[event]
        assert inner[number] <= seconds_of(transaction) <= outer[number]
        assert [span["description"] for span in transaction["spans"]] == ["inner"]
        assert transaction["transaction"] == "function"
        assert transaction["contexts"]["trace"]["op"] == "function.aws"
        assert transaction["tags"]["event"] == event
    assert {event: each["contexts"]["trace"]["status"] for event, each in of_event.items()} == {
        "wait": "ok", "raise": "internal_error", "last": "ok", "sleep": "deadline_exceeded",
    }  # fmt: skip
    assert raised["contexts"]["trace"]["trace_id"] == trace_of(of_event["raise"])


def trace_of(item: dict[str, Any]) -> str:
    return str(item["contexts"]["trace"]["trace_id"])


def seconds_of(transaction: dict[str, Any]) -> float:
    began, ended = (
        datetime.fromisoformat(transaction[name]) for name in ("start_timestamp", "timestamp")
    )
    return (ended - began).total_seconds()


async def test_sixteen_events_at_once_are_never_mixed(receiver: Receiver) -> None:
    async def step(number: int) -> None:
        with sentry_sdk.start_span(name=f"step {number}"):
            await trio.sleep(number % 4 / 200)
            sentry_sdk.add_breadcrumb(message=f"crumb {number}")

    async def handler(event: Any, context: Context) -> None:
        sentry_sdk.set_tag("number", event)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(step, event)
            nursery.start_soon(trio.to_thread.run_sync, sentry_sdk.set_user, {"id": event})
        raise ValueError(f"event {event}")

    async def invoke(n: int) -> None:
        with pytest.raises(FunctionError):
            await app.invoke(n, request_id=f"{n}")

    async with running(handler, concurrency=16, timeout=20) as app:
        async with trio.open_nursery() as nursery:
            for n in range(32):
                nursery.start_soon(invoke, n)
        await until(lambda: len(receiver.items) == 64)

    errors = {request_id_of(each): each for each in receiver.errors}
    transactions = {request_id_of(each): each for each in receiver.transactions}
    for n in range(32):
        error, transaction = errors[f"{n}"], transactions[f"{n}"]
        assert error_of(error)[1] == f"event {n}"
        assert error["tags"]["number"] == transaction["tags"]["number"] == n
        assert error["user"] == {"id": n}
        assert [each["message"] for each in error["breadcrumbs"]["values"]] == [f"crumb {n}"] * 2
        assert {span["description"] for span in transaction["spans"]} == {f"step {n}"}
        assert trace_of(error) == trace_of(transaction)
    assert len({trace_of(each) for each in receiver.transactions}) == 32


async def test_a_killed_worker_s_event_is_sent(receiver: Receiver) -> None:
    async with running(on_trio) as app:
        await invoke_and_kill(app, request_id="killed")
        await until(lambda: len(receiver.items) == 2)

    (error,), (transaction,) = receiver.errors, receiver.transactions
    assert (request_id_of(error), error_of(error)[0]) == ("killed", "Runtime.WorkerExited")
    assert transaction["contexts"]["trace"]["status"] == "internal_error"


async def test_an_http_request_continues_its_client_s_trace(receiver: Receiver) -> None:
    async def handler(event: Any, context: Context) -> dict[str, object]:
        sentry_sdk.capture_message("seen")
        return {"statusCode": 503, "body": ""}

    trace_id = "771a43a4192642f0b136d5159a501700"
    event = web_request("/orders/7")
    event["headers"] = {"Sentry-Trace": f"{trace_id}-1234567890abcdef-1", "Authorization": "key"}
    async with running(handler) as app:
        await app.invoke(event)
        await until(lambda: len(receiver.items) == 2)

    (message,), (transaction,) = receiver.errors, receiver.transactions
    assert trace_of(message) == trace_of(transaction) == trace_id
    headers = message["request"]["headers"]
    assert (headers["Sentry-Trace"][:32], headers["Authorization"]) == (trace_id, "[Filtered]")
    assert transaction["contexts"]["trace"]["status"] == "unavailable"


async def test_a_sampler_gets_the_event_and_the_context(receiver: Receiver) -> None:
    init(
        receiver,
        traces_sampler=lambda found: (
            found["aws_event"] == "sampled" and bool(found["aws_context"].function_name)
        ),
    )
    async with running(on_trio) as app:
        for event in ("sampled", "other"):
            await app.invoke(event, request_id=event)
        await until(lambda: receiver.items)

    assert [request_id_of(each) for each in receiver.items] == ["sampled"]


async def test_a_slow_receiver_delays_no_answer(receiver: Receiver) -> None:
    receiver.go.clear()
    async with running(on_trio, timeout=20) as app:
        with pytest.raises(FunctionError):
            await app.invoke("raise", request_id="1")
        await until(lambda: receiver.requests)
        assert receiver.answered == 0
        receiver.go.set()
        await app.invoke("", request_id="2")
        await until(lambda: len(receiver.items) == 3)


async def test_a_receiver_that_refuses_delays_no_answer_and_gets_later_events(
    receiver: Receiver,
) -> None:
    receiver.status = 503
    receiver.go.clear()
    async with running(on_trio, timeout=20) as app:
        with pytest.raises(FunctionError):
            await app.invoke("raise", request_id="1")
        assert receiver.answered == 0
        receiver.go.set()
        await until(lambda: receiver.answered >= 2)
        receiver.status = 200
        await app.invoke("", request_id="2")
        await until(lambda: receiver.items)

    assert [request_id_of(each) for each in receiver.items] == ["2"]


async def test_without_a_receiver_events_are_answered(receiver: Receiver) -> None:
    init(Receiver(f"http://127.0.0.1:{free_port()}"))
    async with running(on_trio, timeout=20) as app:
        for _ in range(2):
            with pytest.raises(FunctionError, match="asked for"):
                await app.invoke("raise")


async def test_without_a_dsn_events_are_answered(receiver: Receiver) -> None:
    sentry_sdk.init(default_integrations=False)
    async with running(on_trio) as app:
        with pytest.raises(FunctionError, match="asked for"):
            await app.invoke("raise")

    assert receiver.requests == 0


def test_sentry_s_own_integration_is_refused(receiver: Receiver) -> None:
    # Its set-up would patch `__main__`.
    sentry_sdk.get_client().integrations["aws_lambda"] = aws_lambda.AwsLambdaIntegration()
    with pytest.raises(RuntimeError, match=r"leave AwsLambdaIntegration out of sentry_sdk\.init"):
        sentry.capture_events()


@pytest.fixture
def without_private_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(aws_lambda, "_make_request_event_processor")


async def test_without_the_private_name_of_the_sdk_errors_are_sent(
    without_private_name: None, receiver: Receiver
) -> None:
    async with running(on_trio) as app:
        with pytest.raises(FunctionError):
            await app.invoke("raise")
        await until(lambda: receiver.errors)

    assert error_of(receiver.errors[0])[0] == "ValueError"
    assert "lambda" not in receiver.errors[0].get("extra", {})


# -- in a process, with Sentry's default integrations


BATCH = make_event("SQS", [Item(0, "bob")])


@pytest.mark.parametrize(
    ("handler", "event", "transactions"),
    [
        ("plain", {"name": "bob"}, 1),
        pytest.param("on_trio", {"name": "bob"}, 1, marks=pytest.mark.slow),
        pytest.param("captures", {"name": "bob"}, 1, marks=pytest.mark.slow),
        pytest.param("Class", {"name": "bob"}, 1, marks=pytest.mark.slow),
        pytest.param("batch", BATCH, 1, marks=pytest.mark.slow),
        # The framework's own transaction is within it.
        ("web", web_request("/orders/7"), 2),
    ],
)
async def test_with_default_integrations_each_error_is_sent_once(
    handler: str, event: dict[str, Any], transactions: int
) -> None:
    with receiving() as receiver:
        async with running_process(
            f"with_sentry.{handler}", environment={"DSN": receiver.dsn}
        ) as sandbox:
            answers = [await sandbox.invoke(event) for _ in range(2)]
            await until(lambda: len(receiver.transactions) == 2 * transactions)

    assert sorted(map(request_id_of, receiver.errors)) == sorted(a.request_id for a in answers)
    for error in receiver.errors:
        assert error["exception"]["values"][-1]["type"] == "ValueError"
        assert error["tags"]["name"] in ("bob", "7")


async def test_in_a_process_a_held_loop_s_error_arrives() -> None:
    with receiving() as receiver:
        async with running_process(
            "with_sentry.on_trio",
            environment={"DSN": receiver.dsn, "OKIBI_DEADLINE_MARGIN_MS": "2000"},
            timeout=4.0,
        ) as sandbox:
            held = await sandbox.invoke({"do": "hold the loop"})
            await until(lambda: len(receiver.items) == 2)

    (error,), (transaction,) = receiver.errors, receiver.transactions
    assert (request_id_of(error), error_of(error)[0]) == (
        held.request_id, "Runtime.DeadlineExceeded",
    )  # fmt: skip
    assert transaction["contexts"]["trace"]["status"] == "deadline_exceeded"
    assert 1.5 < seconds_of(transaction) < 4


async def test_the_sample_of_the_page_sends_an_error(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "telemetry.md", "sentry.capture_events"))
    with receiving() as receiver:
        async with running_process(
            "app.handler", task_root=tmp_path, environment={"SENTRY_DSN": receiver.dsn}
        ) as sandbox:
            answer = await sandbox.invoke({})
            await until(lambda: receiver.errors)

    assert request_id_of(receiver.errors[0]) == answer.request_id
    assert error_of(receiver.errors[0])[0] == "KeyError"
