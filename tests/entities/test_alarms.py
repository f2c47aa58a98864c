"""Alarms, doorbells and casts between entities: what runs when nobody calls."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from okibi.actors import Refusal
from okibi.entities import Entities, Entity, EntityCrashed, MemoryStore
from okibi.entities.alarms import Alarm, LambdaRings, ring_of, schedule_of
from okibi.entities.entities import ring
from okibi.testing import SandboxKilled, entity_world, virtual_time
from tests.entities.test_entities import started


class Taken(Refusal):
    pass


@attrs.define(eq=False)
class Seat(Entity):
    user: str = ""
    log: list[str] = attrs.Factory(list[str])

    async def reserve(self, user: str, seconds: float = 600) -> None:
        await trio.lowlevel.checkpoint()
        if self.user:
            raise Taken(self.user)
        self.user = user
        self.send_after(seconds, Seat.release)

    async def confirm(self) -> None:
        self.cancel_alarm(Seat.release)

    async def release(self) -> None:
        self.log.append(f"released {self.user}")
        self.user = ""

    async def remind(self) -> None:
        self.log.append("reminded")

    async def plan(self, remind: float, fail: float) -> None:
        self.send_after(remind, Seat.remind)
        self.send_after(fail, Seat.fail)

    async def fail(self) -> None:
        FAILURES.append(trio.current_time())
        self.user = "lost"
        raise LookupError("no printer")

    async def plan_end(self) -> None:
        self.send_after(60, Seat.end_sandbox)
        self.send_after(60, Seat.remind)

    async def end_sandbox(self) -> None:
        KILLS.pop()()
        await trio.sleep(1)

    async def show(self) -> list[str]:
        return [self.user, *self.log]

    async def move_to(self, other: str, *, fails: bool = False) -> None:
        await SEATS[other].cast(Seat.note, f"from {self.user}")
        await SEATS[other].cast(Seat.note, "again")
        self.user = ""
        if fails:
            raise LookupError

    async def show_place(self) -> tuple[str, float]:
        return self.key, self.now()

    async def note(self, text: str) -> None:
        self.log.append(text)

    async def flood(self) -> None:
        for _ in range(65):
            await SEATS["b"].cast(Seat.note, "")


@attrs.define(eq=False)
class EmptySeat(Entity):
    pass


SEATS = Entities("seat", Seat)
BELLS = Entities("bell", Seat, doorbell=True)
FAILURES = list[float]()
KILLS = list[Callable[[], None]]()


# -- alarms


@virtual_time
async def test_an_alarm_runs_at_its_time() -> None:
    async with started() as store:
        await SEATS["a"].call(Seat.reserve, "bob")
        await trio.sleep(599)
        assert await SEATS["a"].call(Seat.show) == ["bob"]
        await trio.sleep(2)
        assert await SEATS["a"].call(Seat.show) == ["", "released bob"]
        assert not store.alarms


@virtual_time
async def test_an_alarm_of_a_method_that_refuses_or_is_cancelled_does_not_run() -> None:
    async with started():
        await SEATS["a"].call(Seat.reserve, "bob")
        await trio.sleep(300)
        with pytest.raises(Taken):
            await SEATS["a"].call(Seat.reserve, "eve")
        await SEATS["a"].call(Seat.confirm)
        await trio.sleep(1000)
        assert await SEATS["a"].call(Seat.show) == ["bob"]


@virtual_time
async def test_an_alarm_that_is_moved_runs_once_at_its_last_time() -> None:
    async with started() as store:
        await SEATS["a"].call(Seat.plan, 100, 9999)
        await SEATS["a"].call(Seat.plan, 500, 9999)
        # A later time needs no other ring.
        assert [alarm.due for alarm in store.alarms] == [100_000]
        await SEATS["a"].call(Seat.plan, 50, 9999)
        await SEATS["a"].call(Seat.plan, 300, 9999)
        await trio.sleep(299)
        assert await SEATS["a"].call(Seat.show) == [""]
        await trio.sleep(2)
        assert await SEATS["a"].call(Seat.show) == ["", "reminded"]


@virtual_time
async def test_an_alarm_is_that_of_the_class_which_has_set_it() -> None:
    # Two functions in one process of tests.
    boxes, other = Entities("box", Seat), Entities("box", EmptySeat)
    async with started():
        await boxes["a"].call(Seat.reserve, "bob")
        await trio.sleep(601)
        assert await boxes["a"].call(Seat.show) == ["", "released bob"]
    assert other.kind == "box"


@virtual_time
async def test_an_entity_knows_its_key_and_the_time() -> None:
    async with started():
        await trio.sleep(1.5)
        assert await SEATS["row/7A"].call(Seat.show_place) == ("row/7A", 1.5)
    with pytest.raises(RuntimeError, match="while a message runs"):
        Seat().now()


@virtual_time
async def test_an_alarm_outlives_its_sandbox() -> None:
    store = MemoryStore()
    async with started(store):
        await SEATS["a"].call(Seat.reserve, "bob")
    await trio.sleep(1000)
    async with started(store):
        await trio.sleep(1)
        assert await SEATS["a"].call(Seat.show) == ["", "released bob"]


@virtual_time
async def test_an_alarm_that_raises_is_tried_three_times_and_set_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    FAILURES.clear()
    async with started():
        await SEATS["a"].call(Seat.plan, 10, 10)
        await trio.sleep(200)
        assert await SEATS["a"].call(Seat.show) == ["", "reminded"]
    assert pytest.approx([10.0, 10.1, 10.5]) == FAILURES
    assert "seat/a: a fail failed" in caplog.text


@virtual_time
async def test_an_alarm_that_ends_its_sandboxes_is_set_aside() -> None:
    async with entity_world() as world:
        await world.sandbox().run(SEATS["a"].call, Seat.plan_end)
        world.store.alarms.clear()
        await trio.sleep(61)
        killed = 0
        for _ in range(9):
            sandbox = world.sandbox()
            KILLS[:] = [partial(world.kill, sandbox)]
            with suppress(SandboxKilled, EntityCrashed):
                await sandbox.run(ring, "seat/a", 61_000)
            killed += not KILLS
        assert killed == 3
        assert await world.sandbox().run(SEATS["a"].call, Seat.show) == ["", "reminded"]


@virtual_time
async def test_an_alarm_that_cannot_be_scheduled_fails_its_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(self: MemoryStore, alarm: Alarm) -> None:
        raise OSError("no scheduler")

    monkeypatch.setattr(MemoryStore, "add_alarm", refuse)
    async with started():
        with pytest.raises(EntityCrashed, match=r"no ring for the alarms of seat/a: no scheduler"):
            await SEATS["a"].call(Seat.reserve, "bob")
        assert await SEATS["a"].call(Seat.show) == [""]


@virtual_time
async def test_a_ring_that_is_lost_is_scheduled_again_by_the_next_message() -> None:
    async with started() as store:
        await SEATS["a"].call(Seat.reserve, "bob", 60)
        store.alarms.clear()
        await trio.sleep(300)
        await SEATS["a"].call(Seat.show)
        await trio.sleep(1)
        assert await SEATS["a"].call(Seat.show) == ["", "released bob"]


@virtual_time
async def test_a_ring_in_vain_changes_nothing() -> None:
    async with started():
        await SEATS["a"].call(Seat.reserve, "bob")
        for _ in range(3):
            await ring("seat/a", 1000)
        assert await SEATS["a"].call(Seat.show) == ["bob"]
        with pytest.raises(LookupError, match="import their module"):
            await ring("nobody/a", None)


@virtual_time
async def test_a_wrong_alarm_is_refused() -> None:
    seat, method = Seat(), Seat.remind
    with pytest.raises(RuntimeError, match="while a message runs"):
        seat.send_after(1, method)
    with pytest.raises(ValueError, match="from 0 on, got -1"):
        seat.send_after(-1, method)
    wrong: Any = seat
    with pytest.raises(TypeError, match=r"a method of Seat, as Seat\.sleep, got"):
        wrong.send_after(1, trio.sleep)
    with pytest.raises(TypeError, match="missing a required argument: 'text'"):
        wrong.send_after(1, Seat.note)


# -- on Lambda


def test_a_schedule_rings_this_function_at_the_next_minute() -> None:
    due = LambdaRings().time_of(1764670530_500, 0)
    environment = {"OKIBI_ENTITIES_ROLE": "arn:role", "OKIBI_ENTITIES_GROUP": "shop"}
    found = schedule_of(Alarm(due, "seat/a"), "arn:function", environment)
    assert found.pop("Name").startswith("okibi-")
    assert found == {
        "GroupName": "shop",
        "ScheduleExpression": "at(2025-12-02T10:16:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:function",
            "RoleArn": "arn:role",
            "Input": '{"okibi.entities": {"key": "seat/a", "due": 1764670560000}}',
        },
    }
    with pytest.raises(RuntimeError, match="OKIBI_ENTITIES_ROLE is not set"):
        schedule_of(Alarm(due, "seat/a"), "arn:function", {})
    # An alarm that is due now is some seconds ahead, also by a clock that is behind.
    assert LambdaRings().time_of(0, 57_000) == 120_000
    assert LambdaRings().time_of(0, 49_000) == 120_000


# -- casts and doorbells


@virtual_time
async def test_a_cast_by_an_entity_is_sent_with_its_state() -> None:
    async with started() as store:
        await SEATS["a"].call(Seat.reserve, "bob")
        await SEATS["a"].call(Seat.move_to, "b")
        assert [mail.number for mail in store.rows["seat/b"].mail] == [0, 0]
        assert await SEATS["b"].call(Seat.show) == ["", "from bob", "again"]
        with pytest.raises(EntityCrashed):
            await SEATS["b"].call(Seat.move_to, "c", fails=True)
        assert "seat/c" not in store.rows


@virtual_time
async def test_an_entity_may_cast_to_itself() -> None:
    async with started():
        await SEATS["a"].call(Seat.move_to, "a")
        assert await SEATS["a"].call(Seat.show) == ["", "from ", "again"]


@virtual_time
async def test_a_cast_to_a_full_mailbox_waits_in_the_outbox(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("okibi.entities.operations.MOST_MAIL", 2)
    async with started() as store:
        await SEATS["b"].cast(Seat.note, "first")
        await SEATS["a"].call(Seat.move_to, "b")
        assert len(store.rows["seat/a"].outbox) == 1
        assert "seat/a: a message to seat/b waits: its mail is full" in caplog.text
        assert await SEATS["b"].call(Seat.show) == ["", "first", "from "]
        # The next message of the sender sends it.
        await SEATS["a"].call(Seat.show)
        assert await SEATS["b"].call(Seat.show) == ["", "first", "from ", "again"]
        monkeypatch.undo()
        with pytest.raises(EntityCrashed, match="casts 64 times at most"):
            await SEATS["a"].call(Seat.flood)


@virtual_time
async def test_who_finds_a_full_mailbox_without_an_owner_runs_it() -> None:
    async with started() as store:
        for number in range(260):
            await SEATS["a"].cast(Seat.note, f"{number}")
        assert len(store.rows["seat/a"].mail) == 4
        assert await SEATS["a"].call(Seat.show) == ["", *map(str, range(260))]


@virtual_time
async def test_a_cast_that_raises_is_tried_three_times_and_set_aside() -> None:
    FAILURES.clear()
    async with started() as store:
        await SEATS["a"].cast(Seat.fail)
        assert await SEATS["a"].call(Seat.show) == [""]
        assert pytest.approx([0.0, 0.1, 0.5], abs=0.05) == FAILURES
        assert [mail.body for mail in store.rows["seat/a"].dead] == ['["fail",[],{},[],"cast"]']
        for _ in range(20):
            await SEATS["a"].cast(Seat.fail)
        await SEATS["a"].call(Seat.show)
        assert len(store.rows["seat/a"].dead) == 16


@virtual_time
async def test_a_doorbell_has_mail_run_soon() -> None:
    async with started() as store:
        await SEATS["a"].cast(Seat.remind)
        await BELLS["a"].cast(Seat.remind)
        await trio.sleep(1)
        assert store.rows["seat/a"].mail
        assert not store.rows["bell/a"].mail
        assert await BELLS["a"].call(Seat.show) == ["", "reminded"]


def test_a_ring_without_a_time_is_a_doorbell() -> None:
    assert ring_of("bell/a") == {"okibi.entities": {"key": "bell/a"}}
