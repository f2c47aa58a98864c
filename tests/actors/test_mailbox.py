"""Two lanes: what is never bounded and comes first, and what a policy bounds."""

from typing import ClassVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    Actor,
    ActorExited,
    MailboxFull,
    MailboxPolicy,
    MailboxStatistics,
    Server,
    WhenFull,
    start,
    stop,
)
from okibi.actors.mailbox import Mailbox

TWO_BLOCK = MailboxPolicy(2)
TWO_REJECT = MailboxPolicy(2, WhenFull.REJECT)
TWO_DROP = MailboxPolicy(2, WhenFull.DROP_OLDEST)


async def take_all(mailbox: Mailbox) -> list[object]:
    return [await mailbox.receive() for _ in range(len(mailbox.control) + len(mailbox.data))]


async def test_control_is_read_first_each_lane_in_its_order() -> None:
    mailbox = Mailbox()
    for n in (1, 2):
        mailbox.offer(f"data {n}")
        mailbox.post(f"control {n}")

    assert await take_all(mailbox) == ["control 1", "control 2", "data 1", "data 2"]


@pytest.mark.parametrize("policy", [TWO_BLOCK, TWO_REJECT, TWO_DROP])
async def test_the_control_lane_is_never_bounded_and_never_dropped(policy: MailboxPolicy) -> None:
    mailbox = Mailbox(policy)
    for n in range(1000):
        mailbox.post(n)

    assert await take_all(mailbox) == list(range(1000))


@pytest.mark.parametrize("policy", [TWO_BLOCK, TWO_REJECT])
def test_an_offer_to_a_full_lane_is_refused(policy: MailboxPolicy) -> None:
    mailbox = Mailbox(policy)
    mailbox.offer(1)
    mailbox.offer(2)

    with pytest.raises(MailboxFull):
        mailbox.offer(3)
    assert list(mailbox.data) == [1, 2]


def test_drop_oldest_takes_the_newest_and_gives_back_the_oldest() -> None:
    mailbox = Mailbox(TWO_DROP)

    assert [mailbox.offer(n) for n in (1, 2, 3)] == [None, None, 1]
    assert list(mailbox.data) == [2, 3]
    assert mailbox.dropped == 1


async def test_blocked_senders_are_let_in_one_by_one_in_their_order(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(MailboxPolicy(1))
    mailbox.offer("first")
    for n in range(3):
        nursery.start_soon(mailbox.wait_for_room, n)
        await wait_all_tasks_blocked()

    got: list[object] = []
    while mailbox.data:
        got.append(await mailbox.receive())
        assert len(mailbox.data) <= 1
    assert got == ["first", 0, 1, 2]


async def test_a_newcomer_does_not_overtake_a_blocked_sender(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(MailboxPolicy(1))
    mailbox.offer("first")
    nursery.start_soon(mailbox.wait_for_room, "second")
    await wait_all_tasks_blocked()

    assert await mailbox.receive() == "first"
    with pytest.raises(MailboxFull):
        mailbox.offer("third")
    assert await mailbox.receive() == "second"


async def test_a_cancelled_sender_leaves_the_line(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(MailboxPolicy(1))
    mailbox.offer("first")
    with trio.move_on_after(0) as scope:
        await mailbox.wait_for_room("never")

    assert scope.cancelled_caught
    assert await take_all(mailbox) == ["first"]
    assert not mailbox.data


async def test_a_blocked_sender_is_told_whether_it_was_let_in(nursery: trio.Nursery) -> None:
    async def wait(message: object) -> None:
        told[message] = await mailbox.wait_for_room(message)

    told: dict[object, bool] = {}
    mailbox = Mailbox(MailboxPolicy(1))
    mailbox.offer("first")
    for message in ("in", "out"):
        nursery.start_soon(wait, message)
        await wait_all_tasks_blocked()

    await mailbox.receive()
    left = mailbox.close()
    await wait_all_tasks_blocked()

    assert told == {"in": True, "out": False}
    assert left == ["in", "out"]


async def test_a_cancelled_reader_loses_no_message() -> None:
    mailbox = Mailbox()
    for n in range(20):
        mailbox.offer(n)
    got: list[object] = []
    while mailbox.data:
        with trio.CancelScope() as scope:
            scope.cancel()
            got.append(await mailbox.receive())
        got.append(await mailbox.receive())

    assert got == list(range(20))


async def test_a_reader_cancelled_in_the_step_it_is_woken_loses_no_message(
    nursery: trio.Nursery,
) -> None:
    async def read() -> None:
        with scope:
            got.append(await mailbox.receive())

    mailbox, scope = Mailbox(), trio.CancelScope()
    got: list[object] = []
    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    mailbox.offer("message")
    scope.cancel()
    await wait_all_tasks_blocked()

    assert [*got, *mailbox.data] == ["message"]


async def test_a_second_reader_is_refused(nursery: trio.Nursery) -> None:
    mailbox = Mailbox()
    nursery.start_soon(mailbox.receive)
    await wait_all_tasks_blocked()

    with pytest.raises(trio.BusyResourceError):
        await mailbox.receive()
    mailbox.post("done")


async def test_receive_is_a_checkpoint() -> None:
    mailbox = Mailbox()
    mailbox.offer(1)

    with trio.testing.assert_checkpoints():
        await mailbox.receive()


async def test_a_closed_mailbox_forgets_what_is_posted() -> None:
    mailbox = Mailbox()
    mailbox.close()

    mailbox.post("late")

    assert not mailbox.control


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_policy_needs_room_for_one(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MailboxPolicy(capacity)


def test_a_policy_needs_a_when_full() -> None:
    with pytest.raises(TypeError, match=r"when_full is a WhenFull, not str\[6\]"):
        MailboxPolicy(1, "reject")  # type: ignore[arg-type]


async def test_statistics_say_how_a_mailbox_stands(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(TWO_BLOCK)
    assert mailbox.statistics() == MailboxStatistics(0, 0, 0, 0, 0, 2)

    mailbox.offer(1)
    mailbox.offer(2)
    mailbox.post("control")
    nursery.start_soon(mailbox.wait_for_room, 3)
    await wait_all_tasks_blocked()

    assert mailbox.statistics() == MailboxStatistics(
        length=2, control=1, peak=2, dropped=0, blocked=1, capacity=2
    )
    await take_all(mailbox)
    assert mailbox.statistics() == MailboxStatistics(1, 0, 2, 0, 0, 2)


def test_the_peak_is_the_most_that_ever_waited() -> None:
    mailbox = Mailbox(MailboxPolicy(10))
    for fill in (3, 1, 5, 2):
        for n in range(fill):
            mailbox.offer(n)
        mailbox.data.clear()

    assert mailbox.statistics().peak == 5


def test_what_is_dropped_is_counted_and_no_peak() -> None:
    mailbox = Mailbox(TWO_DROP)
    for n in range(10):
        mailbox.offer(n)

    assert mailbox.statistics() == MailboxStatistics(2, 0, 2, 8, 0, 2)


async def test_what_is_let_in_for_the_end_counts_for_the_peak(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(TWO_BLOCK)
    mailbox.offer(1)
    mailbox.offer(2)
    nursery.start_soon(mailbox.wait_for_room, 3)
    await wait_all_tasks_blocked()

    mailbox.end_with("last")

    assert mailbox.statistics() == MailboxStatistics(4, 0, 4, 0, 0, 2)


async def test_what_is_handed_to_a_waiting_reader_is_no_peak(nursery: trio.Nursery) -> None:
    mailbox = Mailbox()
    nursery.start_soon(mailbox.receive)
    await wait_all_tasks_blocked()
    mailbox.offer("message")
    await wait_all_tasks_blocked()

    assert mailbox.statistics().peak == 0


# -- the policies, as those who send see them


@attrs.define(eq=False)
class Slow(Server):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1)
    go: trio.Event
    done: list[int] = attrs.Factory(list)

    async def work(self, number: int) -> int:
        await self.go.wait()
        self.done.append(number)
        return number


@attrs.define(eq=False)
class Rejecting(Slow):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1, WhenFull.REJECT)


@attrs.define(eq=False)
class Dropping(Slow):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1, WhenFull.DROP_OLDEST)


async def test_a_full_server_makes_its_callers_wait_and_answers_all(nursery: trio.Nursery) -> None:
    async def ask(number: int) -> None:
        answers.append(await slow.call(Slow.work, number))

    answers: list[int] = []
    go = trio.Event()
    slow = await start(nursery, lambda: Slow(go))
    for number in range(5):
        nursery.start_soon(ask, number)
        await wait_all_tasks_blocked()
    go.set()
    await wait_all_tasks_blocked()

    assert answers == [0, 1, 2, 3, 4]
    await stop(slow)


async def test_a_rejecting_server_tells_the_sender_at_once(nursery: trio.Nursery) -> None:
    go = trio.Event()
    slow = await start(nursery, lambda: Rejecting(go))
    await slow.cast(Slow.work, 1)
    await wait_all_tasks_blocked()
    await slow.cast(Slow.work, 2)

    with pytest.raises(MailboxFull, match=r"Rejecting rejects work\(3\)|<lambda> rejects work"):
        await slow.call(Slow.work, 3)
    with pytest.raises(MailboxFull):
        await slow.cast(Slow.work, 4)
    await stop(slow)


async def test_a_dropped_call_fails_its_caller(nursery: trio.Nursery) -> None:
    async def ask() -> None:
        with pytest.raises(MailboxFull, match=r"dropped work\(\) for a newer message"):
            await slow.call(Slow.work, 2)
        told.set()

    go, told = trio.Event(), trio.Event()
    slow = await start(nursery, lambda: Dropping(go))
    await slow.cast(Slow.work, 1)
    await wait_all_tasks_blocked()
    nursery.start_soon(ask)
    await wait_all_tasks_blocked()

    await slow.cast(Slow.work, 3)

    await told.wait()
    await stop(slow)


async def test_a_dropped_cast_is_logged(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    slow = await start(nursery, lambda: Dropping(trio.Event()), path="/slow")
    for number in (1, 2, 3):
        await slow.cast(Slow.work, number)
        await wait_all_tasks_blocked()

    assert "/slow dropped work(): its mailbox is full" in caplog.messages
    await stop(slow)


async def test_a_nowait_send_to_a_full_mailbox_is_refused(nursery: trio.Nursery) -> None:
    slow = await start(nursery, lambda: Slow(trio.Event()))
    await slow.cast(Slow.work, 1)
    await wait_all_tasks_blocked()
    slow.cast_nowait(Slow.work, 2)

    with pytest.raises(MailboxFull):
        slow.cast_nowait(Slow.work, 3)
    with pytest.raises(MailboxFull):
        slow.send_nowait("anything")
    await stop(slow)


async def test_blocked_senders_and_callers_fail_when_the_actor_ends(nursery: trio.Nursery) -> None:
    async def ask(how: str) -> None:
        try:
            await (slow.call if how == "call" else slow.cast)(Slow.work, 3)
        except ActorExited as error:
            told[how] = error.reason.kind

    told: dict[str, str] = {}
    slow = await start(nursery, lambda: Slow(trio.Event()))
    await slow.cast(Slow.work, 1)
    await wait_all_tasks_blocked()
    await slow.cast(Slow.work, 2)
    for how in ("call", "cast"):
        nursery.start_soon(ask, how)
    await wait_all_tasks_blocked()

    slow.kill()
    await wait_all_tasks_blocked()

    assert told == {"call": "killed", "cast": "killed"}


async def test_a_sender_that_was_let_in_is_not_told_otherwise_when_the_actor_ends(
    nursery: trio.Nursery,
) -> None:
    class Once(Actor):
        mailbox = MailboxPolicy(1)

        async def run(self) -> None:
            await go.wait()
            got.append(await self.receive())

    async def send() -> None:
        await once.send("second")
        sent.set()

    got: list[object] = []
    go, sent = trio.Event(), trio.Event()
    once = await start(nursery, Once)
    once.send_nowait("first")
    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    go.set()
    await wait_all_tasks_blocked()

    assert got == ["first"]
    assert sent.is_set()


@pytest.mark.parametrize("when_full", list(WhenFull))
async def test_control_passes_a_full_mailbox_and_its_blocked_senders(
    nursery: trio.Nursery, when_full: WhenFull
) -> None:
    @attrs.define(eq=False)
    class Full(Slow):
        mailbox = MailboxPolicy(1, when_full)

        async def handle_info(self, message: object) -> None:
            order.append(message)

        async def work(self, number: int) -> int:
            order.append(number)
            return await Slow.work(self, number)

    async def cast(number: int) -> None:
        try:
            await full.cast(Slow.work, number)
        except MailboxFull:
            assert when_full is WhenFull.REJECT

    order: list[object] = []
    go = trio.Event()
    full = await start(nursery, lambda: Full(go))
    for number in range(5):
        nursery.start_soon(cast, number)
        await wait_all_tasks_blocked()

    full.process().mailbox.post("control")
    assert full.mailbox_statistics.control == 1
    assert full.mailbox_statistics.blocked == (3 if when_full is WhenFull.BLOCK else 0)
    go.set()
    await wait_all_tasks_blocked()

    assert order[:2] == [0, "control"]
    await stop(full)
