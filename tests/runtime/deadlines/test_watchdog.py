"""The watchdog's rules, without a real process; `test_deadlines` has real ones."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import attrs
import pytest
import trio

from okibi.actors import KILLED, ActorExited
from okibi.runtime.deadlines import watchdog as module
from okibi.runtime.deadlines.held_loop import HeldLoop
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.deadlines.watchdog import (
    KILL_AFTER,
    KILL_AFTER_OF_MANY,
    REPORT_LIMIT,
    TURN,
    SharedWatchdog,
    SignalSafeEvent,
    Watchdog,
)
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.logs.lambda_log import write_raw
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.system.unlisted_thread import start_unlisted_thread
from tests.limits import HANG
from tests.support.doubles import (
    add_follow_up,
    brought_to,
    delivery,
    ends_of_threads,
    ledger_of,
    worker,
)  # fmt: skip

NOWHERE = ("127.0.0.1", 1)


@attrs.define(eq=False)
class RecordingDeadline:
    """Records what a ProcessDeadline is told; ends nothing."""

    ends_at: list[float] = attrs.field(factory=list[float])
    ticking: bool = False
    not_before: float = -math.inf

    def create(self, thread: int) -> None: ...

    def postpone(self, until: float) -> None:
        self.not_before = until

    def set(self, at: float) -> None:
        if math.isfinite(at):
            self.ends_at.append(at)
            self.ticking = True

    def clear(self) -> None:
        self.ticking = False

    @property
    def set_for(self) -> list[float]:
        """The seconds from now of each time that was set; for frozen clocks."""
        return [at - module.monotonic() for at in self.ends_at]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> RecordingDeadline:
    made = RecordingDeadline()
    monkeypatch.setattr(module, "ProcessDeadline", lambda: made)
    return made


@pytest.fixture
async def frozen_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeze both clocks."""
    at, now = time.monotonic(), trio.current_time()
    monkeypatch.setattr(module, "monotonic", lambda: at)
    monkeypatch.setattr(trio, "current_time", lambda: now)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    yield codes
    sys.setswitchinterval(0.005)


def watching(*made: Delivery) -> Watchdog:
    """A watchdog without its thread, with these deliveries in flight, one a lane."""
    watchdog = (Watchdog if len(made) == 1 else SharedWatchdog)(NOWHERE)
    ledger = ledger_of(len(made))
    for lane, each in zip(ledger.lanes, made, strict=True):
        lane.delivery = each
    watchdog.attach(ledger, DeadlineInterrupt())
    watchdog._wake_up.set()
    return watchdog


def due_in(seconds: float) -> Delivery:
    return delivery(due=trio.current_time() + seconds)


def look(watchdog: Watchdog) -> None:
    """Take the note of one look of the thread."""
    now = module.monotonic() - watchdog._offset  # type: ignore[attr-defined]
    watchdog._note_look(now, watchdog._earliest())


async def test_an_event_sets_the_kill_an_eighth_of_the_margin_before_due(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    made = due_in(1.0)
    watching(made).arm(made)

    assert timer.set_for == [pytest.approx(1.0 - 0.1 / 8, abs=0.001)]


@pytest.mark.parametrize(
    ("lanes", "behind"),
    [(8, KILL_AFTER_OF_MANY), (30, KILL_AFTER_OF_MANY), (64, 64 * TURN)],
)
async def test_the_timer_of_many_lanes_fires_after_the_deadline(
    lanes: int, behind: float, timer: RecordingDeadline, frozen_clocks: None
) -> None:
    first = due_in(1.0)
    watching(first, *[due_in(2)] * (lanes - 1)).arm(first)

    assert timer.set_for == [pytest.approx(1.0 + behind, abs=0.001)]


async def test_the_timer_is_cleared_before_the_last_response_is_sent(
    timer: RecordingDeadline,
) -> None:
    made = due_in(1.0)
    watchdog = watching(made)
    watchdog.arm(made)
    ledger = ledger_of()
    ledger.watch = watchdog
    ticks = list[bool]()

    class Writer:
        def process(self) -> object:
            ticks.append(timer.ticking)
            raise ActorExited("/responder", KILLED)

    ledger.lanes[0].register_responder(cast("Any", Writer()))
    with suppress(AttributeError):
        made.settle(Outcome(b"1"))
        ledger.respond(ledger.lanes[0], at_once=True)

    assert ticks[0] is False


async def test_the_loop_sets_the_timer_of_many_lanes_once(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    first, second = due_in(1.0), due_in(1.0)
    watchdog = watching(first, second)
    watchdog.arm(first)
    watchdog.arm(second)

    assert len(timer.ends_at) == 1


async def test_a_look_sets_the_timer_of_many_lanes_for_the_earliest_deadline(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    long, short = due_in(5.0), due_in(1.0)
    watchdog = watching(long, short)
    watchdog.arm(long)
    look(watchdog)

    assert timer.set_for[1:] == [pytest.approx(1.0 + KILL_AFTER_OF_MANY, abs=0.001)]


async def test_the_timer_of_many_lanes_is_set_between_events(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    made = due_in(1.0)
    watchdog = watching(made, delivery())
    watchdog.arm(made)
    made.settle(Outcome(b"1"))
    watchdog.settled()
    look(watchdog)

    # As for an event that would arrive now.
    assert timer.set_for[1:] == [pytest.approx(1.0 + KILL_AFTER_OF_MANY, abs=0.001)]
    assert timer.ticking


@pytest.mark.parametrize("ends", [Watchdog.close, lambda watchdog: watchdog.run_instead(print)])
async def test_the_timer_of_many_lanes_is_cleared_at_the_end(
    ends: Callable[[Watchdog], None], timer: RecordingDeadline
) -> None:
    made = due_in(1.0)
    watchdog = watching(made, delivery())
    watchdog.arm(made)
    ends(watchdog)
    assert not timer.ticking
    # A look that had begun.
    look(watchdog)

    assert not timer.ticking


async def test_no_timer_is_set_for_an_event_without_a_deadline(timer: RecordingDeadline) -> None:
    made = delivery()
    watchdog = watching(made)
    watchdog.arm(made)
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert timer.set_for == []


async def test_no_timer_is_set_for_many_events_without_a_deadline(timer: RecordingDeadline) -> None:
    watchdog = watching(delivery(), delivery())
    watchdog.arm(delivery())
    look(watchdog)

    assert timer.ends_at == []


@pytest.mark.parametrize(("lanes", "seconds"), [(1, KILL_AFTER), (8, KILL_AFTER_OF_MANY)])
async def test_a_turn_past_a_limit_postpones_the_timer(
    lanes: int, seconds: float, timer: RecordingDeadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = due_in(0.1)
    watchdog = watching(late, *[due_in(10)] * (lanes - 1))
    monkeypatch.setattr(DeadlineInterrupt, "send_signal", lambda _: late.settle(Outcome(b"1")))
    before = time.monotonic()
    watchdog._end_delivery(late)

    assert before + seconds <= timer.not_before <= time.monotonic() + seconds


@pytest.mark.parametrize(("held", "ends"), [(False, 0), (True, 1)])
async def test_a_loop_of_many_lanes_counts_as_held_only_if_it_is_stuck(
    held: bool, ends: int, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = watching(late := due_in(0.02), due_in(10))
    monkeypatch.setattr(HeldLoop, "is_held", lambda _: held)
    monkeypatch.setattr(module, "STARVED", math.inf)
    turns = iter(range(20))

    def take_a_turn(_: DeadlineInterrupt) -> None:
        watchdog._closed = bool(exits) or next(turns, None) is None

    monkeypatch.setattr(DeadlineInterrupt, "send_signal", take_a_turn)
    watchdog._end_delivery(late)

    assert len(exits) == ends


async def test_a_loop_of_many_lanes_that_never_answers_ends_the_process(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STARVED", 0.05)
    watchdog = watching(late := due_in(0.02), due_in(10))
    monkeypatch.setattr(HeldLoop, "is_held", lambda _: False)
    until = time.monotonic() + HANG

    def take_a_turn(_: DeadlineInterrupt) -> None:
        watchdog._closed = bool(exits) or time.monotonic() > until

    monkeypatch.setattr(DeadlineInterrupt, "send_signal", take_a_turn)
    watchdog._end_delivery(late)

    assert exits == [1]


async def test_the_report_of_an_ending_process_has_a_time_limit(
    timer: RecordingDeadline, frozen_clocks: None, exits: list[int]
) -> None:
    made = due_in(0.025)
    watchdog = watching(made)
    watchdog.arm(made)
    watchdog._end_process(made)

    assert timer.set_for[-1] == pytest.approx(REPORT_LIMIT)
    assert timer.ticking
    assert exits == [1]


async def test_an_event_that_arrives_during_a_look_causes_another_look(
    timer: RecordingDeadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = delivery(due=trio.current_time() + 0.3)
    watchdog = watching(made)
    # The thread has just woken on schedule.
    watchdog._next_look = trio.current_time() - 1
    looks: list[Delivery | None] = []

    def look(_: Watchdog) -> Delivery | None:
        looks.append(None if len(looks) == 0 else made)
        if len(looks) == 1:
            # The delivery is in its lane only after the lanes were read.
            watchdog.arm(made)
        watchdog._closed = len(looks) == 2
        return looks[-1]

    monkeypatch.setattr(Watchdog, "_earliest", look)
    monkeypatch.setattr(module, "INTERVAL", 1000)
    with trio.fail_after(HANG):
        await trio.to_thread.run_sync(watchdog._watch, abandon_on_cancel=True)

    assert looks == [None, made]


@pytest.mark.parametrize("lanes", [1, 2])
async def test_only_an_event_due_before_the_next_look_wakes_the_thread(lanes: int) -> None:
    watchdog = watching(*[delivery()] * lanes)
    watchdog._wake_up.clear()
    watchdog._next_look = trio.current_time() + 10

    watchdog.arm(due_in(20))
    assert not watchdog._wake_up.is_set()
    watchdog.arm(due_in(5))
    assert watchdog._wake_up.is_set()


async def test_an_event_without_a_deadline_is_not_watched() -> None:
    assert watching(delivery())._earliest() is None


async def test_a_settled_event_is_not_watched() -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    assert watchdog._earliest() is made

    made.settle(Outcome(b"1"))

    assert watchdog._earliest() is None


async def test_a_loop_that_does_not_answer_ends_the_process(
    timer: RecordingDeadline,
    exits: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    watchdog = watching(made := delivery(due=trio.current_time() + 0.02))
    closing = setattr, (watchdog, "_closed", True)
    (gives_up := threading.Timer(5, *closing)).start()

    def end(code: int) -> None:
        exits.append(code)
        gives_up.cancel()
        threading.Timer(0.03, *closing).start()

    monkeypatch.setattr(os, "_exit", end)
    watchdog._end_delivery(made)

    assert exits == [1]
    assert not made.claim()
    assert "the loop does not answer at the deadline" in capfd.readouterr().err


@pytest.mark.parametrize("lanes", [1, 2])
async def test_follow_ups_are_watched_until_they_end(timer: RecordingDeadline, lanes: int) -> None:
    made = [due_in(5.0) for _ in range(lanes)]
    watchdog = watching(*made)
    for each in made:
        add_follow_up(each)
        assert each.settle(Outcome(b"1"))
        assert watchdog._earliest() is each
        each.finish()

    assert watchdog._earliest() is None


async def test_follow_ups_set_the_timer_again_and_their_end_clears_it(
    timer: RecordingDeadline,
) -> None:
    made, owner = due_in(5.0), worker()
    watchdog = watching(made)
    ledger = watchdog._ledger
    assert ledger is not None
    ledger.watch = watchdog
    assert made.assign(owner)
    assert made.begin(owner)
    add_follow_up(made)
    assert made.settle(Outcome(b"1"), owner)
    assert made.stage()
    assert made.ack()
    ticks = [timer.ticking]

    assert ledger.begin_follow_ups(made, owner)
    ticks.append(timer.ticking)
    ledger.finish(ledger.lanes[0], made, "")
    ticks.append(timer.ticking)

    assert ticks == [False, True, False]


@pytest.mark.parametrize(
    ("state", "reports"),
    [
        (DeliveryState.RUNNING, 1),
        (DeliveryState.STREAMING, 0),
        (DeliveryState.ACKED, 0),
        (DeliveryState.FOLLOWING_UP, 0),
    ],
)
async def test_a_response_that_is_out_gets_no_error_response(
    timer: RecordingDeadline,
    exits: list[int],
    monkeypatch: pytest.MonkeyPatch,
    state: DeliveryState,
    reports: int,
) -> None:
    told = list[object]()
    monkeypatch.setattr(module, "report_outcome", lambda *all: told.append(all))
    made = brought_to(state)

    watching(made)._end_process(made)

    assert (len(told), exits) == (reports, [1])


async def test_an_adapters_late_answer_takes_the_place_of_the_error(
    timer: RecordingDeadline, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Outcome]()
    monkeypatch.setattr(module, "report_outcome", lambda _, __, outcome: told.append(outcome))
    made = brought_to(DeliveryState.RUNNING)
    made.prepare_late_answer(lambda: Outcome(b"partial"))

    watching(made)._end_process(made)

    assert (told, exits) == ([Outcome(b"partial")], [1])


async def test_the_interrupt_targets_the_handler_that_was_found_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = delivery(due=trio.current_time() + 0.1)
    watchdog = watching(made)
    assert watchdog._interrupt is not None
    watchdog._interrupt.run_count = 7
    monkeypatch.setattr(DeadlineInterrupt, "send_signal", lambda _: made.settle(Outcome(b"1")))

    watchdog._end_delivery(made)

    assert watchdog._interrupt.target_run == 7


async def test_the_dispatcher_is_asked_until_the_delivery_is_settled(exits: list[int]) -> None:
    made = delivery(due=trio.current_time() + 0.2)
    made.limit = made.due - 0.4
    watchdog = watching(made)
    asked = list[object]()

    def settle(token: object) -> None:
        asked.append(token)
        if len(asked) == 3:
            made.settle(Outcome(b"1"))

    watchdog._ask_dispatcher = settle  # type: ignore[method-assign]
    watchdog._end_delivery(made)

    assert (len(asked), exits) == (3, [])


async def test_a_delivery_settled_in_time_ends_nothing(exits: list[int]) -> None:
    made = delivery(due=trio.current_time() + 10)
    watchdog = watching(made)
    threading.Timer(0.02, made.settle, (Outcome(b"1"),)).start()

    watchdog._end_delivery(made)

    assert exits == []


def test_a_raw_log_entry_does_not_list_its_thread() -> None:
    listed, said = threading.enumerate(), threading.Event()

    def say() -> None:
        write_raw("all stacks follow", "id")
        said.set()

    start_unlisted_thread(say)

    assert said.wait(10)
    assert threading.enumerate() == listed


def test_an_error_in_a_look_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    watchdog = Watchdog(NOWHERE)
    looks: list[None] = []

    def look(_: Watchdog) -> None:
        looks.append(None)
        if len(looks) == 3:
            watchdog._closed = True
            return
        raise MemoryError

    monkeypatch.setattr(Watchdog, "_watch", look)
    watchdog._watch_until_closed()

    assert len(looks) == 3
    assert capfd.readouterr().err.count("the watchdog continues after MemoryError()") == 2


def test_close_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ends_of_threads(monkeypatch, module)
    watchdog = Watchdog(NOWHERE)
    watchdog.start()
    (ended,) = ends

    watchdog.close()

    assert ended.wait(HANG)


def test_an_event_set_twice_wakes_once() -> None:
    bell = SignalSafeEvent()
    bell.set()
    bell.set()
    assert bell.is_set()
    bell.wait(0)
    assert not bell.is_set()
    bell.set()
    bell.clear()
    assert not bell.is_set()


async def test_run_instead_runs_after_the_watch() -> None:
    watchdog, done = Watchdog(NOWHERE), threading.Event()
    watchdog.start()
    watchdog.attach(ledger_of(), DeadlineInterrupt())
    watchdog.run_instead(done.set)

    assert await trio.to_thread.run_sync(done.wait, 5)
