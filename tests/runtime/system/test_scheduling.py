"""How a thread is woken, as the kernel tells it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import pytest
import trio

from okibi.runtime.handlers.handler_thread import HandlerThread
from okibi.runtime.system.scheduling import wake_behind_the_loop, wake_on_time, yield_core

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")


def slack() -> int:
    """This thread's, in nanoseconds."""
    return int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())


def policy() -> int:
    """This thread's, whatever the C library says of it."""
    told = Path("/proc/thread-self/stat").read_text()
    # proc_pid_stat(5): field 41; the second is in brackets, and may have any character in it.
    return int(told.rpartition(")")[2].split()[38])


def has_policies() -> bool:
    """Whether the C library has a policy of processes; musl has an error in its place."""
    with suppress(AttributeError, OSError):
        return os.sched_getscheduler(0) >= 0
    return False


by_process = pytest.mark.skipif(not has_policies(), reason="another C library")


def in_a_thread(act: Callable[[], int]) -> int:
    """What it comes to in a thread of its own."""
    found = list[int]()
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    return found[0]


async def test_a_plain_handlers_thread_has_no_slack_and_the_loops_keeps_its_own(
    nursery: trio.Nursery,
) -> None:
    before = slack()
    thread = HandlerThread(nursery)

    found = await thread.call(slack)

    assert found == 1
    assert slack() == before > 1
    nursery.cancel_scope.cancel()


async def test_a_plain_handlers_thread_takes_no_core_and_the_loops_keeps_its_own_way(
    nursery: trio.Nursery,
) -> None:
    thread = HandlerThread(nursery)

    found = await thread.call(policy)

    assert found == os.SCHED_BATCH
    assert policy() == os.SCHED_OTHER
    nursery.cancel_scope.cancel()


async def test_what_a_plain_handler_starts_inherits_both(nursery: trio.Nursery) -> None:
    thread = HandlerThread(nursery)
    ask = "print(open('/proc/self/stat').read().rpartition(')')[2].split()[38])"
    asks = [sys.executable, "-c", ask]

    def act() -> tuple[int, int, int]:
        said = subprocess.run(asks, capture_output=True, text=True, check=True).stdout
        return in_a_thread(slack), in_a_thread(policy), int(said)

    assert await thread.call(act) == (1, os.SCHED_BATCH, os.SCHED_BATCH)
    nursery.cancel_scope.cancel()


def test_it_is_this_threads_alone() -> None:
    def other() -> int:
        wake_on_time()
        return slack()

    before = slack()

    assert in_a_thread(other) == 1
    assert slack() == before


WITHOUT_CTYPES = """
import sys
sys.modules["ctypes"] = None
from okibi.runtime.system.scheduling import wake_on_time
print(wake_on_time())
"""


def test_an_interpreter_without_ctypes_goes_on() -> None:
    command = [sys.executable, "-c", WITHOUT_CTYPES]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "None\n"


@by_process
def test_where_the_policy_may_not_be_set_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)

    wake_behind_the_loop()

    assert policy() == os.SCHED_OTHER


@by_process
def test_a_policy_that_somebody_has_chosen_stays() -> None:
    def other() -> int:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        wake_behind_the_loop()
        return policy()

    assert in_a_thread(other) == os.SCHED_IDLE


def test_who_is_woken_on_this_core_has_it_once_it_is_yielded() -> None:
    calls, ran = SimpleQueue[Callable[[], None] | None](), list[None]()

    def serve() -> None:
        wake_behind_the_loop()
        while call := calls.get():
            call()

    def begun_at_once() -> int:
        # This thread's alone, and what it starts inherits it.
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

    # Somebody else may have had the core now and then; who only puts keeps the interpreter.
    assert in_a_thread(begun_at_once) > 0
