"""A function for the official client behaves the same on okibi."""

import json
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from okibi.local import Invocation
from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.startup.find_function import load
from tests.support.sandbox import COMMAND, Running, process_of, running
from tests.support.side_by_side import REASON, beside, official_path

slow = partial(pytest.param, marks=pytest.mark.slow)

HANDLERS = """
import collections, decimal, json, multiprocessing, os, signal, threading, time

Pair = collections.namedtuple("Pair", "a b")
RESULTS = {
    "pair": Pair(1, Pair(2.5, None)), "decimal": [decimal.Decimal("1.10")], "text": "\\u00e9",
    "long text": "\\u00e9" * 2_500_000,
    "keys": {None: 1, True: 2, 3: 4, 1.5: 5}, "nested bytes": [b"a"], "bytes": b"raw\\xff",
    "spaces": {"a": [1, 2]}, "floats": [1e16, 1e-5], "surrogate": "\\ud800",
    "object": object(), "tuple key": {(1, 2): 3},
}

def act(event, context):
    return globals()[event["call"]](event, context)

def results(event, context):
    return RESULTS[event["what"]]

async def async_results(event, context):
    return results(event, context)

def told(event, context):
    context.mine = 1
    return [repr(context), context.w3c(), context.mine, context.tenant_id, str(event)]

class Untellable(Exception):
    @property
    def __cause__(self):
        raise LookupError

class Exits(Exception):
    def __str__(self):
        raise SystemExit(3)

def stops(event, context):
    return next(iter(()))

def raises(event, context):
    if event["what"] == "stops":
        return stops(event, context)
    errors = {"key": KeyError("missing"), "untellable": Untellable("x"), "exits": Exits()}
    raise errors[event["what"]]

def waits(event, context):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    os.kill(os.getpid(), signal.SIGUSR2)
    return signal.sigwait([signal.SIGUSR2])

exec("def made(event, context): return 1 / len(event)")

def shows(event, context):
    shown = json.dumps(vars(context), default=lambda _: None)
    return [sorted(vars(context)), json.loads(shown)["tenant_id"]]

def join_all_threads(event, context):
    if event.get("late"):
        time.sleep(60)
    threading.Thread(target=time.sleep, args=(0.01,)).start()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    while threading.active_count() > 1:
        time.sleep(0.001)
    return [thread.name for thread in threading.enumerate()]

async def list_threads(event, context):
    return join_all_threads(event, context)

def fork(event, context):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, json.dumps(join_all_threads(event, context)).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(read, 1000))

def children(event, context):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    began = time.monotonic()
    child.start()
    child.terminate()
    child.join()
    return [child.exitcode, time.monotonic() - began < 1.5]
"""
CALLED = """
import threading
from math import dist

import anyio, trio
from okibi.actors import Server
from okibi.runtime import Function
from okibi.supervisors import Child

def takes_one(event):
    pass

async def takes_one_async(event):
    pass

async def takes_one_streamed(event):
    yield "x"

def list_threads(event, context):
    return [thread.name for thread in threading.enumerate()]

threads = Function(list_threads, children=[Child(Server)])
in_thread = Function(takes_one, children=[Child(Server)])

async def one():
    return 1

def runs_trio(event, context):
    return trio.run(one)

def runs_anyio_on_trio(event, context):
    return anyio.run(one, backend="trio")
"""
RESULTS = [
    "pair", "decimal", "text", "keys", "nested bytes", "bytes", "spaces", "floats", "object",
    "tuple key",
]  # fmt: skip
FILES = {
    "app.py": HANDLERS,
    "called.py": CALLED,
    "no_syntax.py": "def handler(event)\n    pass",
    "imports_absent.py": "import absent_2",
    "from_absent.py": "from json import absent_3",
    "broken.py": "def inner():\n    raise KeyError('missing')\ninner()",
    "folder/inner.py": "def handler(event, context): return __name__",
    "folder/broken.py": "1 / 0",
    "folder/no_syntax.py": "def",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


INIT_ERRORS = [
    "nodot", "sys.exit", "sys.path.join", "_io.open", "sys/inner.handler", "absent.handler",
    "absent/inner.handler", "folder/absent.handler", "imports_absent.handler",
    "from_absent.handler", "no_syntax.handler", "folder/no_syntax.handler", "app.absent",
    "folder/inner.absent", "folder.inner.absent", "broken.handler", "folder/broken.handler",
    ".handler", "app.", "app..results",
]  # fmt: skip


@pytest.fixture
def imports(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in the task root; unload its modules after the test."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name, module in [*sys.modules.items()]:
        if (getattr(module, "__file__", None) or "").startswith(str(root)):
            del sys.modules[name]


def official_init_error(handler: str) -> dict[str, Any]:
    """The official client's error for a handler that cannot be found or imported."""
    bootstrap = pytest.importorskip("awslambdaric.bootstrap", reason=REASON)
    try:
        bootstrap._get_handler(handler)
    except bootstrap.FaultException as error:
        told = bootstrap.make_error(error.msg, error.exception_type, error.trace)
    except Exception:
        told = bootstrap.build_fault_result(sys.exc_info(), None)
    return dict(told)


@pytest.mark.parametrize("handler", INIT_ERRORS)
@pytest.mark.usefixtures("imports")
def test_each_init_error_has_the_official_type_and_text(handler: str, root: Path) -> None:
    official = official_init_error(handler)
    with pytest.raises(InitError) as raised:
        load(handler, str(root))

    own = raised.value
    # okibi appends the handlers of the module to the official message.
    message = own.message.partition("; the module defines ")[0]
    assert (own.kind, message) == (official["errorType"], official["errorMessage"])
    if own.kind == "Runtime.UserCodeSyntaxError":
        assert list(own.stack) == official["stackTrace"]


async def test_an_init_error_is_the_official_error_response(root: Path) -> None:
    async with beside("folder/no_syntax.handler", root) as (ours, theirs):
        assert await ours.ask() == await theirs.ask()


async def test_code_is_found_in_the_working_directory(
    root: Path,
) -> None:
    handler = "folder/inner.handler"
    for command in (COMMAND, (sys.executable, "-m", "awslambdaric", handler)):
        async with process_of(
            handler,
            task_root=root,
            command=command,
            LAMBDA_TASK_ROOT="/nowhere",
            PYTHONPATH=official_path(),
        ) as (_, api, _):
            assert (await api.invoke(b"{}")).payload == b'"folder.inner"'


async def each_result_is_sent_byte_for_byte(ours: Running, theirs: Running) -> None:
    for name in RESULTS:
        asked = {"call": "results", "what": name}
        own, official = await ours.invoke(asked), await theirs.invoke(asked)
        if official.error_type is None:
            assert (own.payload, own.function_error) == (official.payload, None), name
            continue
        told, wanted = json.loads(own.payload), json.loads(official.payload)
        for key in ("errorType", "errorMessage", "stackTrace"):
            assert told[key] == wanted[key], name


async def each_error_has_its_own_type(ours: Running, theirs: Running) -> None:
    for what in ("key", "stops", "untellable"):
        own, official = [
            await each.ask({"call": "raises", "what": what}) for each in (ours, theirs)
        ]
        assert own["errorType"] == official["errorType"], what
        if what != "untellable":
            assert own["errorMessage"] == official["errorMessage"]
            assert own["stackTrace"] == official["stackTrace"]


async def vars_of_the_context_has_the_same_names(ours: Running, theirs: Running) -> None:
    assert await ours.ask({"call": "shows"}) == await theirs.ask({"call": "shows"})


async def a_forked_child_ends_by_sigterm(ours: Running, theirs: Running) -> None:
    asked = {"call": "children"}
    assert await ours.ask(asked) == await theirs.ask(asked) == [-signal.SIGTERM, True]


async def a_def_can_join_every_listed_thread(ours: Running, theirs: Running) -> None:
    for handler in ("join_all_threads", "fork") * 2:
        asked = {"call": handler}
        assert await ours.ask(asked) == await theirs.ask(asked) == ["MainThread"], handler


async def a_def_can_block_a_signal_and_wait_for_it(ours: Running, theirs: Running) -> None:
    asked = {"call": "waits"}
    assert await ours.ask(asked) == await theirs.ask(asked) == signal.SIGUSR2


async def test_an_unchanged_def_behaves_as_on_the_official_client(root: Path) -> None:
    async with beside("app.act", root) as (ours, theirs):
        for rule in (
            each_result_is_sent_byte_for_byte,
            each_error_has_its_own_type,
            vars_of_the_context_has_the_same_names,
            a_forked_child_ends_by_sigterm,
            a_def_can_join_every_listed_thread,
            a_def_can_block_a_signal_and_wait_for_it,
        ):
            await rule(ours, theirs)

        # This one kills the official client's process.
        exits = {"call": "raises", "what": "exits"}
        own = await ours.ask(exits)
        assert own["errorType"] == "Exits"
        assert await ours.ask(exits) == {**own, "requestId": ANY}
        assert ours.function.starts == theirs.function.starts == 1


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["AWS_Lambda_python3.13", slow("AWS_Lambda_python3.11")])
async def test_each_result_is_sent_byte_for_byte_in_a_managed_runtime(
    runtime: str, root: Path
) -> None:
    async with beside("app.act", root, {"AWS_EXECUTION_ENV": runtime}) as (ours, theirs):
        await each_result_is_sent_byte_for_byte(ours, theirs)
        if not runtime.endswith("13"):
            # This kills the official client's process.
            surrogate = {"call": "results", "what": "surrogate"}
            own, official = [await each.invoke(surrogate) for each in (ours, theirs)]
            assert own.payload == official.payload


@pytest.mark.parametrize(
    ("runtime", "loop"),
    [
        slow("", "trio"), ("AWS_Lambda_python3.11", "asyncio"),
        slow("AWS_Lambda_python3.11", "trio"), slow("AWS_Lambda_python3.13", "asyncio"),
    ],
)  # fmt: skip
async def test_an_async_def_s_result_is_utf_8_in_every_runtime(
    runtime: str, loop: str, root: Path
) -> None:
    environment = {"AWS_EXECUTION_ENV": runtime, "OKIBI_LOOP": loop}
    async with running("app.async_results", task_root=root, environment=environment) as sandbox:
        assert (await sandbox.invoke({"what": "text"})).payload == '"é"'.encode()
        long = (await sandbox.invoke({"what": "long text"})).payload
        assert long == b'"%s"' % ("é" * 2_500_000).encode()


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["app.made", "os.path.join"])
async def test_the_stack_of_a_handler_outside_any_file_begins_with_it(
    handler: str, root: Path
) -> None:
    async with beside(handler, root) as (ours, theirs):
        own, official = await ours.ask(), await theirs.ask()

    assert own == {**official, "requestId": ANY}


@pytest.mark.parametrize(
    "environment", [{}, slow({"AWS_LAMBDA_LOG_FORMAT": "JSON"})], ids=["text", "json"]
)
async def test_a_handler_with_too_few_parameters_has_no_okibi_frames(
    environment: dict[str, str], root: Path
) -> None:
    async with beside("called.takes_one", root, environment) as (ours, theirs):
        own, official = await ours.ask(), await theirs.ask()
        # The official stack is the client's own line that calls the handler.
        (_,) = official["stackTrace"]

        assert own == {**official, "stackTrace": [], "requestId": ANY}
        assert ours.said("[ERROR] TypeError: ") == theirs.said("[ERROR] TypeError: ")
        assert not any("File" in line for line in ours.lines)


@pytest.mark.parametrize(
    ("handler", "environment"),
    [
        ("called.takes_one_async", {}),
        slow("called.takes_one_async", {"OKIBI_LOOP": "asyncio"}),
        slow("called.takes_one_streamed", {}),
        slow("called.takes_one_streamed", {"OKIBI_LOOP": "asyncio"}),
        slow("called.in_thread", {}),
        # A C function has no frame.
        slow("called.dist", {}),
    ],
)
async def test_a_failed_call_of_a_handler_has_no_okibi_frames(
    handler: str, environment: dict[str, str], root: Path
) -> None:
    async with running(handler, task_root=root, environment=environment) as sandbox:
        told = await sandbox.ask()

    assert (told["errorType"], told["stackTrace"]) == ("TypeError", [])


@pytest.mark.parametrize("handler", ["runs_trio", slow("runs_anyio_on_trio")])
async def test_a_def_that_calls_trio_run_is_answered_with_the_cure(
    handler: str, root: Path
) -> None:
    async with running(f"called.{handler}", task_root=root) as sandbox:
        told = await sandbox.ask()

    assert told["errorType"] == "RuntimeError"
    assert "write `async def`" in told["errorMessage"]
    assert f", in {handler}\n" in told["stackTrace"][0]


@pytest.mark.slow
async def test_with_okibi_s_asyncio_loop_a_def_can_join_every_thread(root: Path) -> None:
    async with beside("app.act", root, {"OKIBI_LOOP": "asyncio"}) as (ours, theirs):
        await a_def_can_join_every_listed_thread(ours, theirs)


@pytest.mark.slow
async def test_with_two_events_at_once_a_forked_child_ends_by_sigterm(
    root: Path,
) -> None:
    environment = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    async with beside("app.act", root, environment, max_concurrency=2) as (ours, theirs):
        await a_forked_child_ends_by_sigterm(ours, theirs)


@pytest.mark.slow
async def test_an_async_def_on_trio_can_join_every_listed_thread(root: Path) -> None:
    async with running("app.list_threads", task_root=root) as sandbox:
        assert await sandbox.ask() == ["MainThread"]


@pytest.mark.parametrize("lanes", [None, slow(2)])
async def test_a_def_in_a_thread_lists_the_main_and_handler_threads(
    lanes: int | None, root: Path
) -> None:
    handler = "called.threads" if lanes is None else "called.list_threads"
    async with running(handler, task_root=root, max_concurrency=lanes) as sandbox:
        names = await sandbox.ask()

    assert names[0] == "MainThread"
    assert all(name.startswith("/function/lambda/workers/worker-") for name in names[1:])
    assert len(names) == 2


@pytest.mark.slow
async def test_threading_does_not_list_the_watchdog_after_a_time_out(root: Path) -> None:
    async with running("app.join_all_threads", task_root=root, timeout=1) as sandbox:
        late = await sandbox.ask({"late": True})

        assert late["errorType"] == "Runtime.DeadlineExceeded"
        assert await sandbox.ask() == ["MainThread"]


async def told(sandbox: Running, sent: dict[str, Any]) -> Any:
    invocation = Invocation(b'{"a": 1}', 10.0, request_id="id-1", **sent)
    answer = await sandbox.function.run_invocation(invocation)
    return json.loads(answer.payload)


SENT: list[dict[str, Any]] = [
    {},
    {
        "client_context": '{"client": {"app_title": "t"}, "w3c": {"traceparent": "00-1"}}',
        "cognito_identity": '{"cognitoIdentityId": "a"}',
        "tenant_id": "tenant",
    },
    {"content_type": "text/plain"},
    {"client_context": "{"},
    {"cognito_identity": "x"},
    {"client_context": "[1"},
]


async def test_the_context_and_its_errors_are_the_official_client_s(root: Path) -> None:
    async with beside("app.told", root) as sandboxes:
        for sent in SENT:
            own, official = [await told(sandbox, sent) for sandbox in sandboxes]
            if isinstance(own, list):
                # Each sandbox has its own log stream.
                own[0], official[0] = (_without_stream(each[0]) for each in (own, official))
            assert own == official, sent


def _without_stream(shown: str) -> str:
    before, _, after = shown.partition("log_stream_name=")
    return before + after.partition(",")[2]
