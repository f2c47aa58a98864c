"""The timer slack of a thread, as the kernel tells it."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from runtime.thread import HandlerThread
from runtime.timer_slack import wake_on_time

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timer slack")


def slack() -> int:
    """This thread's, in nanoseconds."""
    return int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())


async def test_a_plain_handlers_thread_has_none_and_the_loops_keeps_its_own(
    nursery: trio.Nursery,
) -> None:
    before = slack()
    thread = HandlerThread(nursery)

    found = await thread.call(slack)

    assert found == 1
    assert slack() == before > 1
    nursery.cancel_scope.cancel()


def test_it_is_this_threads_alone() -> None:
    found = list[int]()

    def other() -> None:
        wake_on_time()
        found.append(slack())

    before = slack()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()

    assert found == [1]
    assert slack() == before


WITHOUT_CTYPES = """
import sys
sys.modules["ctypes"] = None
from runtime.timer_slack import wake_on_time
print(wake_on_time())
"""


def test_an_interpreter_without_ctypes_goes_on() -> None:
    command = [sys.executable, "-c", WITHOUT_CTYPES]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "None\n"
