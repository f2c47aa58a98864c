"""A thread is stuck by what it had of the processor, not by the time that passed."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from okibi.runtime.system.thread_progress import HOLD, ThreadProgress
from tests.limits import HANG

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@contextmanager
def thread_that(does: Callable[[threading.Event], object]) -> Iterator[ThreadProgress]:
    """The progress of a thread that runs a function until the event is set."""
    made, ended = list[ThreadProgress](), threading.Event()
    begun = threading.Event()

    def run() -> None:
        made.append(ThreadProgress())
        begun.set()
        does(ended)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert begun.wait(HANG)
        yield made[0]
    finally:
        ended.set()
        thread.join()


def compute(ended: threading.Event) -> None:
    while not ended.is_set():
        pass


def sleep_under_a_name_with_brackets(ended: threading.Event) -> None:
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("a) R (")
    ended.wait()


def until_stuck(progress: ThreadProgress) -> None:
    until = time.monotonic() + HANG
    while not progress.is_stuck("a step"):
        assert time.monotonic() < until
        time.sleep(HOLD / 5)


@pytest.mark.parametrize("does", [compute, threading.Event.wait, sleep_under_a_name_with_brackets])
def test_a_thread_that_computes_or_sleeps_at_a_step_is_stuck(
    does: Callable[[threading.Event], object],
) -> None:
    with thread_that(does) as progress:
        assert not progress.is_stuck("a step")
        until_stuck(progress)


def test_another_step_and_none_are_progress() -> None:
    with thread_that(threading.Event.wait) as progress:
        until_stuck(progress)
        assert not progress.is_stuck("another step")
        assert not progress.is_stuck(None)
        assert not progress.is_stuck("a step")


class Clocks:
    """Stands for the clocks of a thread that the test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: bytes) -> None:
        self.now, self.had, self.state = 100.0, 10.0, state
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "clock_gettime", lambda _: self.had)
        monkeypatch.setattr(ThreadProgress, "_is_asleep", lambda _: self.state == b"S")


@pytest.mark.parametrize(
    ("state", "had_a_look"), [(b"R", 0.0), (b"S", 0.0001)], ids=["no core", "no interpreter"]
)
def test_a_thread_that_waits_for_its_turn_is_not_stuck(
    state: bytes, had_a_look: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks, progress = Clocks(monkeypatch, state), ThreadProgress()
    for _ in range(100):
        clocks.now += 0.01
        clocks.had += had_a_look
        assert not progress.is_stuck("a step")
    clocks.now += 0.01
    clocks.had += had_a_look
    assert progress.is_stuck("a step", in_doubt=True) is (state == b"S")


def test_a_system_that_tells_nothing_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "pthread_getcpuclockid")
    progress = ThreadProgress()
    progress._native_id = 0  # no file in /proc
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert not progress.is_stuck("a step", in_doubt=True)

    now += 2 * HOLD

    assert not progress.is_stuck("a step")
    assert progress.is_stuck("a step", in_doubt=True)
