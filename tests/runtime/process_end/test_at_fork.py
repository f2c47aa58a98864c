"""Forked children of the process."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from okibi.actors.trio_internals import CONTEXT
from okibi.runtime.errors.error_response import handler_error
from okibi.runtime.process_end.forked_child import ForkedTransport, exit_child
from tests.support.sandbox import FUNCTIONS, ROOT, running, until_idle

# trio's idle threads of earlier tests are harmless: Python 3.15 raises this warning as an error.
pytestmark = pytest.mark.filterwarnings("ignore:.* is multi-threaded:DeprecationWarning")

# A process set up like okibi's. Its child prints what it finds.
CHILD = """
import json, os, signal, sys
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.process_end.shutdown import Shutdown
from okibi.runtime.process_end.at_fork import ForkGuard
import trio

def mine(*_): ...

async def main():
    interrupt = DeadlineInterrupt()
    shutdown = Shutdown([], interrupt)
    ForkGuard([], shutdown, interrupt)
    with shutdown, interrupt:
        if "mine" in sys.argv:
            signal.signal(signal.SIGTERM, mine)
        for _ in range(2):
            child = os.fork()
            if child == 0:
                told = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
                names = ["mine" if t is mine else getattr(t, "name", str(t)) for t in told]
                fd = signal.set_wakeup_fd(-1)
                print(json.dumps([names, fd, list(signal.pthread_sigmask(signal.SIG_BLOCK, []))]))
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
        assert signal.getsignal(signal.SIGTERM) in (shutdown._handle_signal, mine)
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])

trio.run(main)
"""


@pytest.mark.parametrize(
    ("own", "term"), [(["mine"], "mine"), pytest.param([], "SIG_DFL", marks=pytest.mark.slow)]
)
def test_a_child_has_the_previous_signal_handlers(own: list[str], term: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", CHILD, *own],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert len(told) == 2
    for line in told:
        (sigterm, sigint), wakeup, blocked = json.loads(line)
        assert sigterm == term
        # trio's handler, or the action inherited from the shell.
        assert "Shutdown._handle_signal" not in sigint
        assert (wakeup, blocked) == (-1, [])


FORKS_AT_IMPORT = """
import os, sys, warnings

warnings.simplefilter("error")
child = os.fork()
if child == 0:
    sys.exit(7)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def handler(event, context):
    return code
"""


async def test_a_module_may_fork_and_wait_for_the_child(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FORKS_AT_IMPORT)
    async with running("app.handler", task_root=tmp_path) as sandbox:
        # `sys.exit` at import is an init error, except in a child.
        assert await sandbox.ask() == 7
        assert sandbox.function.starts == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (None, 0, ""),
        (SystemExit(), 0, ""),
        (SystemExit(300), 300 & 255, ""),
        (SystemExit("gone"), 1, "gone\n"),
        (ValueError("no"), 1, "ValueError: no\n"),
    ],
)
def test_a_child_exits_with_a_program_s_exit_code(
    error: BaseException | None, code: int, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    child = os.fork()
    if child == 0:
        try:
            exit_child(error)
        finally:
            os._exit(99)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert capfd.readouterr().err == told


@pytest.mark.parametrize("said", [None, 3, -1, 300, "gone"])
def test_a_child_forked_on_the_main_thread_exits_alike(said: int | str | None) -> None:
    error = SystemExit() if said is None else SystemExit(said)
    head = b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n\r\n"
    answer = memoryview(head + handler_error(error, "id-1").body)
    ends: tuple[Callable[[], object], ...] = (
        lambda: ForkedTransport(socket.socket()).send(answer),
        lambda: exit_child(error),
    )
    codes = list[int]()
    for end in ends:
        child = os.fork()
        if child == 0:
            try:
                end()
            finally:
                os._exit(99)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    assert codes[0] == codes[1] == (1 if said == "gone" else int(said or 0) & 255)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("gone")])
def test_a_child_exits_if_it_cannot_write_why(error: BaseException) -> None:
    child = os.fork()
    if child == 0:
        try:
            sys.stderr = os.fdopen(os.open(os.devnull, os.O_RDONLY))  # read-only
            exit_child(error)
        finally:
            os._exit(99)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


# The log has no reader: a thread waits in the middle of its line while the main thread forks.
HELD = """
import json, logging, os, select, signal, sys, threading, time, warnings

warnings.simplefilter("ignore")
reading, writing = os.pipe()
os.dup2(writing, 1)
import trio
from okibi.runtime.logs import lambda_log as logs
from okibi.runtime.process_end.at_fork import ForkGuard

async def see_to_children():
    ForkGuard([])

logs.configure("INFO", {**json.loads(sys.argv[2])}, lanes=int(sys.argv[1]))
trio.run(see_to_children)
threading.Thread(target=logging.info, args=("x" * 1_000_000,), daemon=True).start()
while select.select([], [1], [], 0)[1]: ...
child = os.fork()
if child == 0:
    logging.info("from the child")
    print("and more", flush=True)
    os._exit(0)
os.set_blocking(reading, False)
said, until = b"", time.monotonic() + 10
while b"and more" not in said and time.monotonic() < until:
    try:
        said += os.read(reading, 1 << 20)
    except BlockingIOError:
        time.sleep(0.01)
os.kill(child, signal.SIGKILL)
os._exit(not (b"from the child" in said and b"and more" in said))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lanes", "unbuffered", "descriptor"),
    [
        (1, "", {}),
        (2, "", {}),
        (1, "1", {}),
        (1, "", {"_LAMBDA_TELEMETRY_LOG_FD": "1"}),
    ],
)
def test_a_child_can_log_while_the_parent_holds_the_lock(
    lanes: int, unbuffered: str, descriptor: dict[str, str]
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", HELD, str(lanes), json.dumps(descriptor)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (told.returncode, told.stderr) == (0, "")


# Threads of a child and of a grandchild write long lines at the same time.
CROSSED = """
import os, sys, threading, warnings

warnings.simplefilter("ignore")
import trio
from okibi.runtime.logs import lambda_log as logs
from okibi.runtime.process_end.at_fork import ForkGuard

async def see_to_children():
    ForkGuard([])

def write(letter):
    for _ in range(100):
        print(letter * 20_000)

logs.configure("", {}, lanes=2)
trio.run(see_to_children)
for _ in range(2):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.slow
def test_a_child_s_threads_do_not_mix_long_lines() -> None:
    told = subprocess.run(
        [sys.executable, "-c", CROSSED],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )

    lines = told.stdout.splitlines()
    assert [lines.count(letter * 20_000) for letter in "ab"] == [200, 200]
    assert (len(lines), told.stderr) == (400, "")


# -- a child that is forked on a loop

LANES = 4
ENDS = {"_exit": 7, "exit": 8, "exec": 9, "raise": 1, "return": 0}
ON = pytest.mark.parametrize(
    ("handler", "environment"),
    [
        pytest.param("forking.function", {}, id="trio"),
        pytest.param(
            "forking.on_asyncio", {"OKIBI_LOOP": "asyncio"}, id="asyncio", marks=pytest.mark.slow
        ),
    ],
)


@pytest.mark.slow
@ON
async def test_a_child_may_exit_in_the_step_that_forked(
    handler: str, environment: dict[str, str]
) -> None:
    async with running(handler, environment=environment) as sandbox:
        codes = {then: await sandbox.ask({"do": "end", "then": then}) for then in ENDS}

        assert codes == ENDS
        assert sandbox.function.starts == 1
        assert sandbox.said("returned to the event loop") == 0


@pytest.mark.slow
@ON
async def test_a_child_that_returns_to_the_loop_exits_and_harms_no_event(
    handler: str, environment: dict[str, str]
) -> None:
    answers = list[object]()
    async with running(handler, max_concurrency=LANES, environment=environment) as sandbox:
        await until_idle(sandbox.function, LANES)

        async def wait(n: int) -> None:
            answers.append(await sandbox.do("wait", n=n))

        async with trio.open_nursery() as nursery:
            for n in range(1, LANES):
                nursery.start_soon(wait, n)
            assert await sandbox.do("await", then="return") == 1

        assert answers == [sandbox.pid] * (LANES - 1)
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []
        said = [line for line in sandbox.lines if "returned to the event loop" in line]
        assert len(said) == 1
        assert f'forked in File "{FUNCTIONS / "forking.py"}", line ' in said[0]
        assert "Use subprocess, multiprocessing in a plain `def`, or end the child by" in said[0]


@pytest.mark.slow
async def test_the_parent_serves_on_after_a_fork_on_trio_s_loop() -> None:
    answers: dict[str, object] = {"task": 1, "actor": 1, "multiprocessing": 8, "subprocess": 9}
    if CONTEXT is not None:
        answers["descriptor"] = [1, False]
    async with running("forking.function") as sandbox:
        for do, answer in answers.items():
            for _ in range(2):
                assert await sandbox.do(do) == answer, do
        assert sandbox.function.starts == 1
