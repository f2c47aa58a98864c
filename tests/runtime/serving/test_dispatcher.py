"""The dispatcher as an actor: what it does when it is woken."""

from functools import partial
from itertools import product

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import start
from okibi.runtime.errors.error_response import LATE
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.handover import wake
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import DISPATCHER, NO_WORKER_READY, Ledger
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.dispatcher import SETTLE_LATE, Action, Dispatcher, plan
from tests.runtime.serving.test_dispatcher_plan import received
from tests.support.doubles import Inbox, Watched, brought_to, delivery, ledger_of, worker


@attrs.define(eq=False)
class World:
    """A dispatcher, its ledger, and workers that only collect their mail."""

    nursery: trio.Nursery
    ledger: Ledger
    failures: list[str]

    def place(self, placed: Delivery, lane: int = 0) -> tuple[Lane, Delivery]:
        self.ledger.lanes[lane].delivery = placed
        return self.ledger.lanes[lane], placed

    async def inbox(self) -> Inbox:
        inbox = Inbox()
        self.ledger.add_worker(await start(self.nursery, lambda: inbox))
        return inbox

    async def dispatcher(self) -> None:
        await start(self.nursery, partial(Dispatcher, self.ledger), name=DISPATCHER)
        await wait_all_tasks_blocked()

    async def wake(self) -> None:
        wake(DISPATCHER)
        await wait_all_tasks_blocked()

    @property
    def watched(self) -> list[str]:
        assert isinstance(self.ledger.watch, Watched)
        return self.ledger.watch.told


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    failures: list[str] = []
    return World(nursery, ledger_of(2, failures), failures)


async def test_a_new_event_is_assigned(world: World) -> None:
    inbox = await world.inbox()
    await world.dispatcher()

    lane, placed = world.place(delivery(due=1e9))
    world.ledger.dispatch(lane, placed)
    await wait_all_tasks_blocked()

    assert inbox.mail == [(lane, placed)]
    assert world.watched == ["arm 1e+09"]


async def test_a_new_worker_is_monitored_while_another_is_not_ready(world: World) -> None:
    first = await world.inbox()
    await world.dispatcher()
    world.ledger.remove_worker(first.ref)
    second = await world.inbox()
    await world.wake()

    _, placed = world.place(delivery())
    await world.wake()
    assert placed.begin(second.ref)
    second.ref.kill()
    await trio.testing.wait_all_tasks_blocked()

    assert placed.outcome is not None
    assert placed.outcome.error_type == "Runtime.WorkerExited"


async def test_late_events_do_not_end_the_process(world: World) -> None:
    await world.inbox()
    await world.dispatcher()
    for _ in range(5):
        _, placed = world.place(delivery(due=trio.current_time() - 1.0))
        await world.wake()
        assert placed.outcome is not None
        assert b": the event arrived too late for its handler to begin" in placed.outcome.body

    assert not world.failures


async def test_an_event_that_got_no_worker_says_what_the_workers_did(
    world: World,
) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    inbox.doing = "in the init of a new instance"
    world.ledger.remove_worker(inbox.ref)
    _, placed = world.place(delivery(due=trio.current_time() - 1.0))
    await world.wake()

    assert placed.outcome is not None
    said = f": no worker became free: {inbox.path} was in the init of a new instance, in "
    assert said.encode() in placed.outcome.body


async def test_a_late_event_is_settled_and_its_worker_abandoned(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    _, placed = world.place(delivery(due=trio.current_time() + 1.0))
    await world.wake()
    assert placed.begin(inbox.ref)

    await trio.sleep(0.94)
    await world.wake()
    assert placed.unsettled
    await trio.sleep(0.02)
    await world.wake()

    assert placed.outcome is not None
    assert placed.outcome.error_type == "Runtime.DeadlineExceeded"
    assert LATE.encode() in placed.outcome.body
    assert b", in run" in placed.outcome.body
    assert not inbox.ref.alive
    assert inbox.ref not in world.ledger.ready


async def test_an_event_that_waits_until_its_deadline_ends_the_process(world: World) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    world.ledger.remove_worker(inbox.ref)
    waiting = [world.place(delivery(due=trio.current_time() - 1.0), lane)[1] for lane in range(2)]
    await world.wake()

    assert [made.outcome is not None for made in waiting] == [True, True]
    assert set(world.failures) == {NO_WORKER_READY}


async def test_an_event_that_waits_beside_a_serving_worker_ends_nothing(world: World) -> None:
    await world.inbox()
    await world.dispatcher()
    world.place(delivery(), lane=1)
    await world.wake()
    _, placed = world.place(delivery(due=trio.current_time() - 1.0))
    await world.wake()

    assert placed.outcome is not None
    assert not world.failures


async def test_a_delivery_claimed_by_the_watchdog_is_left_alone(world: World) -> None:
    dead = worker(alive=False)
    _, placed = world.place(brought_to(DeliveryState.RUNNING, dead))
    assert placed.claim()

    await world.dispatcher()

    assert placed.state is DeliveryState.RUNNING
    assert world.watched == []


# -- new events and wake-ups


@pytest.mark.parametrize(("idle", "late"), [*product(range(3), (False, True))])
async def test_a_new_event_is_assigned_as_the_plan_says(
    world: World, idle: int, late: bool
) -> None:
    workers = [(await world.inbox()).ref for _ in range(idle)]
    await world.dispatcher()
    lane, placed = world.place(delivery(due=trio.current_time() + (-1 if late else 10)))
    actions = plan([received(late=late)], workers)
    world.ledger.dispatch(lane, placed)

    settled = Action(SETTLE_LATE, 0) in actions
    assert placed.state is (
        DeliveryState.SETTLED
        if settled
        else DeliveryState.ASSIGNED
        if actions
        else DeliveryState.RECEIVED
    )
    assert placed.worker == next((each.worker for each in actions if each.worker is not None), None)


async def test_a_new_event_does_not_overtake_a_waiting_one(world: World) -> None:
    await world.dispatcher()
    (_, first), (lane, second) = (world.place(delivery(), n) for n in range(2))
    await world.wake()
    inbox = await world.inbox()
    world.ledger.dispatch(lane, second)
    await wait_all_tasks_blocked()

    assert first.worker == inbox.ref
    assert second.state is DeliveryState.RECEIVED


async def test_the_worker_that_became_idle_last_gets_the_next_event(world: World) -> None:
    first, second = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    for last in (second, first, first, second):
        lanes = [world.place(delivery(due=1e9), n) for n in range(2)]
        for lane, placed in lanes:
            world.ledger.dispatch(lane, placed)
        for _, placed in sorted(lanes, key=lambda place: place[1].worker == last.ref):
            assert placed.worker is not None
            assert placed.begin(placed.worker)
            assert placed.settle(Outcome(b"1"))
            world.ledger.add_idle_worker(placed.worker)
        lane, placed = world.place(delivery(due=1e9))
        world.ledger.dispatch(lane, placed)

        assert placed.worker == last.ref
        assert placed.settle(Outcome(b"1"))
        world.ledger.add_idle_worker(last.ref)
    assert len(world.ledger.idle) == 2


@pytest.mark.parametrize("how", ["killed", "without an instance", "at an event", "at follow-ups"])
async def test_an_idle_hint_is_checked(world: World, how: str) -> None:
    first, second = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    if how == "killed":
        second.ref.kill()
    elif how == "without an instance":
        world.ledger.remove_worker(second.ref)
    else:
        state = DeliveryState.RUNNING if how == "at an event" else DeliveryState.ACKED
        world.ledger.ready[second.ref] = brought_to(state, second.ref)
    world.ledger.add_idle_worker(second.ref)
    lane, placed = world.place(delivery(due=1e9))
    world.ledger.dispatch(lane, placed)

    assert placed.worker == first.ref


async def test_an_idle_worker_wakes_the_dispatcher_only_if_an_event_waits(
    world: World,
) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    world.ledger.add_idle_worker(inbox.ref)
    assert not world.ledger.dispatcher_woken

    (_, first), (_, second) = places = [world.place(delivery(due=1e9), n) for n in range(2)]
    for place in places:
        world.ledger.dispatch(*place)
    assert (first.state, second.state) == (DeliveryState.ASSIGNED, DeliveryState.RECEIVED)
    assert first.settle(Outcome(b"1"))
    world.ledger.add_idle_worker(inbox.ref)
    await wait_all_tasks_blocked()
    assert second.state is DeliveryState.ASSIGNED

    assert second.settle(Outcome(b"1"))
    world.ledger.add_idle_worker(inbox.ref)
    assert not world.ledger.dispatcher_woken


async def test_many_wake_ups_are_one_message(world: World) -> None:
    inboxes = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    mailbox = DISPATCHER.process().mailbox
    places = [world.place(delivery(), n) for n in range(2)]

    for _ in range(50):
        world.ledger.wake_dispatcher()
    assert mailbox.statistics().length <= 1
    await wait_all_tasks_blocked()

    assert mailbox.statistics().peak <= 1
    assert [inbox.mail for inbox in inboxes] == [[place] for place in places]


async def test_a_wake_up_without_a_dispatcher_is_no_loss(world: World) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    DISPATCHER.process().kill()
    await wait_all_tasks_blocked()
    place = world.place(delivery())
    world.ledger.dispatch(*place)
    world.ledger.wake_dispatcher()
    assert world.ledger.dispatcher_woken

    await world.dispatcher()
    assert inbox.mail == [place]
    _, second = world.place(brought_to(DeliveryState.RUNNING, worker(alive=False)), 1)
    world.ledger.wake_dispatcher()
    await wait_all_tasks_blocked()

    assert second.state is DeliveryState.SETTLED


async def test_an_event_that_arrives_during_a_wake_up_is_assigned_once(world: World) -> None:
    inboxes = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    # The woken dispatcher has not run yet: its plan assigns the events before their messages.
    world.ledger.wake_dispatcher()
    places = [world.place(delivery(), n) for n in range(2)]
    for place in places:
        world.ledger.dispatch(*place)
    await wait_all_tasks_blocked()

    assert [inbox.mail for inbox in inboxes] == [[place] for place in places]


async def test_a_dead_worker_s_down_does_not_replace_a_wake_up(world: World) -> None:
    first, second = await world.inbox(), await world.inbox()
    await world.dispatcher()
    await world.wake()
    first.ref.kill()
    for n in range(2):
        world.ledger.dispatch(*world.place(delivery(), n))
    await wait_all_tasks_blocked()

    assert len(second.mail) == 1
    assert DISPATCHER.process().mailbox.statistics().peak <= 1
