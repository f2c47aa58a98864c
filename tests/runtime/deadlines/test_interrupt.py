"""The alarm interrupts a plain `def` on the main thread, and hits nothing else."""

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

from okibi.runtime.deadlines.interrupt import IMPORT_CUT, LOOP_LEFT, SIGNAL, UNTAKEN, Alarm
from okibi.runtime.errors.exceptions import DeadlineExceeded, ProcessStopped
from tests.support.sandbox import ROOT


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    with (alarm := Alarm()):
        yield alarm


@pytest.fixture
def spoiled(alarm: Alarm) -> list[str]:
    """Why the process is to serve no other event."""
    alarm.spoiled = (told := list[str]()).append
    return told


@contextmanager
def ringing(
    alarm: Alarm, after: float = 0.02, every: float = 0.002, *, interrupting: bool = False
) -> Iterator[None]:
    """Ring it again and again, as the watchdog does; interrupting, as the end of the process."""
    over = threading.Event()
    send = alarm.interrupt if interrupting else alarm.send

    def ring() -> None:
        over.wait(after)
        while not over.wait(every):
            send()

    thread = threading.Thread(target=ring)
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
def test_a_handler_is_interrupted_wherever_it_is(alarm: Alarm, handler: Callable[..., Any]) -> None:
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(handler, 1, 2)


def test_a_callable_in_c_is_interrupted(alarm: Alarm) -> None:
    lock = threading.Lock()
    lock.acquire()

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lock.acquire, True, 60)


def test_the_handler_s_result_is_returned(alarm: Alarm) -> None:
    assert alarm.run(lambda event, context: (event, context), 1, 2) == (1, 2)


def test_without_a_handler_the_signal_does_nothing(alarm: Alarm) -> None:
    alarm.send()
    signal.raise_signal(SIGNAL)


def test_a_signal_that_comes_when_the_handler_has_left_hits_nobody(alarm: Alarm) -> None:
    """Rung as fast as can be around handlers that return at once."""
    answered = ended = 0
    with ringing(alarm, 0, 0.0002):
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            try:
                alarm.run(nothing, 1, 2)
                answered += 1
            except DeadlineExceeded:
                ended += 1
            assert not alarm.armed
            assert alarm._raised is None
    assert answered > 100


def test_at_most_some_signals_wait_to_be_taken(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C code as psycopg's waits on, as long again, at each signal."""
    sent = list[int]()
    monkeypatch.setattr(signal, "pthread_kill", lambda _, number: sent.append(number))

    def in_c(event: object, context: object) -> None:
        for _ in range(UNTAKEN + 5):
            alarm.send()
        assert sent == [SIGNAL] * UNTAKEN
        with suppress(DeadlineExceeded):
            alarm._take(SIGNAL, sys._getframe())
        alarm.send()
        assert sent == [SIGNAL] * (UNTAKEN + 1)

    with pytest.raises(DeadlineExceeded):
        alarm.run(in_c, 1, 2)


# -- a handler that catches it


def test_what_a_handler_returns_after_it_does_not_count(alarm: Alarm) -> None:
    """The first one counts: there the handler stood at its deadline."""
    caught = list[BaseException]()

    def catches(event: object, context: object) -> str:
        for _ in range(3):
            try:
                time.sleep(60)
            except DeadlineExceeded as error:
                caught.append(error)
        return "half"

    with ringing(alarm), pytest.raises(DeadlineExceeded) as raised:
        alarm.run(catches, 1, 2)

    assert len(caught) == 3
    assert raised.value is caught[0]
    assert alarm.run(nothing, 1, 2) is None


class Slow:
    def __del__(self) -> None:
        time.sleep(60)


def a_del() -> None:
    Slow()


def a_finally() -> None:
    try:
        time.sleep(60)
    finally:
        return  # noqa: B012


def suppressed() -> None:
    with suppress(BaseException):
        time.sleep(60)


def deep(depth: int = 400) -> None:
    if depth:
        deep(depth - 1)
    else:
        suppressed()


@pytest.mark.parametrize("swallows", [a_del, a_finally, suppressed, deep])
def test_however_it_is_swallowed_it_is_raised_in_the_end(
    alarm: Alarm, swallows: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest's is Python code, which the next signal would hit.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: swallows(), 1, 2)


def test_what_it_raises_in_its_place_is_its_own_error(alarm: Alarm) -> None:
    def translates(event: object, context: object) -> None:
        try:
            time.sleep(60)
        except BaseException as error:
            raise LookupError from error

    with ringing(alarm), pytest.raises(LookupError):
        alarm.run(translates, 1, 2)


def cleans_up(event: object, log: list[str]) -> None:
    """As a transaction does that is rolled back."""
    try:
        time.sleep(60)
    finally:
        try:
            log.append("rolls back")
            raise KeyError
        except KeyError:
            time.sleep(0.05)
        log.append("is rolled back")


def test_a_finally_that_it_has_set_off_is_let_be(alarm: Alarm) -> None:
    log = list[str]()

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(cleans_up, 1, log)

    assert log == ["rolls back", "is rolled back"]


async def test_a_finally_that_a_scope_has_set_off_is_let_be(alarm: Alarm) -> None:
    """As that of a generator whose reader was slow when its scope ended it."""
    log = list[str]()

    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        finally:
            with ringing(alarm, 0.0):
                alarm.run(lambda *_: time.sleep(0.05), 1, 2)
            log.append("is closed")

    assert log == ["is closed"]


def test_at_the_end_of_the_process_a_finally_is_interrupted_too(alarm: Alarm) -> None:
    log = list[str]()

    with ringing(alarm, interrupting=True), pytest.raises(DeadlineExceeded):
        alarm.run(cleans_up, 1, log)

    assert log == ["rolls back"]


# -- which handler is meant


def test_a_signal_for_an_earlier_handler_hits_no_later_one(alarm: Alarm) -> None:
    alarm.run(nothing, 1, 2)
    alarm.meant = alarm.runs

    with ringing(alarm, 0.0, 0.001):
        alarm.run(lambda *_: time.sleep(0.05), 1, 2)

    alarm.meant = alarm.runs + 1
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(busy, 1, 2)


def test_at_the_end_of_the_process_any_handler_is_meant(alarm: Alarm) -> None:
    alarm.meant, alarm.raises = 0, ProcessStopped

    with ringing(alarm), pytest.raises(ProcessStopped):
        alarm.run(busy, 1, 2)


# -- what spoils the process


def test_a_handler_that_is_cut_leaves_the_process_good(alarm: Alarm, spoiled: list[str]) -> None:
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(sleeps, 1, 2)
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: asyncio.run(asyncio.sleep(60)), 1, 2)

    assert spoiled == []


def test_an_asyncio_loop_that_stays_open_spoils_it(alarm: Alarm, spoiled: list[str]) -> None:
    """As Mangum's: the tasks of one event would go on in the next."""
    with closing(asyncio.new_event_loop()) as loop:
        for _ in range(2):
            with ringing(alarm), pytest.raises(DeadlineExceeded):
                alarm.run(lambda *_: loop.run_until_complete(asyncio.sleep(60)), 1, 2)
        assert alarm.run(nothing, 1, 2) is None

        assert spoiled == [LOOP_LEFT] * 2


def test_an_import_that_is_cut_spoils_it(
    alarm: Alarm, spoiled: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path))

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: __import__("slow_to_import"), 1, 2)

    assert spoiled == [IMPORT_CUT]


def test_a_task_that_computes_is_interrupted_in_asyncio_s_loop(alarm: Alarm) -> None:
    """Of a task that ends so the others go on, until they are hit, too."""

    async def computes() -> None:
        while True:
            await asyncio.sleep(0)
            time.sleep(0.001)  # noqa: ASYNC251

    async def batch() -> None:
        await asyncio.gather(*[computes() for _ in range(5)], return_exceptions=True)

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: asyncio.run(batch()), 1, 2)


# -- the kernel's timer, and the end


def test_a_signal_that_is_on_its_way_when_it_is_left_does_no_harm() -> None:
    with Alarm():
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


def test_left_it_gives_the_signal_back_and_sends_none(alarm: Alarm) -> None:
    def leaves(event: object, context: object) -> None:
        alarm.__exit__()
        alarm.send()
        alarm.ring_in(0.01)
        time.sleep(0.05)

    alarm.run(leaves, 1, 2)

    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_the_kernel_signals_a_handler_at_its_limit_without_a_thread(alarm: Alarm) -> None:
    def rings(event: object, context: object) -> None:
        alarm.ring_in(0.05)
        busy(event, context)

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        alarm.run(rings, 1, 2)
    assert time.monotonic() - began >= 0.05


def test_what_has_its_answer_is_not_rung_for(alarm: Alarm) -> None:
    def rings(event: object, context: object) -> None:
        alarm.ring_in(0.05)
        alarm.ring_not()
        time.sleep(0.1)

    assert alarm.run(rings, 1, 2) is None


def test_where_no_handler_runs_it_is_not_rung_for(alarm: Alarm) -> None:
    alarm.ring_in(0.01)

    assert alarm.run(lambda *_: time.sleep(0.05), 1, 2) is None


def test_it_does_without_sniffio() -> None:
    run = """
import sys, trio
sys.modules["sniffio"] = None
from okibi.runtime.deadlines.interrupt import Alarm

with (alarm := Alarm()):
    print(alarm.run(lambda event, context: event, "event", None))
"""
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("event\n", "")
