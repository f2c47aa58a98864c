"""Timer slack and scheduling policy of threads, as the kernel reports them."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue

import pytest
import trio

from okibi.runtime.handlers.handler_thread import HandlerThread
from okibi.runtime.system.scheduling import remove_timer_slack, use_batch_scheduling, yield_core

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")


def slack() -> int:
    """This thread's timer slack in nanoseconds."""
    return int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())


def policy() -> int:
    """This thread's policy, read from /proc instead of the C library."""
    told = Path("/proc/thread-self/stat").read_text()
    # proc_pid_stat(5): field 41. The second field, in brackets, may contain any character.
    return int(told.rpartition(")")[2].split()[38])


def has_policies() -> bool:
    """Whether the C library can set policies; musl's function returns an error."""
    with suppress(AttributeError, OSError):
        return os.sched_getscheduler(0) >= 0
    return False


by_process = pytest.mark.skipif(not has_policies(), reason="another C library")
compiled = pytest.mark.skipif(
    find_spec("okibi.runtime.system.native") is None, reason="okibi has no compiled module here"
)


def in_a_thread(act: Callable[[], int]) -> int:
    """Run a function in a new thread and return its result."""
    found = list[int]()
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    return found[0]


@compiled
async def test_only_a_plain_handlers_thread_has_no_timer_slack(
    nursery: trio.Nursery,
) -> None:
    before = slack()
    thread = HandlerThread(nursery)

    found = await thread.call(slack)

    assert found == 1
    assert slack() == before > 1
    nursery.cancel_scope.cancel()


async def test_only_a_plain_handlers_thread_has_batch_scheduling(
    nursery: trio.Nursery,
) -> None:
    thread = HandlerThread(nursery)

    found = await thread.call(policy)

    assert found == os.SCHED_BATCH
    assert policy() == os.SCHED_OTHER
    nursery.cancel_scope.cancel()


@compiled
async def test_threads_of_a_plain_handler_inherit_both(nursery: trio.Nursery) -> None:
    thread = HandlerThread(nursery)
    ask = "print(open('/proc/self/stat').read().rpartition(')')[2].split()[38])"
    asks = [sys.executable, "-c", ask]

    def act() -> tuple[int, int, int]:
        said = subprocess.run(asks, capture_output=True, text=True, check=True).stdout
        return in_a_thread(slack), in_a_thread(policy), int(said)

    assert await thread.call(act) == (1, os.SCHED_BATCH, os.SCHED_BATCH)
    nursery.cancel_scope.cancel()


@compiled
def test_other_threads_keep_their_settings() -> None:
    def other() -> int:
        remove_timer_slack()
        return slack()

    before = slack()

    assert in_a_thread(other) == 1
    assert slack() == before


WITHOUT_NATIVE = """
import sys
sys.modules["okibi.runtime.system.native"] = None
from okibi.runtime.system.scheduling import remove_timer_slack
print(remove_timer_slack())
"""


def test_a_missing_compiled_module_is_ignored() -> None:
    command = [sys.executable, "-c", WITHOUT_NATIVE]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "None\n"


@by_process
def test_a_forbidden_policy_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)

    use_batch_scheduling()

    assert policy() == os.SCHED_OTHER


@by_process
def test_a_policy_chosen_before_is_kept() -> None:
    def other() -> int:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        use_batch_scheduling()
        return policy()

    assert in_a_thread(other) == os.SCHED_IDLE


def test_yield_core_lets_a_woken_thread_run() -> None:
    calls, ran = SimpleQueue[Callable[[], None] | None](), list[None]()

    def serve() -> None:
        use_batch_scheduling()
        while call := calls.get():
            call()

    def begun_at_once() -> int:
        # Set for this thread; threads that it starts inherit it.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        thread = threading.Thread(target=serve)
        thread.start()
        at_once = 0
        for _ in range(200):
            while calls.qsize():
                yield_core()
            before = len(ran)
            calls.put(lambda: ran.append(None))
            yield_core()
            at_once += len(ran) > before
        calls.put(None)
        thread.join()
        return at_once

    # Other processes may have had the core. `put` alone keeps the interpreter.
    assert in_a_thread(begun_at_once) > 0
