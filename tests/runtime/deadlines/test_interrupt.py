"""DeadlineInterrupt ends a plain `def` on the main thread, and nothing else."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio

from okibi.runtime.deadlines.interrupt import (
    IMPORT_INTERRUPTED,
    LOOP_LEFT_OPEN,
    SIGNAL,
    UNTAKEN,
    DeadlineInterrupt,
)
from okibi.runtime.deadlines.watchdog import SIGNAL_EVERY
from okibi.runtime.errors.exceptions import DeadlineExceeded, ProcessStopped
from tests.limits import HANG
from tests.support.sandbox import ROOT


@pytest.fixture
def interrupt() -> Iterator[DeadlineInterrupt]:
    with (interrupt := DeadlineInterrupt()):
        yield interrupt


@pytest.fixture
def exit_reasons(interrupt: DeadlineInterrupt) -> list[str]:
    """The reasons given for an exit."""
    interrupt.request_exit = (told := list[str]()).append
    return told


@contextmanager
def signalling(
    interrupt: DeadlineInterrupt,
    after: float = 0.1,
    every: float = SIGNAL_EVERY,
    *,
    interrupting: bool = False,
) -> Iterator[None]:
    """Signal repeatedly, as the watchdog does, or with `interrupting` as the shutdown does."""
    over = threading.Event()
    send = interrupt.interrupt_cleanup if interrupting else interrupt.send_signal

    def signal_repeatedly() -> None:
        over.wait(after)
        while not over.is_set():
            send()
            over.wait(every)

    thread = threading.Thread(target=signal_repeatedly)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def busy(event: object, context: object) -> None:
    while True:
        pass


def stubborn(event: object, context: object) -> None:
    while True:
        try:
            time.sleep(1)
        except Exception:
            continue


def deadlocked(event: object, context: object) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def nothing(event: object, context: object) -> None: ...


def sleeps(event: object, context: object) -> None:
    time.sleep(60)


@pytest.mark.parametrize(
    "handler", [busy, stubborn, deadlocked, sleeps, partial(max, key=lambda _: time.sleep(60))]
)
def test_a_handler_is_interrupted_in_any_call(
    interrupt: DeadlineInterrupt, handler: Callable[..., Any]
) -> None:
    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(handler, 1, 2)


def test_a_callable_written_in_c_is_interrupted(interrupt: DeadlineInterrupt) -> None:
    lock = threading.Lock()
    lock.acquire()

    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(lock.acquire, True, 60)


def test_run_returns_the_handler_s_result(interrupt: DeadlineInterrupt) -> None:
    assert interrupt.run(lambda event, context: (event, context), 1, 2) == (1, 2)


def test_the_signal_has_no_effect_between_handlers(interrupt: DeadlineInterrupt) -> None:
    interrupt.send_signal()
    signal.raise_signal(SIGNAL)


def test_a_signal_after_the_handler_has_no_effect(
    interrupt: DeadlineInterrupt,
) -> None:
    """Many signals around handlers that return at once."""
    answered = ended = 0
    with signalling(interrupt, 0, 0.0002):
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            try:
                interrupt.run(nothing, 1, 2)
                answered += 1
            except DeadlineExceeded:
                ended += 1
            assert not interrupt.armed
            assert interrupt._raised is None
    assert answered > 100


def test_the_number_of_unhandled_signals_is_limited(
    interrupt: DeadlineInterrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg's C code restarts its wait at each signal."""
    sent = list[int]()
    monkeypatch.setattr(signal, "pthread_kill", lambda _, number: sent.append(number))

    def in_c(event: object, context: object) -> None:
        for _ in range(UNTAKEN + 5):
            interrupt.send_signal()
        assert sent == [SIGNAL] * UNTAKEN
        with suppress(DeadlineExceeded):
            interrupt._handle_signal(SIGNAL, sys._getframe())
        interrupt.send_signal()
        assert sent == [SIGNAL] * (UNTAKEN + 1)

    with pytest.raises(DeadlineExceeded):
        interrupt.run(in_c, 1, 2)


# -- a handler that catches it


def test_a_result_after_the_interrupt_is_ignored(interrupt: DeadlineInterrupt) -> None:
    """The first interrupt counts: it names the line at the deadline."""
    caught = list[BaseException]()

    def catches(event: object, context: object) -> str:
        for _ in range(3):
            try:
                time.sleep(60)
            except DeadlineExceeded as error:
                caught.append(error)
        return "half"

    with signalling(interrupt), pytest.raises(DeadlineExceeded) as raised:
        interrupt.run(catches, 1, 2)

    assert len(caught) == 3
    assert raised.value is caught[0]
    assert interrupt.run(nothing, 1, 2) is None


class Slow:
    def __del__(self) -> None:
        time.sleep(60)


def a_del() -> None:
    Slow()


def suppressed() -> None:
    with suppress(BaseException):
        time.sleep(60)


def deep(depth: int = 400) -> None:
    if depth:
        deep(depth - 1)
    else:
        suppressed()


@pytest.mark.parametrize("swallows", [a_del, suppressed, deep])
def test_a_caught_interrupt_is_raised_at_the_end(
    interrupt: DeadlineInterrupt, swallows: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No pytest.raises: its Python code would be interrupted by the next signal.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(lambda *_: swallows(), 1, 2)


def test_an_error_raised_in_place_of_the_interrupt_counts(interrupt: DeadlineInterrupt) -> None:
    def translates(event: object, context: object) -> None:
        try:
            time.sleep(60)
        except BaseException as error:
            raise LookupError from error

    with signalling(interrupt), pytest.raises(LookupError):
        interrupt.run(translates, 1, 2)


def cleans_up(event: object, log: list[str]) -> None:
    """As a transaction that rolls back."""
    try:
        time.sleep(60)
    finally:
        try:
            log.append("rolls back")
            raise KeyError
        except KeyError:
            time.sleep(0.05)
        log.append("is rolled back")


def test_a_finally_after_the_interrupt_is_not_interrupted(interrupt: DeadlineInterrupt) -> None:
    log = list[str]()

    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(cleans_up, 1, log)

    assert log == ["rolls back", "is rolled back"]


async def test_a_finally_after_a_cancelled_is_not_interrupted(interrupt: DeadlineInterrupt) -> None:
    """As in a generator whose scope ends while its reader is slow."""
    log = list[str]()

    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        finally:
            with signalling(interrupt, 0.0):
                interrupt.run(lambda *_: time.sleep(0.05), 1, 2)
            log.append("is closed")

    assert log == ["is closed"]


def test_a_finally_is_interrupted_at_the_end_of_the_process(
    interrupt: DeadlineInterrupt,
) -> None:
    log = list[str]()

    with signalling(interrupt, interrupting=True), pytest.raises(DeadlineExceeded):
        interrupt.run(cleans_up, 1, log)

    assert log == ["rolls back"]


# -- which handler is meant


def test_a_signal_for_an_earlier_run_spares_a_later_one(interrupt: DeadlineInterrupt) -> None:
    interrupt.run(nothing, 1, 2)
    interrupt.target_run = interrupt.run_count

    with signalling(interrupt, 0.0, 0.001):
        interrupt.run(lambda *_: time.sleep(0.05), 1, 2)

    interrupt.target_run = interrupt.run_count + 1
    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(busy, 1, 2)


def test_every_run_is_a_target_at_the_end_of_the_process(interrupt: DeadlineInterrupt) -> None:
    interrupt.target_run, interrupt.error_type = 0, ProcessStopped

    with signalling(interrupt), pytest.raises(ProcessStopped):
        interrupt.run(busy, 1, 2)


# -- what spoils the process


def test_an_interrupted_handler_does_not_end_the_process(
    interrupt: DeadlineInterrupt, exit_reasons: list[str]
) -> None:
    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(sleeps, 1, 2)
    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(lambda *_: asyncio.run(asyncio.sleep(60)), 1, 2)

    assert exit_reasons == []


def test_an_asyncio_loop_left_open_requests_an_exit(
    interrupt: DeadlineInterrupt, exit_reasons: list[str]
) -> None:
    """As with Mangum: the tasks of one event would continue in the next."""
    with closing(asyncio.new_event_loop()) as loop:
        for _ in range(2):
            with signalling(interrupt), pytest.raises(DeadlineExceeded):
                interrupt.run(lambda *_: loop.run_until_complete(asyncio.sleep(60)), 1, 2)
        assert interrupt.run(nothing, 1, 2) is None

        assert exit_reasons == [LOOP_LEFT_OPEN] * 2


def test_an_interrupted_import_requests_an_exit(
    interrupt: DeadlineInterrupt,
    exit_reasons: list[str],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path))

    with signalling(interrupt, every=HANG), pytest.raises(DeadlineExceeded):
        interrupt.run(lambda *_: __import__("slow_to_import"), 1, 2)

    assert exit_reasons == [IMPORT_INTERRUPTED]


def test_a_computing_asyncio_task_is_interrupted(
    interrupt: DeadlineInterrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tasks continue until they are interrupted too."""
    # A signal may interrupt the clean-up of `asyncio.run`, which then leaves a coroutine of its
    # own, and the next signal pytest's report of that.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    async def computes() -> None:
        while True:
            await asyncio.sleep(0)
            time.sleep(0.001)  # noqa: ASYNC251

    async def batch() -> None:
        await asyncio.gather(*[computes() for _ in range(5)], return_exceptions=True)

    with signalling(interrupt), pytest.raises(DeadlineExceeded):
        interrupt.run(lambda *_: asyncio.run(batch()), 1, 2)


# -- the kernel's timer, and the end


def test_a_signal_pending_at_exit_is_discarded() -> None:
    with DeadlineInterrupt():
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


def test_exit_restores_the_default_action_and_sends_no_signal(interrupt: DeadlineInterrupt) -> None:
    def leaves(event: object, context: object) -> None:
        interrupt.__exit__()
        interrupt.send_signal()
        interrupt.signal_in(0.01)
        time.sleep(0.05)

    interrupt.run(leaves, 1, 2)

    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_the_kernel_interrupts_a_handler_without_a_thread(
    interrupt: DeadlineInterrupt,
) -> None:
    def rings(event: object, context: object) -> None:
        interrupt.signal_in(0.05)
        busy(event, context)

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        interrupt.run(rings, 1, 2)
    assert time.monotonic() - began >= 0.05


def test_a_cancelled_signal_is_not_sent(interrupt: DeadlineInterrupt) -> None:
    def rings(event: object, context: object) -> None:
        interrupt.signal_in(0.05)
        interrupt.cancel_signal()
        time.sleep(0.1)

    assert interrupt.run(rings, 1, 2) is None


def test_no_signal_is_sent_if_no_handler_runs(interrupt: DeadlineInterrupt) -> None:
    interrupt.signal_in(0.01)

    assert interrupt.run(lambda *_: time.sleep(0.05), 1, 2) is None


def test_the_interrupt_works_without_sniffio() -> None:
    run = """
import sys, trio
sys.modules["sniffio"] = None
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt

with (interrupt := DeadlineInterrupt()):
    print(interrupt.run(lambda event, context: event, "event", None))
"""
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("event\n", "")
