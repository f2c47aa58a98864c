"""ASGI applications: lifespan, deadline, work after the answer, streams; on both loops."""

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import attrs
import pytest
import trio
from starlette.applications import Starlette
from starlette.routing import Route

from okibi import Child, Function, Name, Server
from okibi.actors import StartError, from_sync
from okibi.actors.trio_internals import sniffio
from okibi.runtime.tree import choose_loop
from okibi.supervisors import SpecError
from okibi.testing import FunctionError, running, sample_event
from okibi.web import ASGI, StatusFailed
from tests.support.sandbox import running as running_sandbox

Loop = Literal["trio", "asyncio"]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

LOOPS: list[Loop] = ["trio", "asyncio"]
both_loops = pytest.mark.parametrize("loop", LOOPS)


async def sleep(seconds: float) -> None:
    if sniffio.name == "asyncio":
        await asyncio.sleep(seconds)
    else:
        await trio.sleep(seconds)


def get(path: str = "/") -> Any:
    return sample_event("function-url", path=path)


async def start(send: Send, status: int = 200) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def answer(send: Send, text: str = "done", status: int = 200) -> None:
    await start(send, status)
    await send({"type": "http.response.body", "body": text.encode()})


@attrs.define(eq=False)
class Application:
    """An application with a lifespan, which tells what has happened.

    Args:
        does: handles a request.
        fails: "start", "stop" or "serving": when the lifespan raises.
    """

    does: Callable[[Scope, Receive, Send], Awaitable[object]] | None = None
    fails: str = ""
    said: list[str] = attrs.Factory(list[str])
    fail_now: list[Any] = attrs.Factory(list[Any])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
        elif self.does is not None:
            await self.does(scope, receive, send)
        else:
            await answer(send, f"start {scope['state']['number']}")

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        self.said.append("start")
        if self.fails == "start":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        scope["state"]["number"] = self.said.count("start")
        await send({"type": "lifespan.startup.complete"})
        if self.fails == "serving" and self.said.count("start") == 1:
            await sleep(1)
            raise LookupError("the pool is gone")
        try:
            assert (await receive())["type"] == "lifespan.shutdown"
            await sleep(0.01)
            self.said.append("stop")
        except BaseException:
            self.said.append("cancelled")
            raise
        await send({"type": "lifespan.shutdown.complete"})


# -- the lifespan


@both_loops
async def test_the_lifespan_runs_once_a_sandbox_and_its_state_reaches_requests(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    application = Application()
    async with running(Function(ASGI(application, loop=loop)), timeout=5) as app:
        for _ in range(3):
            assert (await app.invoke(get()))["body"] == "start 1"
        assert application.said == ["start"]
    assert application.said == ["start", "stop"]


@both_loops
async def test_a_failing_start_fails_the_start_with_its_text(loop: Loop) -> None:
    with pytest.raises(StartError) as caught:
        async with running(Function(ASGI(Application(fails="start"), loop=loop))):
            pass
    assert str(caught.value.__cause__) == "no database"


@both_loops
async def test_an_error_at_the_start_is_the_error_of_the_start(loop: Loop) -> None:
    # Starlette sends the whole traceback as its text, and raises the error again.
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "Traceback (most recent call"})
        raise LookupError("no database")

    with pytest.raises(StartError) as caught:
        async with running(Function(ASGI(application, loop=loop))):
            pass
    assert repr(caught.value.__cause__) == "LookupError('no database')"


@both_loops
async def test_a_lifespan_that_crashes_is_started_again_with_a_new_state(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    application = Application(fails="serving")
    async with running(Function(ASGI(application, loop=loop))) as app:
        assert (await app.invoke(get()))["body"] == "start 1"
        await app.wait_restarted("lifespan")
        assert (await app.invoke(get()))["body"] == "start 2"


@both_loops
async def test_a_killed_lifespan_is_cancelled_and_started_again(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    application = Application()
    async with running(Function(ASGI(application, loop=loop))) as app:
        await app.kill("lifespan")
        assert (await app.invoke(get()))["body"] == "start 2"
    # The old one ends while the new one starts.
    assert sorted(application.said) == ["cancelled", "start", "start", "stop"]
    assert application.said[-1] == "stop"


async def raises_at_a_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await answer(send, str("state" in scope))


async def answers_a_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, str("state" in scope))


@both_loops
@pytest.mark.parametrize("application", [raises_at_a_lifespan, answers_a_lifespan])
async def test_an_application_without_a_lifespan_is_served_without_a_state(
    application: Any, loop: Loop
) -> None:
    async with running(Function(ASGI(application, loop=loop))) as app:
        assert (await app.invoke(get()))["body"] == "False"
    with pytest.raises(StartError):
        async with running(Function(ASGI(application, loop=loop, lifespan="on"))):
            pass
    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        assert (await app.invoke(get()))["body"] == "False"


@both_loops
async def test_the_lifespan_survives_late_requests(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await sleep(60)
        await answer(send, f"start {scope['state']['number']}")

    async with running(Function(ASGI(Application(late), loop=loop))) as app:
        assert (await app.invoke(get("/late")))["statusCode"] == 504
        assert (await app.invoke(get()))["body"] == "start 1"


async def test_a_lifespan_and_its_tasks_are_no_leftovers_of_a_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        task = asyncio.create_task(asyncio.sleep(60), name="refresh")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        task.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(scope, receive, send)
        else:
            left.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))
            await answer(send)

    left = list[Any]()
    async with running(Function(ASGI(application, loop="asyncio"))) as app:
        await app.invoke(get())
    assert [record.getMessage()[:47] for record in caplog.records] == [
        "a handler returned and left task 'forgotten' ru"
    ]


# -- after the answer


@both_loops
async def test_an_application_goes_on_after_its_answer(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        said.append(f"begins {scope['path']}")
        await answer(send)
        if scope["path"] == "/work":
            await sleep(1)
        said.append(f"ends {scope['path']}")

    said = list[str]()
    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        assert (await app.invoke(get("/work")))["body"] == "done"
        assert said == ["begins /work"]
        await app.invoke(get("/"))
    assert said == ["begins /work", "ends /work", "begins /", "ends /"]


@both_loops
async def test_an_error_after_the_answer_is_logged_and_changes_nothing(
    autojump_clock: trio.testing.MockClock, loop: Loop, capfd: pytest.CaptureFixture[str]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        if scope["path"] == "/work":
            await sleep(0.1)
            raise LookupError("no mail today")

    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        for path in ("/work", "/work", "/"):
            assert (await app.invoke(get(path)))["statusCode"] == 200
    assert capfd.readouterr().out.count("LookupError: no mail today") == 2


@both_loops
async def test_work_after_the_answer_ends_at_the_deadline(
    autojump_clock: trio.testing.MockClock, loop: Loop, capfd: pytest.CaptureFixture[str]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        try:
            await sleep(60 if scope["path"] == "/work" else 0)
        except BaseException:
            ended.append(trio.current_time() - began)
            raise

    began, ended = trio.current_time(), list[float]()
    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        assert (await app.invoke(get("/work")))["statusCode"] == 200
        assert (await app.invoke(get()))["statusCode"] == 200
    assert ended == [pytest.approx(2.9, abs=0.05)]
    assert "a function that ran after the response was in" in capfd.readouterr().out


@both_loops
async def test_the_client_disconnects_when_the_answer_is_out(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        received.append((await receive())["type"])
        await answer(send)
        received.append((await receive())["type"])
        received.append((await receive())["type"])

    received = list[str]()
    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        await app.invoke(get())
    assert received == ["http.request", "http.disconnect", "http.disconnect"]


# -- errors and deadlines


@both_loops
@pytest.mark.parametrize("begins", [False, True])
async def test_an_error_is_logged_and_answered_500(
    loop: Loop, begins: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await start(send, 200)
        raise LookupError("mine")

    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        told = await app.invoke(get())
    assert (told["statusCode"], told["body"]) == (500, "Internal Server Error")
    assert "LookupError: mine" in capfd.readouterr().out


@both_loops
async def test_a_late_request_is_answered_504_and_its_line_logged(
    autojump_clock: trio.testing.MockClock, loop: Loop, capfd: pytest.CaptureFixture[str]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await sleep(60)

    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        for _ in range(2):
            assert (await app.invoke(get()))["statusCode"] == 504
    out = capfd.readouterr().out
    assert out.count("Runtime.DeadlineExceeded") == 2
    assert f'File "{__file__}", line' in out


async def test_a_request_that_cannot_be_cancelled_is_late_at_its_line(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    async with running(Function(ASGI(application, loop="trio", lifespan="off"))) as app:
        with pytest.raises(FunctionError, match=rf'the handler was in File "{__file__}", line \d+'):
            await app.invoke(get())


async def test_a_late_route_in_a_thread_is_logged_with_its_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def route(request: object) -> None:
        done.wait()

    done = threading.Event()
    application = Starlette(routes=[Route("/", route)])
    async with running(Function(ASGI(application)), timeout=1) as app:
        assert (await app.invoke(get()))["statusCode"] == 504
        done.set()
    assert f'while a thread was in File "{__file__}", line' in capfd.readouterr().out


@pytest.mark.slow
async def test_each_route_that_blocks_the_loop_is_named_with_the_cure() -> None:
    cure = "un blocking code in a thread: await asyncio.to_thread(...)"
    async with running_sandbox("web_blocks_loop.app", timeout=2) as sandbox:
        for route in ("short", "other"):
            assert (await sandbox.ask(get(f"/{route}")))["body"] == route
        late = await sandbox.invoke(get("/late"))
        assert (await sandbox.ask(get("/other")))["body"] == "other"

    warnings = [line.split("\t")[3] for line in sandbox.lines if line.startswith("[WARNING]")]
    names = ["short", "other", "other"]
    assert [text.split()[0] for text in warnings if text.endswith(cure)] == names
    message = json.loads(late.payload)["errorMessage"]
    assert ", in late, and held the event loop; write a plain def, or r" in message
    assert message.endswith(cure)


@both_loops
async def test_a_status_of_fail_on_fails_the_invocation(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await sleep(60)
        await answer(send, status=int(scope["path"].strip("/")))
        await sleep(0)

    served = ASGI(application, loop=loop, lifespan="off", fail_on={503, 504})
    async with running(Function(served)) as app:
        assert (await app.invoke(get("/500")))["statusCode"] == 500
        with pytest.raises(FunctionError, match="GET /503 was answered 503") as caught:
            await app.invoke(get("/503"))
        assert isinstance(caught.value.__cause__, StatusFailed)
        with pytest.raises(FunctionError, match="ran out of time"):
            await app.invoke(get("/late"))
        assert (await app.invoke(get("/200")))["statusCode"] == 200


@both_loops
async def test_an_answer_that_is_too_large_is_answered_500_with_the_reason(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, "x" * 7_000_000)

    async with running(Function(ASGI(application, loop=loop, lifespan="off"))) as app:
        told = await app.invoke(get("/all"))
    assert told["statusCode"] == 500
    assert "the service takes 6,291,556" in told["body"]
    assert "GET /all: the answer has 7,0" in caplog.text


@pytest.mark.parametrize("streams", [False, True])
@both_loops
async def test_an_event_that_is_no_request_goes_to_the_other_handler(
    loop: Loop, streams: bool
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    async def other(event: Any, context: Any) -> str:
        await sleep(0)
        return str(event["Records"][0]["body"]).upper()

    called = list[Scope]()
    sqs = sample_event("sqs", body="message")
    served = ASGI(application, loop=loop, lifespan="off", streams=streams, other=other)
    async with running(Function(served)) as app:
        assert await app.invoke(sqs) == "MESSAGE"
    served = ASGI(application, loop=loop, lifespan="off", streams=streams)
    async with running(Function(served)) as app:
        with pytest.raises(FunctionError, match=r"Runtime\.NoHttpRequest: .* from aws:sqs"):
            await app.invoke(sqs)
    assert called == []


@pytest.mark.parametrize(
    ("change", "told"),
    [({"requestContext": {"http": {}}}, "KeyError: 'method'"), ({"body": 5}, "AttributeError: ")],
)
async def test_an_event_without_a_field_of_its_service_is_refused_with_a_whole_one(
    change: dict[str, Any], told: str
) -> None:
    async with running(Function(ASGI(raises_at_a_lifespan))) as app:
        with pytest.raises(FunctionError, match=rf"NoHttpRequest: .*{told}.*`okibi event"):
            await app.invoke({**get(), **change})


# -- streams


@both_loops
async def test_a_part_leaves_before_the_next_is_made(
    autojump_clock: trio.testing.MockClock, loop: Loop
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for part in (b"a", b"b", b"c"):
            made.append(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await sleep(1)
        await send({"type": "http.response.body"})
        await sleep(1)
        made.append(b"after")

    made, seen = list[bytes](), list[tuple[bytes, int]]()
    served = ASGI(application, loop=loop, lifespan="off", streams=True)
    async with running(Function(served), timeout=10) as app:
        async with app.stream(get()) as stream:
            async for piece in stream:
                seen.append((piece, len(made)))
        assert made[-1] == b"c"
        await app.invoke(get())
    assert b'"statusCode":200' in seen[0][0]
    assert [each for each in seen if each[0] in made] == [(b"a", 1), (b"b", 2), (b"c", 3)]
    assert made == [b"a", b"b", b"c", b"after", b"a", b"b", b"c"]


@both_loops
async def test_an_error_within_a_stream_ends_it_with_the_error(loop: Loop) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        if scope["path"] == "/begun":
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise LookupError("mine")

    served = ASGI(application, loop=loop, lifespan="off", streams=True)
    async with running(Function(served)) as app:
        whole = await app.invoke(get("/"))
        assert whole.endswith(b"\0" * 8 + b"Internal Server Error")
        assert b'"statusCode":500' in whole
        with pytest.raises(FunctionError, match="mine"):
            await app.invoke(get("/begun"))


# -- loops and actors


class Visits(Server):
    seen = 0

    async def visit(self) -> int:
        self.seen += 1
        return self.seen


VISITS = Name("visits", Visits)


async def test_a_route_in_a_thread_calls_an_actor() -> None:
    def route() -> str:
        return str(from_sync.call(VISITS, Visits.visit))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, await asyncio.to_thread(route))

    served = ASGI(application, lifespan="off")
    function = Function(served, children=[Child(Visits, name=VISITS)])
    async with running(function) as app:
        assert [(await app.invoke(get()))["body"] for _ in range(2)] == ["1", "2"]


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def test_the_application_decides_on_its_loop_before_function_and_environment() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None: ...

    class Quart:
        __module__ = "quart_trio.app"

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    undecided, on_trio = ASGI(application), ASGI(application, loop="trio")
    assert choose_loop(None, None, undecided) == "asyncio"
    assert choose_loop(None, "trio", undecided) == "trio"
    assert choose_loop("asyncio", "trio", undecided) == "asyncio"
    assert choose_loop("asyncio", "asyncio", on_trio) == "trio"
    assert choose_loop(None, None, ASGI(Quart())) == "trio"
    assert choose_loop(None, None, None) == "trio"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"lifespan": "yes"}, "lifespan must be one of 'on', 'auto', 'off', got"),
        ({"loop": "uvloop"}, "loop must be one of 'trio', 'asyncio', None, got"),
        ({"streams": "yes"}, "streams must be one of True, False, got"),
        ({"base_path": "shop"}, "base_path must be like '/shop' or empty"),
        ({"fail_on": {99}}, "fail_on must be a set of HTTP statuses"),
        ({"app": "app.app"}, "app must be an ASGI application"),
        ({"app": wsgi}, "got a WSGI application: write WSGI(app)"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=re.escape(text)):
        ASGI(**{"app": raises_at_a_lifespan, **arguments})


@both_loops
@pytest.mark.parametrize("streams", [False, True])
async def test_requests_are_served_at_once_and_each_goes_on_in_its_slot(
    autojump_clock: trio.testing.MockClock, loop: Loop, streams: bool
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await sleep(1)
        await answer(send, scope["path"])
        await sleep(1)

    async def ask(path: str) -> None:
        told = await app.invoke(get(path))
        answers.append(told[-2:].decode() if streams else told["body"])

    served = ASGI(application, loop=loop, lifespan="off", streams=streams)
    began, answers = trio.current_time(), list[str]()
    async with running(Function(served), concurrency=4) as app:
        for first, ends in ((0, 1), (4, 3.5)):
            async with trio.open_nursery() as nursery:
                for n in range(first, first + 4):
                    nursery.start_soon(ask, f"/{n}")
            assert trio.current_time() - began == pytest.approx(ends, abs=0.1)
            # The slots are free again when the work after the answers has ended.
            await trio.sleep(1.5)
    assert sorted(answers) == [f"/{n}" for n in range(8)]
