"""Pending: a request is sent now; its result is taken later, any number of times."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import MailboxPolicy, Pending, Ref, Refusal, Server, start


@attrs.define(eq=False)
class Oven(Server):
    mailbox = MailboxPolicy(1)
    done: trio.Event = attrs.Factory(trio.Event)
    baked: list[str] = attrs.Factory(list)

    async def bake(self, what: str) -> str:
        await self.done.wait()
        if what == "stone":
            raise Refusal("a stone is not baked")
        if what == "bomb":
            raise RuntimeError("bang")
        self.baked.append(what)
        return f"baked {what}"


@attrs.define(eq=False)
class Sloth(Oven):
    skip_abandoned_calls = True


@pytest.fixture
def oven() -> Oven:
    return Oven()


@pytest.fixture
async def ref(oven: Oven, nursery: trio.Nursery) -> Ref[Oven]:
    return await start(nursery, lambda: oven, path="/oven")


async def test_several_requests_run_at_once(
    oven: Oven, ref: Ref[Oven], nursery: trio.Nursery
) -> None:
    other = Oven(oven.done)
    beside = await start(nursery, lambda: other)

    first, second = await ref.request(Oven.bake, "bread"), await beside.request(Oven.bake, "cake")
    assert not first.done
    oven.done.set()

    assert [await first.result(), await second.result()] == ["baked bread", "baked cake"]


async def test_a_result_may_be_taken_again(oven: Oven, ref: Ref[Oven]) -> None:
    """OTP: a second `receive_response` times out."""
    pending = await ref.request(Oven.bake, "bread")
    oven.done.set()

    assert await pending.result() == "baked bread"
    assert await pending.result() == "baked bread"
    assert repr(pending) == "<Pending bake() of /oven, done>"


async def test_a_cancelled_wait_for_a_result_may_be_repeated(oven: Oven, ref: Ref[Oven]) -> None:
    pending = await ref.request(Oven.bake, "bread")
    with trio.CancelScope() as scope:
        scope.cancel()
        await pending.result()
    assert repr(pending) == "<Pending bake() of /oven, waiting>"
    oven.done.set()

    assert await pending.result() == "baked bread"


async def test_a_request_waits_for_room(oven: Oven, ref: Ref[Oven], nursery: trio.Nursery) -> None:
    sent: list[Pending[str]] = []

    async def ask() -> None:
        for what in ("bread", "cake", "pie"):
            sent.append(await ref.request(Oven.bake, what))

    nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    assert len(sent) == 2
    oven.done.set()
    await wait_all_tasks_blocked()

    assert await sent[2].result() == "baked pie"


async def test_two_tasks_cannot_wait_for_one_result(
    oven: Oven, ref: Ref[Oven], nursery: trio.Nursery
) -> None:
    pending = await ref.request(Oven.bake, "bread")
    nursery.start_soon(pending.result)
    await wait_all_tasks_blocked()

    with pytest.raises(trio.BusyResourceError):
        await pending.result()
    with pytest.raises(trio.BusyResourceError):
        pending.abandon()
    oven.done.set()


async def test_an_abandoned_request_has_no_result(oven: Oven, ref: Ref[Oven]) -> None:
    pending = await ref.request(Oven.bake, "bread")
    pending.abandon()
    oven.done.set()

    with pytest.raises(RuntimeError, match=r"bake\(\) was abandoned"):
        await pending.result()
    assert repr(pending) == "<Pending bake() of /oven, abandoned>"


@pytest.mark.parametrize(("kind", "baked"), [(Oven, ["first", "second"]), (Sloth, ["first"])])
async def test_skip_abandoned_calls_skips_abandoned_calls(
    kind: type[Oven], baked: list[str], nursery: trio.Nursery
) -> None:
    oven = kind()
    ref = await start(nursery, lambda: oven)
    await ref.request(Oven.bake, "first")
    second = await ref.request(Oven.bake, "second")
    second.abandon()
    oven.done.set()
    await wait_all_tasks_blocked()

    assert oven.baked == baked
