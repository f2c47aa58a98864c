"""The two lanes of a mailbox: control first and unbounded, data bounded by the policy."""

from typing import ClassVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    ActorExited,
    MailboxFull,
    MailboxPolicy,
    MailboxStatistics,
    Server,
    WhenFull,
    start,
    stop,
)
from okibi.actors.mailbox import NEW_PEAK, NOTHING_DROPPED, Mailbox
from okibi.actors.timers import Notice

TWO_BLOCK = MailboxPolicy(2)
TWO_REJECT = MailboxPolicy(2, WhenFull.REJECT)
TWO_DROP = MailboxPolicy(2, WhenFull.DROP_OLDEST)


async def take_all(mailbox: Mailbox) -> list[object]:
    return [await mailbox.receive() for _ in range(len(mailbox.control) + len(mailbox.data))]


async def test_control_is_read_before_data_and_each_lane_in_order() -> None:
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


class Sign(Notice):
    """A notice of a monitor."""

    def __init__(self, monitor: str = "") -> None:
        self.monitor = monitor


async def test_a_notice_goes_behind_the_data_that_waits() -> None:
    mailbox, sign = Mailbox(), Sign()
    mailbox.offer(1)
    mailbox.notify(sign)
    mailbox.offer(2)

    assert await take_all(mailbox) == [1, sign, 2]


@pytest.mark.parametrize("policy", [TWO_BLOCK, TWO_REJECT, TWO_DROP])
async def test_notices_are_never_bounded_dropped_or_counted(policy: MailboxPolicy) -> None:
    mailbox, signs = Mailbox(policy), [Sign() for _ in range(1000)]
    for sign in signs:
        mailbox.notify(sign)
    mailbox.offer(1)
    mailbox.offer(2)

    if policy is TWO_DROP:
        assert mailbox.offer(3) == 1
    else:
        with pytest.raises(MailboxFull):
            mailbox.offer(3)

    assert mailbox.peak == 2
    assert (await take_all(mailbox))[:1000] == signs
    assert mailbox.offer(4) is NOTHING_DROPPED


async def test_the_notices_of_one_monitor_can_be_removed() -> None:
    mailbox, first, second = Mailbox(TWO_BLOCK), Sign("first"), Sign("second")
    for message in (first, second, first):
        mailbox.notify(message)
    mailbox.offer("data")

    mailbox.remove_notices("first")

    assert await take_all(mailbox) == [second, "data"]
    for n in (1, 2):
        mailbox.offer(n)
    with pytest.raises(MailboxFull):
        mailbox.offer(3)


def test_a_closed_mailbox_discards_notices() -> None:
    mailbox = Mailbox()
    mailbox.close()

    mailbox.notify(Sign())

    assert not mailbox.data


@pytest.mark.parametrize("policy", [TWO_BLOCK, TWO_REJECT])
def test_a_full_lane_refuses_an_offer(policy: MailboxPolicy) -> None:
    mailbox = Mailbox(policy)
    mailbox.offer(1)
    mailbox.offer(2)

    with pytest.raises(MailboxFull):
        mailbox.offer(3)
    assert list(mailbox.data) == [1, 2]


def test_drop_oldest_accepts_the_new_message_and_returns_the_oldest() -> None:
    mailbox = Mailbox(TWO_DROP)

    assert [mailbox.offer(n) for n in (1, 2, 3)] == [NOTHING_DROPPED, NEW_PEAK, 1]
    assert list(mailbox.data) == [2, 3]
    assert mailbox.dropped == 1


async def test_a_new_message_does_not_overtake_a_blocked_sender(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(MailboxPolicy(1))
    mailbox.offer("first")
    nursery.start_soon(mailbox.wait_for_space, "second")
    await wait_all_tasks_blocked()

    assert await mailbox.receive() == "first"
    with pytest.raises(MailboxFull):
        mailbox.offer("third")
    assert await mailbox.receive() == "second"


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


async def test_a_closed_mailbox_discards_control_messages() -> None:
    mailbox = Mailbox()
    mailbox.close()

    mailbox.post("late")

    assert not mailbox.control


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_capacity_below_one_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match=r"^capacity must be an integer >= 1, got"):
        MailboxPolicy(capacity)


def test_when_full_must_be_a_when_full() -> None:
    with pytest.raises(TypeError, match=r"when_full must be a WhenFull, got str\[6\]"):
        MailboxPolicy(1, "reject")  # type: ignore[arg-type]


async def test_statistics_count_messages_and_blocked_senders(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(TWO_BLOCK)
    assert mailbox.statistics() == MailboxStatistics(0, 0, 0, 0, 0, 2)

    mailbox.offer(1)
    mailbox.offer(2)
    mailbox.post("control")
    nursery.start_soon(mailbox.wait_for_space, 3)
    await wait_all_tasks_blocked()

    assert mailbox.statistics() == MailboxStatistics(
        length=2, control=1, peak=2, dropped=0, blocked=1, capacity=2
    )
    await take_all(mailbox)
    assert mailbox.statistics() == MailboxStatistics(1, 0, 2, 0, 0, 2)


# -- the policies, as senders see them


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


async def test_callers_of_a_full_server_wait_and_all_get_replies(nursery: trio.Nursery) -> None:
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


async def test_a_full_mailbox_with_reject_raises_in_the_sender(nursery: trio.Nursery) -> None:
    go = trio.Event()
    slow = await start(nursery, lambda: Rejecting(go))
    await slow.cast(Slow.work, 1)
    await wait_all_tasks_blocked()
    await slow.cast(Slow.work, 2)

    with pytest.raises(MailboxFull, match=r"^<lambda> cannot take work\(\): its mailbox is full$"):
        await slow.call(Slow.work, 3)
    with pytest.raises(MailboxFull):
        await slow.cast(Slow.work, 4)
    await stop(slow)


async def test_the_caller_of_a_dropped_call_gets_mailbox_full(nursery: trio.Nursery) -> None:
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


async def test_a_dropped_none_is_logged(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    slow = await start(nursery, lambda: Dropping(trio.Event()), path="/slow")
    await slow.cast(Slow.work, 1)
    await wait_all_tasks_blocked()

    await slow.send(None)
    await slow.send(None)

    assert caplog.messages == ["/slow dropped a message of type NoneType: its mailbox is full"]
    await stop(slow)


async def test_a_full_mailbox_refuses_a_nowait_send(nursery: trio.Nursery) -> None:
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
