"""What the dispatcher does when it is woken, and for whom it looks."""

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
from okibi.runtime.in_flight.ledger import DISPATCHER, HANG_SECONDS, NO_WORKER, Ledger
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.dispatcher import Assign, Dispatcher, SettleLate, plan
from tests.runtime.serving.test_dispatcher_plan import received
from tests.support.doubles import Inbox, Watched, brought_to, delivery, ledger_of, worker


@attrs.define(eq=False)
class World:
    """A dispatcher, its ledger, and workers that do nothing."""

    nursery: trio.Nursery
    ledger: Ledger
    failures: list[str]

    def place(self, made: Delivery, lane: int = 0) -> tuple[Lane, Delivery]:
        self.ledger.lanes[lane].delivery = made
        return self.ledger.lanes[lane], made

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


async def test_it_begins_by_looking(world: World) -> None:
    inbox = await world.inbox()
    place = world.place(delivery())

    await world.dispatcher()

    assert inbox.mail == [place]
    assert place[1].state is DeliveryState.ASSIGNED


async def test_woken_by_a_delivery_it_gives_it_out(world: World) -> None:
    inbox = await world.inbox()
    await world.dispatcher()

    lane, made = world.place(delivery(due=1e9))
    world.ledger.dispatch(lane, made)
    await wait_all_tasks_blocked()

    assert inbox.mail == [(lane, made)]
    assert world.watched == ["arm 1e+09"]


async def test_woken_by_a_worker_it_gives_out_what_waits(world: World) -> None:
    await world.dispatcher()
    place = world.place(delivery())
    await world.wake()

    inbox = await world.inbox()
    await wait_all_tasks_blocked()

    assert inbox.mail == [place]


async def test_a_worker_has_one_event_at_a_time(world: World) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    first, second = world.place(delivery(), 0), world.place(delivery(), 1)
    await world.wake()
    await world.wake()

    assert inbox.mail == [first]
    assert second[1].state is DeliveryState.RECEIVED


async def test_an_event_of_a_worker_that_dies_before_it_began_goes_to_another(
    world: World,
) -> None:
    first, second = await world.inbox(), await world.inbox()
    await world.dispatcher()
    place = world.place(delivery())
    await world.wake()
    assert first.mail == [place]

    first.ref.kill()
    await wait_all_tasks_blocked()

    assert second.mail == [place]
    assert place[1].begun == 0


async def test_an_event_of_a_worker_that_dies_in_the_middle_is_answered_with_an_error(
    world: World,
) -> None:
    first, second = await world.inbox(), await world.inbox()
    await world.dispatcher()
    _, made = world.place(delivery())
    await world.wake()
    assert made.begin(first.ref)

    first.ref.kill()
    await wait_all_tasks_blocked()

    assert made.state is DeliveryState.SETTLED
    assert made.outcome is not None
    assert made.outcome.error_type == "Runtime.WorkerExited"
    assert second.mail == []
    assert world.watched == ["settled"]


async def test_a_new_worker_is_watched_also_while_another_has_no_instance(world: World) -> None:
    first = await world.inbox()
    await world.dispatcher()
    world.ledger.remove_worker(first.ref)
    second = await world.inbox()
    await world.wake()

    _, made = world.place(delivery())
    await world.wake()
    assert made.begin(second.ref)
    second.ref.kill()
    await trio.testing.wait_all_tasks_blocked()

    assert made.outcome is not None
    assert made.outcome.error_type == "Runtime.WorkerExited"


async def test_an_event_that_comes_too_late_is_no_sign_of_stuck_workers(world: World) -> None:
    await world.inbox()
    await world.dispatcher()
    for _ in range(5):
        _, made = world.place(delivery(due=trio.current_time() - 1.0))
        await world.wake()
        assert made.outcome is not None
        assert b": it came too late for its handler to begin" in made.outcome.body

    assert not world.failures


async def test_an_event_without_a_worker_in_all_its_time_says_what_the_others_are_at(
    world: World,
) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    inbox.doing = "in the init of a new instance"
    world.ledger.remove_worker(inbox.ref)
    _, made = world.place(delivery(due=trio.current_time() - 1.0))
    await world.wake()

    assert made.outcome is not None
    said = f": no worker became free for it: {inbox.path} was in the init of a new instance, in "
    assert said.encode() in made.outcome.body


async def test_a_late_event_is_answered_and_its_worker_abandoned(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    _, made = world.place(delivery(due=trio.current_time() + 1.0))
    await world.wake()
    assert made.begin(inbox.ref)

    await trio.sleep(0.94)
    await world.wake()
    assert made.unsettled
    await trio.sleep(0.02)
    await world.wake()

    assert made.outcome is not None
    assert made.outcome.error_type == "Runtime.DeadlineExceeded"
    assert LATE.encode() in made.outcome.body
    assert b", in run" in made.outcome.body
    assert not inbox.ref.alive
    assert inbox.ref not in world.ledger.ready


class Shielded(Inbox):
    """A worker that does not end when it is killed, for a while."""

    async def run(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(HANG_SECONDS + 5)


async def test_it_looks_again_when_an_abandoned_worker_has_had_its_time_to_end(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    shielded = await start(world.nursery, Shielded)
    world.ledger.worker_count = 1
    world.ledger.add_worker(shielded)
    await world.dispatcher()
    _, made = world.place(delivery(due=trio.current_time() + 1.0))
    await world.wake()
    assert made.begin(shielded)
    await trio.sleep(0.96)
    await world.wake()
    world.place(delivery(due=trio.current_time() + 10.0))

    await trio.sleep(HANG_SECONDS - 0.1)
    await world.wake()
    assert world.failures == []
    await trio.sleep(0.2)

    assert world.failures == [NO_WORKER]


@pytest.mark.parametrize(
    "state", [DeliveryState.SETTLED, DeliveryState.STAGED, DeliveryState.ACKED]
)
async def test_what_is_settled_is_none_of_its_business(world: World, state: DeliveryState) -> None:
    inbox = await world.inbox()
    _, made = world.place(brought_to(state, worker(alive=False)))

    await world.dispatcher()

    assert made.state is state
    assert inbox.mail == []


async def test_what_the_watchdog_has_claimed_is_left_to_it(world: World) -> None:
    dead = worker(alive=False)
    _, made = world.place(brought_to(DeliveryState.RUNNING, dead))
    assert made.claim()

    await world.dispatcher()

    assert made.state is DeliveryState.RUNNING
    assert world.watched == []


async def test_while_the_asyncio_loop_hangs_a_late_event_is_left_to_the_watchdog(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    inbox = await world.inbox()
    await world.dispatcher()
    world.ledger.asyncio_stuck = lambda: True
    _, made = world.place(delivery(due=trio.current_time() + 1.0))
    await world.wake()
    assert made.begin(inbox.ref)

    await trio.sleep(0.96)
    await world.wake()

    assert made.unsettled
    assert inbox.ref.alive


# -- what it holds


@pytest.mark.parametrize(("idle", "late"), [*product(range(3), (False, True))])
async def test_what_has_just_come_is_given_out_as_the_plan_says(
    world: World, idle: int, late: bool
) -> None:
    workers = [(await world.inbox()).ref for _ in range(idle)]
    await world.dispatcher()
    lane, made = world.place(delivery(due=trio.current_time() + (-1 if late else 10)))
    actions = plan([received(late=late)], workers)
    world.ledger.dispatch(lane, made)

    settled = SettleLate(0) in actions
    assert made.state is (
        DeliveryState.SETTLED
        if settled
        else DeliveryState.ASSIGNED
        if actions
        else DeliveryState.RECEIVED
    )
    assert made.worker == next((each.worker for each in actions if isinstance(each, Assign)), None)


async def test_what_waits_is_not_overtaken_by_what_has_just_come(world: World) -> None:
    await world.dispatcher()
    (_, first), (lane, second) = (world.place(delivery(), n) for n in range(2))
    await world.wake()
    inbox = await world.inbox()
    world.ledger.dispatch(lane, second)
    await wait_all_tasks_blocked()

    assert first.worker == inbox.ref
    assert second.state is DeliveryState.RECEIVED


async def test_the_worker_that_became_idle_last_has_the_next_event(world: World) -> None:
    first, second = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    for last in (second, first, first, second):
        lanes = [world.place(delivery(due=1e9), n) for n in range(2)]
        for lane, made in lanes:
            world.ledger.dispatch(lane, made)
        for _, made in sorted(lanes, key=lambda place: place[1].worker == last.ref):
            assert made.worker is not None
            assert made.begin(made.worker)
            assert made.settle(Outcome(b"1"))
            world.ledger.add_idle_worker(made.worker)
        lane, made = world.place(delivery(due=1e9))
        world.ledger.dispatch(lane, made)

        assert made.worker == last.ref
        assert made.settle(Outcome(b"1"))
        world.ledger.add_idle_worker(last.ref)
    assert len(world.ledger.idle) == 2


@pytest.mark.parametrize("how", ["killed", "without an instance", "at an event"])
async def test_what_has_said_that_it_is_idle_is_not_believed(world: World, how: str) -> None:
    first, second = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    if how == "killed":
        second.ref.kill()
    elif how == "without an instance":
        world.ledger.remove_worker(second.ref)
    else:
        world.ledger.ready[second.ref] = brought_to(DeliveryState.RUNNING, second.ref)
    world.ledger.add_idle_worker(second.ref)
    lane, made = world.place(delivery(due=1e9))
    world.ledger.dispatch(lane, made)

    assert made.worker == first.ref


async def test_an_idle_worker_wakes_the_dispatcher_only_where_an_event_may_wait(
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


async def test_of_many_wake_ups_one_waits_and_it_sees_all_that_has_changed(world: World) -> None:
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


async def test_a_wake_up_that_finds_no_dispatcher_is_no_loss(world: World) -> None:
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


async def test_an_event_that_comes_while_it_is_woken_is_given_out_once(world: World) -> None:
    inboxes = [await world.inbox() for _ in range(2)]
    await world.dispatcher()
    # Woken, it does not wait when the events come: its look gives them out, and their mail is late.
    world.ledger.wake_dispatcher()
    places = [world.place(delivery(), n) for n in range(2)]
    for place in places:
        world.ledger.dispatch(*place)
    await wait_all_tasks_blocked()

    assert [inbox.mail for inbox in inboxes] == [[place] for place in places]


async def test_a_worker_s_end_takes_no_wake_up_away(world: World) -> None:
    first, second = await world.inbox(), await world.inbox()
    await world.dispatcher()
    await world.wake()
    first.ref.kill()
    for n in range(2):
        world.ledger.dispatch(*world.place(delivery(), n))
    await wait_all_tasks_blocked()

    assert len(second.mail) == 1
    assert DISPATCHER.process().mailbox.statistics().peak <= 1
