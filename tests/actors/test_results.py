"""Results: each monitor of a Pending brings exactly one."""

from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    ActorExited,
    Down,
    Exit,
    MailboxFull,
    MailboxPolicy,
    Pending,
    Ref,
    Refusal,
    Reply,
    ReplyLost,
    Result,
    ResultMonitor,
    Server,
    WhenFull,
    await_many,
    start,
    stop,
)
from tests.conformance.cancellation import every_step


@attrs.define(eq=False)
class Oven(Server):
    """Answers in every way, by what is to be baked."""

    later: list[Reply[str]] = attrs.Factory(list)
    skip_abandoned_calls = True

    async def bake(self, what: str) -> str:
        if what == "stone":
            raise Refusal("a stone is not baked")
        if what == "bomb":
            raise RuntimeError("bang")
        if what == "cake":
            self.later.append(self.reply_later())
            return NO_REPLY
        if what == "lost":
            self.reply_later()
            return NO_REPLY
        if what == "slow":
            await trio.sleep(1)
        return f"baked {what}"


@attrs.define(eq=False)
class Cook(Server):
    """Sends requests to the oven and monitors them."""

    mailbox = MailboxPolicy(1, WhenFull.REJECT)

    oven: Ref[Oven]
    results: list[Result] = attrs.Factory(list)
    pending: list[Pending[str]] = attrs.Factory(list)
    monitors: list[ResultMonitor] = attrs.Factory(list)
    other: list[object] = attrs.Factory(list)

    async def order(self, what: str) -> None:
        pending = await self.oven.request(Oven.bake, what)
        self.pending.append(pending)
        self.monitors.append(self.monitor(pending))

    async def watch(self, pending: Pending[str]) -> None:
        self.monitors.append(self.monitor(pending))

    async def do(self, act: Callable[[], Awaitable[object]]) -> None:
        await act()

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Result):
            self.results.append(message)
        else:
            self.other.append(message)

    def _received(self) -> list[object]:
        """The values and types of errors of the Results."""
        return [each.value if each.error is None else type(each.error) for each in self.results]


@pytest.fixture
async def oven() -> Oven:
    return Oven()


async def start_both(nursery: trio.Nursery, oven: Oven) -> Cook:
    """Start an oven and a cook. Return the actor, so that a test can read its fields."""
    ref = await start(nursery, lambda: oven)
    cook = Cook(ref)
    await start(nursery, lambda: cook)
    return cook


async def stop_and_check(*actors: Server) -> None:
    """Stop the actors and check that no monitor is left."""
    for actor in actors:
        process = actor._process
        await stop(actor.ref)
        assert not process.watchers


async def test_a_reply_comes_as_a_result_with_its_pending(
    nursery: trio.Nursery, oven: Oven
) -> None:
    cook = await start_both(nursery, oven)

    await cook.ref.call(Cook.order, "bread")
    await wait_all_tasks_blocked()

    assert cook.results == [Result(cook.pending[0], "baked bread", None, cook.monitors[0])]
    assert await cook.pending[0].result() == "baked bread"
    assert not cook._process.watchers
    await stop_and_check(cook, oven)


async def test_each_monitor_brings_one_result_even_after_the_reply(
    nursery: trio.Nursery, oven: Oven, autojump_clock: MockClock
) -> None:
    cook = await start_both(nursery, oven)
    pending = await oven.ref.request(Oven.bake, "slow")

    for _ in range(2):
        await cook.ref.call(Cook.watch, pending)
    assert await pending.result() == "baked slow"
    await cook.ref.call(Cook.watch, pending)
    await wait_all_tasks_blocked()

    assert cook._received() == ["baked slow"] * 3
    assert [each.monitor for each in cook.results] == cook.monitors
    await stop_and_check(cook, oven)


async def test_a_refusal_and_a_lost_reply_come_as_errors(nursery: trio.Nursery, oven: Oven) -> None:
    cook = await start_both(nursery, oven)

    for what in ("stone", "lost", "cake"):
        await cook.ref.call(Cook.order, what)
    oven.later.pop().fail(KeyError("flour"))
    await wait_all_tasks_blocked()

    assert Counter(cook._received()) == Counter([Refusal, ReplyLost, KeyError])
    await stop_and_check(cook, oven)


async def test_the_end_of_the_actor_comes_as_one_error(nursery: trio.Nursery, oven: Oven) -> None:
    cook = await start_both(nursery, oven)
    await cook.ref.call(Cook.do, lambda: watch(cook))
    for what in ("cake", "slow", "bread"):
        await cook.ref.call(Cook.order, what)
    await wait_all_tasks_blocked()

    oven.ref.kill()
    await wait_all_tasks_blocked()

    assert cook._received() == [ActorExited] * 3
    assert {each.source for each in cook.results} == {*cook.pending}
    assert len(cook.other) == 1
    await stop_and_check(cook)


async def watch(cook: Cook) -> None:
    cook.monitor(cook.oven)


async def test_a_result_arrives_in_a_full_mailbox(
    nursery: trio.Nursery, oven: Oven, autojump_clock: MockClock
) -> None:
    cook = await start_both(nursery, oven)
    go = trio.Event()
    await cook.ref.call(Cook.order, "slow")
    await cook.ref.cast(Cook.do, go.wait)
    await wait_all_tasks_blocked()
    await cook.ref.send("news")
    with pytest.raises(MailboxFull):
        await cook.ref.send("more news")
    await trio.sleep(1.1)

    go.set()
    await wait_all_tasks_blocked()

    assert cook._received() == ["baked slow"]
    assert cook.other == ["news"]
    await stop_and_check(cook, oven)


async def test_no_result_arrives_after_demonitor(nursery: trio.Nursery, oven: Oven) -> None:
    cook = await start_both(nursery, oven)
    go = trio.Event()
    for what in ("cake", "bread"):
        await cook.ref.call(Cook.order, what)
    await wait_all_tasks_blocked()
    await cook.ref.cast(Cook.do, go.wait)
    await cook.ref.cast(Cook.order, "bread")
    await wait_all_tasks_blocked()

    cook.monitors[0].demonitor()
    oven.later.pop().send("baked cake")
    go.set()
    await wait_all_tasks_blocked()
    cook.monitors[1].demonitor()

    assert cook._received() == ["baked bread"] * 2
    await stop_and_check(cook, oven)


async def test_demonitor_removes_a_waiting_result(nursery: trio.Nursery, oven: Oven) -> None:
    cook = await start_both(nursery, oven)
    go = trio.Event()
    await cook.ref.call(Cook.order, "cake")
    await cook.ref.cast(Cook.do, go.wait)
    await wait_all_tasks_blocked()
    oven.later.pop().send("baked cake")

    cook.monitors[0].demonitor()
    go.set()
    await wait_all_tasks_blocked()

    assert not cook.results
    await stop_and_check(cook, oven)


async def test_an_abandoned_request_brings_no_result(nursery: trio.Nursery, oven: Oven) -> None:
    cook = await start_both(nursery, oven)
    await cook.ref.call(Cook.order, "cake")
    await wait_all_tasks_blocked()

    cook.pending[0].abandon()
    assert not cook._process.watchers
    assert not oven.later.pop().send("baked cake")
    with pytest.raises(RuntimeError, match=r"bake\(\) was abandoned: it has no result"):
        cook.monitor(cook.pending[0])

    assert not cook.results
    await stop_and_check(cook, oven)


async def test_an_ended_watcher_leaves_nothing_in_the_request(
    nursery: trio.Nursery, oven: Oven
) -> None:
    cook = await start_both(nursery, oven)
    await cook.ref.call(Cook.order, "cake")
    await wait_all_tasks_blocked()
    await stop_and_check(cook)

    request = cook.pending[0]._request
    assert not request.listeners
    cook.pending[0].add_monitor(cook._process)
    assert not request.listeners
    assert oven.later.pop().send("baked cake")
    await stop_and_check(oven)


async def test_an_answer_from_another_thread_is_refused(nursery: trio.Nursery, oven: Oven) -> None:
    cook = await start_both(nursery, oven)
    await cook.ref.call(Cook.order, "cake")
    await wait_all_tasks_blocked()
    reply = oven.later.pop()

    with pytest.raises(RuntimeError):
        await trio.to_thread.run_sync(reply.send, "baked cake")
    await trio.to_thread.run_sync(trio.from_thread.run_sync, reply.send, "baked cake")
    await wait_all_tasks_blocked()

    assert cook._received() == ["baked cake"]
    await stop_and_check(cook, oven)


async def test_a_pending_of_another_run_cannot_be_monitored(
    nursery: trio.Nursery, oven: Oven
) -> None:
    cook = await start_both(nursery, oven)
    await cook.ref.call(Cook.order, "cake")
    await wait_all_tasks_blocked()

    async def other_run() -> None:
        cook.monitor(cook.pending[0])

    with pytest.raises(
        RuntimeError, match=r"monitor is impossible from another thread or `trio\.run`"
    ):
        await trio.to_thread.run_sync(trio.run, other_run)
    await stop_and_check(cook, oven)


@attrs.define
class Scene:
    """Three monitored requests, repeated for each step."""

    cook: Cook | None = None

    async def run(self) -> None:
        self.cook = None
        async with trio.open_nursery() as nursery:
            oven = Oven()
            ref = await start(nursery, lambda: oven)
            cook = self.cook = Cook(ref)
            await start(nursery, lambda: cook)
            for what in ("bread", "slow", "cake"):
                await cook.ref.call(Cook.order, what)
            await trio.sleep(2)
            await stop(ref)
            await wait_all_tasks_blocked()
            assert cook._received() == ["baked bread", "baked slow", ActorExited]
            await stop(cook.ref)

    async def check(self) -> None:
        if self.cook is not None and hasattr(self.cook, "_process"):
            assert not self.cook._process.watchers
            assert len({each.monitor for each in self.cook.results}) == len(self.cook.results)


def test_cancelled_at_any_step_a_result_comes_at_most_once() -> None:
    scene = Scene()

    assert every_step(scene.run, scene.check) > 20


async def test_progress_result_and_down_arrive_in_the_order_of_sending(
    nursery: trio.Nursery,
) -> None:
    """Elixir: a task that sends three messages, returns 42 and ends."""

    class Job(Server):
        async def work(self, client: Ref[Server]) -> int:
            for percent in (10, 50, 90):
                await client.send(percent)
            return 42

        async def leave(self) -> None:
            raise Exit

    class Client(Server):
        def __init__(self) -> None:
            self.seen: list[object] = []

        async def begin(self, job: Ref[Job]) -> None:
            self.monitor(job)
            self.monitor(await job.request(Job.work, self.ref))
            await job.cast(Job.leave)
            await job.wait()  # all messages wait in the mailbox now

        async def handle_info(self, message: object) -> None:
            match message:
                case Result(value=value):
                    self.seen.append(value)
                case Down(reason=reason):
                    self.seen.append(str(reason))
                case _:
                    self.seen.append(message)

        async def all_seen(self) -> list[object]:
            return self.seen

    job, client = await start(nursery, Job), await start(nursery, Client)
    await client.call(Client.begin, job)

    assert await client.call(Client.all_seen) == [10, 50, 90, 42, "normal"]
    await stop(client)


# -- several results


async def test_several_results_come_in_the_order_of_their_sources(nursery: trio.Nursery) -> None:
    ovens = [await start(nursery, Oven) for _ in range(2)]
    pending = [await ovens[0].request(Oven.bake, "slow"), await ovens[1].request(Oven.bake, "bun")]

    assert await await_many(pending) == ["baked slow", "baked bun"]
    assert await await_many(list[Pending[str]]()) == []
    for oven in ovens:
        await stop(oven)


async def test_the_first_error_ends_the_wait_and_no_other_source(nursery: trio.Nursery) -> None:
    ovens = [await start(nursery, Oven) for _ in range(2)]
    pending = [
        await ovens[0].request(Oven.bake, "slow"),
        await ovens[1].request(Oven.bake, "stone"),
    ]

    with pytest.raises(Refusal, match="a stone is not baked"):
        await await_many(pending)

    assert not pending[0].done
    assert await pending[0].result() == "baked slow"
    for oven in ovens:
        await stop(oven)


async def test_a_time_limit_ends_the_wait_and_no_source(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    oven = await start(nursery, Oven)
    pending = [await oven.request(Oven.bake, what) for what in ("bun", "slow")]

    with pytest.raises(trio.TooSlowError), trio.fail_after(0.5):
        await await_many(pending)

    assert await await_many(pending) == ["baked bun", "baked slow"]
    await stop(oven)
