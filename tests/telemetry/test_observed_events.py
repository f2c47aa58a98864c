"""`okibi.telemetry`: a context manager around each event and each record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import trio

from okibi import Context, Function, Handler, Workers, telemetry
from okibi.batch import Batch, Record
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.telemetry import Telemetry
from okibi.runtime.settings import Settings
from okibi.testing import FunctionError, running, virtual_time
from okibi.web import ASGI, WSGI
from tests.support.batch_events import Item, make_event
from tests.support.doubles import delivery, ledger_of
from tests.support.observing import (
    CURRENT,
    HANDLERS,
    Class,
    Observer,
    act,
    invoke_and_kill,
    on_trio,
    text_of,
)


@pytest.fixture
def observer(none_registered: None) -> Observer:
    made = Observer()
    telemetry.around_events(made.observe)
    return made


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("kind", HANDLERS)
@virtual_time
async def test_each_kind_of_handler_is_observed_with_each_outcome(
    kind: str, concurrency: int, observer: Observer
) -> None:
    async with running(HANDLERS[kind](), timeout=0.5, concurrency=concurrency) as app:
        own = text_of(await app.invoke("own"))
        for event in ("raise", "exit", "sleep"):
            with pytest.raises(FunctionError):
                await app.invoke(event)
        again = text_of(await app.invoke("again"))

    assert (own, again) == (observer.begun[0], observer.begun[4])
    exit_type = observer.outcomes()[2]
    assert exit_type in ("Runtime.ExitError", "Function.SystemExit")
    assert observer.outcomes() == [
        None, "Function.ValueError", exit_type, "Runtime.DeadlineExceeded", None,
    ]  # fmt: skip
    assert [each.event for each in observer.ended] == ["own", "raise", "exit", "sleep", "again"]
    assert str(observer.ended[1].error) == "asked for"
    streams = "stream" in kind or kind == "generator"
    assert observer.ended[0].result == (None if streams else own)


@virtual_time
async def test_sixteen_events_at_once_are_never_mixed(observer: Observer) -> None:
    async def handler(event: Any, context: Context) -> Any:
        await trio.sleep(event["n"] % 4 / 2)
        return {"n": event["n"], "current": CURRENT.get()}

    answers: dict[int, Any] = {}
    async with running(handler, concurrency=16) as app, trio.open_nursery() as nursery:

        async def invoke(n: int) -> None:
            answers[n] = await app.invoke({"n": n})

        for n in range(64):
            nursery.start_soon(invoke, n)

    assert observer.outcomes() == [None] * 64
    for each in observer.ended:
        assert each.result == answers[each.event["n"]]
        assert each.result["current"] == each.request_id


@pytest.mark.parametrize("kind", [kind for kind in HANDLERS if kind not in ("def", "generator")])
@virtual_time
async def test_a_killed_worker_s_event_ends_once(kind: str, observer: Observer) -> None:
    async with running(HANDLERS[kind]()) as app:
        await invoke_and_kill(app)

    assert observer.outcomes() == ["Runtime.WorkerExited"]


@virtual_time
async def test_a_crash_of_a_background_task_ends_the_event_with_the_error(
    observer: Observer,
) -> None:
    async with running(Class) as app:
        with pytest.raises(FunctionError, match="asked for"):
            await app.invoke("crash beside")

    assert observer.outcomes() == ["Function.ValueError"]
    assert str(observer.ended[0].error) == "asked for"


class FailsSecondInit(Handler[str]):
    made: ClassVar[int] = 0
    # Seconds that the second `init` takes.
    takes: ClassVar[float] = 0.0

    async def init(self) -> None:
        FailsSecondInit.made += 1
        if self.made > 1:
            await trio.sleep(self.takes)
            raise ConnectionError("no database")

    async def handle(self, event: str, context: Context) -> str:
        return act(event)


@pytest.mark.parametrize(
    ("takes", "expected"), [(0.0, "Function.ConnectionError"), (60, "Runtime.DeadlineExceeded")]
)
@virtual_time
async def test_an_event_without_an_instance_is_observed(
    takes: float, expected: str, observer: Observer
) -> None:
    FailsSecondInit.made, FailsSecondInit.takes = 0, takes
    async with running(Workers(FailsSecondInit, count=1), timeout=1.0) as app:
        for event in ("raise", "none"):
            with pytest.raises(FunctionError):
                await app.invoke(event)

    assert observer.outcomes() == ["Function.ValueError", expected]


@pytest.mark.parametrize("at", ["call", "begin", "end"])
@virtual_time
async def test_an_observer_that_raises_is_logged_and_changes_no_answer(
    at: str, observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def blocks() -> Iterator[None]:
        if at == "begin":
            raise SystemExit("begin")
        yield
        raise LookupError("end")

    def broken(observed: telemetry.ObservedEvent) -> Any:
        if at == "call":
            raise OSError("call")
        return blocks()

    telemetry.around_events(broken)
    async with running(on_trio) as app:
        assert await app.invoke("") == observer.begun[0]
        with pytest.raises(FunctionError, match="asked for"):
            await app.invoke("raise")

    assert observer.outcomes() == [None, "Function.ValueError"]
    where = "after" if at == "end" else "before"
    assert sum(f"raised {where} an event" in line for line in caplog.messages) == 2


@pytest.mark.parametrize("kind", HANDLERS)
@virtual_time
async def test_context_variables_of_an_observer_end_with_the_event(kind: str) -> None:
    before: list[str] = []

    @telemetry.around_events
    @contextmanager
    def observe(observed: telemetry.ObservedEvent) -> Iterator[None]:
        before.append(CURRENT.get())
        CURRENT.set("set")
        yield

    async with running(HANDLERS[kind]()) as app:
        assert [text_of(await app.invoke("")) for _ in range(4)] == ["set"] * 4

    assert before == [""] * 4


async def test_context_variables_of_an_event_without_a_worker_stay_in_its_block(
    observer: Observer,
) -> None:
    # The dispatcher ends such an event, in its own task.
    ended = Telemetry(ledger_of(), Settings("127.0.0.1:9001", "app.handler", "/var/task"))

    ended.end(delivery(), Outcome(b"", error_type="Runtime.DeadlineExceeded"))

    assert observer.outcomes() == ["Runtime.DeadlineExceeded"]
    assert CURRENT.get() == ""


@pytest.mark.parametrize("framework", ["FastAPI", "Litestar"])
@virtual_time
async def test_a_web_request_has_its_route_and_its_answer(framework: str) -> None:
    seen: list[Any] = []

    @telemetry.around_events
    @contextmanager
    def observe(observed: telemetry.ObservedEvent) -> Iterator[None]:
        yield
        seen.append((observed.route, observed.result["statusCode"]))

    async with running(Function(ASGI(ORDERS[framework]()))) as function:
        await function.invoke(web_request("/orders/7"))
        await function.invoke(web_request("/nowhere"))

    assert seen == [("/orders/{number}", 200), (None, 404)]


def orders_on_fastapi() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/orders/{number}")
    async def order(number: int) -> int:
        return number

    return app


def orders_on_litestar() -> Any:
    from litestar import Litestar, get

    @get("/orders/{number:int}")
    async def order() -> int:
        return 7

    return Litestar([order])


ORDERS = {"FastAPI": orders_on_fastapi, "Litestar": orders_on_litestar}


def web_request(path: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {"http": {"method": "GET", "path": path, "sourceIp": "1.2.3.4"}},
    }


async def slow_asgi(scope: Any, receive: Any, send: Any) -> None:
    await trio.sleep_forever()


@virtual_time
async def test_a_late_web_request_has_the_deadline_s_error_beside_its_answer(
    observer: Observer,
) -> None:
    async with running(Function(ASGI(slow_asgi, lifespan="off", loop="trio"))) as function:
        assert (await function.invoke(web_request("/")))["statusCode"] == 504

    assert observer.outcomes() == ["Runtime.DeadlineExceeded"]


async def broken_asgi(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("asked for")


def broken_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    raise ValueError("asked for")


@pytest.mark.parametrize("adapter", [ASGI(broken_asgi, lifespan="off"), WSGI(broken_wsgi)])
@virtual_time
async def test_a_web_application_s_exception_is_told_beside_the_answer_500(
    adapter: Any, observer: Observer
) -> None:
    async with running(Function(adapter)) as function:
        await function.invoke(web_request("/"))

    assert observer.outcomes() == [None]
    assert observer.ended[0].result["statusCode"] == 500
    assert str(observer.ended[0].error) == "asked for"


@pytest.mark.parametrize("is_async", [True, False])
@virtual_time
async def test_each_record_of_a_batch_has_a_block(is_async: bool, observer: Observer) -> None:
    seen: list[tuple[str, str]] = []

    @telemetry.around_records
    @contextmanager
    def observe(record: Record[Any]) -> Iterator[None]:
        CURRENT.set(f"record {record.body}")
        try:
            yield
        except ValueError as error:
            seen.append((record.body, str(error)))
            raise
        seen.append((record.body, "done"))

    def plainly(record: Record[str]) -> None:
        assert CURRENT.get() == f"record {record.body}"
        if record.body == "b":
            raise ValueError("bad")

    async def asynchronously(record: Record[str]) -> None:
        await trio.sleep(1)
        plainly(record)

    handler = Batch(asynchronously if is_async else plainly)
    async with running(Function(handler)) as app:
        records = [Item(n, body) for n, body in enumerate("abc")]
        answer = await app.invoke(make_event("SQS", records))

    assert len(answer["batchItemFailures"]) == 1
    assert sorted(seen) == [("a", "done"), ("b", "bad"), ("c", "done")]
    assert observer.ended[0].error_type is None


@pytest.mark.parametrize("name", ["around_events", "around_records", "after_events"])
def test_only_a_function_can_be_registered(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} takes a function"):
        getattr(telemetry, name)(object())
