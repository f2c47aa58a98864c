"""The recipes of docs/recipes.md, each run as the page has it."""

import json
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import httpx
import pytest
import trio

from okibi.local import FunctionSettings, LocalLambda, open_local_lambda
from okibi.testing import FunctionTimedOut, RunningFunction, running, virtual_time

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text("utf-8")
SAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
RECIPES = {
    section.partition("\n")[0]: SAMPLE.findall(section)[0] for section in PAGE.split("\n## ")[1:]
}


def load(name: str) -> ModuleType:
    """Run the module of a recipe."""
    module = ModuleType("recipe")
    exec(compile(RECIPES[name], name, "exec"), vars(module))
    return module


@asynccontextmanager
async def running_recipe(name: str, **options: Any) -> AsyncIterator[RunningFunction]:
    module = load(name)
    function = getattr(module, "function", None) or module.handler
    async with running(function, **options) as app:
        yield app


async def timed(app: RunningFunction, event: object, ends: list[float]) -> None:
    await app.invoke(event)
    ends.append(trio.current_time())


# -- a token


@attrs.define(eq=False)
class TokenServer:
    """A real HTTP server whose tokens tell when they were issued."""

    mode: str = "serves"
    port: int = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.mode == "sleeps":
            time.sleep(60)
        status = 503 if self.mode == "fails" else 200
        body = json.dumps({"token": repr(time.time())}).encode()
        request.send_response(status)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen during the block, always on the same port. Outside it, connections are refused."""
        answer = self.answer

        class Request(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Request)
        server.daemon_threads, server.block_on_close = True, False
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


MAX_AGE, STALE_WHILE = 2.0, 1.0
TO_CLIENTS = (
    'except FetchError:\n        return {"statusCode": 503, "body": "no token: try again later"}'
)
TO_THE_TEST = 'except FetchError as error:\n        return {"statusCode": 503, "body": str(error)}'
OF_LAMBDA = re.compile(r"(START|END|REPORT|INIT_START|EXTENSION) ")


@attrs.define(eq=False)
class TokenUser:
    """Invokes the recipe, and checks each answer."""

    function: LocalLambda
    pids: set[int | None] = attrs.Factory(set)

    async def ask(self) -> str:
        """Invoke; return the cause of an error, or empty for a token that is young enough."""
        began = time.time()
        result = await self.function.invoke(b"{}")
        self.pids.add(self.function.pid)
        answer = json.loads(result.payload)
        if answer["statusCode"] == 200:
            issued = float(answer["body"].removeprefix("called with "))
            assert began - issued <= MAX_AGE + STALE_WHILE
            return ""
        said = re.fullmatch(
            r"<Cached fetch_token>: the last value is (\d+) s old \(max_age 2 s, stale_while 1 s\),"
            r" and its fetch failed: (\w+)(:.*)?",
            answer["body"],
        )
        assert said is not None, answer
        assert int(said[1]) >= MAX_AGE + STALE_WHILE
        return said[2]

    async def ask_until(self, ends: Callable[[], bool], every: float = 0.5) -> list[str]:
        causes: list[str] = []
        while not ends():
            causes.append(await self.ask())
            await trio.sleep(every)
        return [cause for cause in causes if cause]


@pytest.mark.slow
async def test_the_token_survives_an_outage_and_freezes_in_one_process(tmp_path: Path) -> None:
    """A real server fails for 20 s, sleeps, refuses; the sandbox is frozen between events."""
    limits = f"max_age={MAX_AGE:g}, stale_while={STALE_WHILE:g}"
    recipe = RECIPES["A token"].replace("max_age=300, stale_while=60", limits)
    recipe = recipe.replace(TO_CLIENTS, TO_THE_TEST)
    (tmp_path / "app.py").write_text(recipe)
    server, lines = TokenServer(), list[str]()
    with server.listening():
        pass
    settings = FunctionSettings(
        "app.handler",
        command=(sys.executable, "-P", "-m", "okibi.runtime"),
        task_root=tmp_path,
        timeout=10,
        environment={"TOKEN_URL": f"http://127.0.0.1:{server.port}"},
    )
    began = time.monotonic()
    async with open_local_lambda(settings, freeze=True, output=lines.append) as function:
        user = TokenUser(function)
        with server.listening():
            for _ in range(3):
                assert await user.ask() == ""
                await trio.sleep(6)
            server.mode, until = "fails", time.monotonic() + 20
            assert {*await user.ask_until(lambda: time.monotonic() > until)} == {"HTTPStatusError"}
            server.mode = "sleeps"
            assert await user.ask() == "ReadTimeout"
        assert await user.ask() == "ConnectError"
        await trio.sleep(6)
        assert await user.ask() == "ConnectError"
        server.mode = "serves"
        with server.listening():
            assert await user.ask() == ""
        minutes = (time.monotonic() - began) / 60

    assert len(user.pids) == 1
    own = [line for line in lines if not OF_LAMBDA.match(line)]
    print(f"{len(own)} lines of log in {minutes:.1f} minutes")
    assert len(own) <= 10 * minutes, own


@virtual_time
async def test_the_token_after_a_freeze_of_two_hours_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = list[float]()

    async def serve(request: httpx.Request) -> httpx.Response:
        requests.append(trio.current_time())
        await trio.sleep(0.2)
        return httpx.Response(200, json={"token": f"{requests[-1]:.0f}"})

    class Client(httpx.AsyncClient):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(serve), **options)

    monkeypatch.setattr(httpx, "AsyncClient", Client)
    monkeypatch.setenv("TOKEN_URL", "http://token.example")
    async with running_recipe("A token") as app:
        for freeze in (6, 6, 7200, 6, 320, 6):
            before = trio.current_time()
            body = (await app.invoke())["body"]
            assert before - int(body.removeprefix("called with ")) <= 360
            await app.freeze(freeze)

    assert len(requests) == 4


# -- the others


@virtual_time
async def test_each_key_of_a_cache_has_its_own_value() -> None:
    async with running_recipe("A cache with keys") as app:
        assert [await app.invoke({"number": number}) for number in "121"] == ["Bob"] * 3


@virtual_time
async def test_counts_are_reported_every_ten_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running_recipe("Work in the background") as app:
        for name in ("a", "b", "a"):
            await app.invoke({"name": name})
        await trio.sleep(11)
        await app.invoke({"name": "c"})

    assert capsys.readouterr().out == "report {'a': 2, 'b': 1}\nreport {'c': 1}\n"


@virtual_time
async def test_the_lock_lets_one_event_at_a_time_in() -> None:
    ends = list[float]()
    async with (
        running_recipe("A lock", timeout=60, concurrency=3) as app,
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            nursery.start_soon(timed, app, {"seconds": 2}, ends)

    assert ends == pytest.approx([2, 4, 6])


@virtual_time
async def test_the_lock_of_a_late_event_is_free_for_the_next() -> None:
    async with running_recipe("A lock", timeout=3) as app:
        with pytest.raises(FunctionTimedOut):
            await app.invoke({"seconds": 10})

        assert await app.invoke({"seconds": 0}) == "done"


@virtual_time
async def test_a_late_event_that_runs_on_releases_no_other_s_lock() -> None:
    """Its `finally` sends a release when another event holds the lock already."""
    recipe = RECIPES["A lock"].replace("await trio.sleep(", "await stay(")
    module, inside, most = ModuleType("recipe"), 0, 0

    async def stay(seconds: float) -> None:
        nonlocal inside, most
        if seconds == 4:
            with trio.CancelScope(shield=True):
                await trio.sleep(seconds)
            return
        inside += 1
        most = max(most, inside)
        await trio.sleep(seconds)
        inside -= 1

    vars(module)["stay"] = stay
    exec(compile(recipe, "recipe", "exec"), vars(module))
    async with (
        running(module.function, timeout=60, concurrency=3) as app,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(late, app)
        await trio.sleep(0.1)
        nursery.start_soon(app.invoke, {"seconds": 6})
        await trio.sleep(0.1)
        nursery.start_soon(app.invoke, {"seconds": 1})

    assert most == 1


async def late(app: RunningFunction) -> None:
    with pytest.raises(FunctionTimedOut):
        await app.invoke({"seconds": 4}, timeout=2)


@virtual_time
async def test_the_limit_lets_five_calls_a_second_pass() -> None:
    ends = list[float]()
    async with (
        running_recipe("A rate limit", concurrency=10) as app,
        trio.open_nursery() as nursery,
    ):
        for _ in range(10):
            nursery.start_soon(timed, app, {}, ends)

    assert ends == pytest.approx([n / 5 for n in range(10)])
