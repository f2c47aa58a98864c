"""StateMachine: the rules that neither OTP's recordings nor the random programs show."""

import enum
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    CallCycle,
    Down,
    MailboxFull,
    MailboxPolicy,
    Pending,
    Ref,
    Refusal,
    Result,
    Server,
    StartError,
    StateMachine,
    debug,
    start,
    stop,
)
from okibi.supervisors import Task, TaskSupervisor, TaskSupervisorSpec, supervise


class Door(enum.Enum):
    CLOSED = "closed"
    OPEN = "open"


@attrs.define(eq=False)
class Lock(StateMachine[Door]):
    """A door. What passes through it waits until it is open."""

    initial = Door.CLOSED
    mailbox = MailboxPolicy(capacity=2)

    seen: list[object] = attrs.Factory(list)

    async def open(self) -> None:
        self.change(Door.OPEN)

    async def close(self) -> None:
        self.change(Door.CLOSED)
        raise Refusal("it is closed now")

    async def go_through(self, who: str) -> str:
        if self.state is Door.CLOSED:
            self.postpone()
        self.seen.append(who)
        return f"{who} is through"

    async def knock(self) -> None:
        try:
            async with trio.open_nursery():
                self.postpone()
        except Exception:
            self.seen.append("never")

    async def ring(self, other: "Ref[Bell]") -> None:
        with pytest.raises(CallCycle):
            await other.call(Bell.ring_back)
        self.change(Door.OPEN)

    async def monitor_once(self, watched: Any) -> None:
        self.state_monitor(watched)

    async def handle_info(self, message: object) -> None:
        if message == "postpone":
            self.postpone()
        self.seen.append(message)


@attrs.define(eq=False)
class Bell(Server):
    lock: Ref[Lock]

    async def ring_back(self) -> None:
        await self.lock.call(Lock.go_through, "bell")


class Oven(Server):
    async def bake(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "bread"


async def seen(lock: Ref[Lock]) -> list[object]:
    await wait_all_tasks_blocked()
    state = await debug.get_state(lock)
    found: list[object] = state["seen"]
    return found


# -- classes


@pytest.mark.parametrize("name", ["change", "postpone", "state", "state_monitor", "state_timeout"])
def test_a_class_cannot_define_a_verb_of_its_own(name: str) -> None:
    with pytest.raises(TypeError, match=f"^Gate defines `{name}`, a name that StateMachine uses"):
        type("Gate", (StateMachine,), {name: None})


def test_a_field_named_state_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Gate defines `state`, a name that Stat"):

        @attrs.define(eq=False)
        class Gate(StateMachine[Door]):
            state: Door


async def test_a_machine_without_a_first_state_does_not_start(nursery: trio.Nursery) -> None:
    class Gate(StateMachine[Door]): ...

    with pytest.raises(StartError, match="Gate needs a first state: set `initial`"):
        await start(nursery, Gate)


async def test_a_change_in_init_goes_before_initial(nursery: trio.Nursery) -> None:
    class Gate(Lock):
        async def init(self) -> None:
            with pytest.raises(RuntimeError, match="Gate has no state before `init` returns"):
                _ = self.state
            self.change(Door.OPEN)

    gate = await start(nursery, Gate)

    assert await gate.call(Gate.go_through, "bob") == "bob is through"
    await stop(gate)


async def test_a_change_in_init_can_be_the_first_state(nursery: trio.Nursery) -> None:
    class Gate(StateMachine[str]):
        async def init(self) -> None:
            self.change("open")

        async def which(self) -> str:
            return self.state

    gate = await start(nursery, Gate)

    assert await gate.call(Gate.which) == "open"
    await stop(gate)


async def test_dataclasses_frozen_classes_and_fields_work(nursery: trio.Nursery) -> None:
    @dataclass(eq=False)
    class First(StateMachine[str]):
        initial: str = "open"

        async def which(self) -> str:
            return self.state

    @attrs.frozen(eq=False)
    class Second(StateMachine[str]):
        initial: str

        async def which(self) -> str:
            return self.state

    first, second = await start(nursery, First), await start(nursery, lambda: Second("half"))

    assert await first.call(First.which) == "open"
    assert await second.call(Second.which) == "half"
    await stop(first)
    await stop(second)


@pytest.mark.parametrize("name", ["change", "enter", "postpone", "state_timeout"])
async def test_hooks_and_verbs_are_no_messages(nursery: trio.Nursery, name: str) -> None:
    lock = await start(nursery, Lock)

    with pytest.raises(TypeError, match=f"has no message {name}: it is a hook or a verb"):
        await lock.call(getattr(Lock, name), Door.OPEN)

    assert (await debug.get_state(lock))["state"] is Door.CLOSED
    await stop(lock)


# -- changes


async def test_enter_can_neither_change_the_state_nor_postpone(nursery: trio.Nursery) -> None:
    @attrs.define(eq=False)
    class Gate(Lock):
        async def enter(self, state: Door, previous: Door | None) -> None:
            with pytest.raises(RuntimeError, match="`enter` cannot change the state: use state_ti"):
                self.change(Door.OPEN)
            with pytest.raises(RuntimeError, match="postpone is for messages, and none is being"):
                self.postpone()
            self.seen.append((state, previous))

    gate = await start(nursery, Gate)

    assert await seen(gate) == [(Door.CLOSED, None)]
    await stop(gate)


async def test_a_refusal_does_not_undo_the_change(nursery: trio.Nursery) -> None:
    lock = await start(nursery, Lock)
    await lock.call(Lock.open)

    with pytest.raises(Refusal):
        await lock.call(Lock.close)

    assert (await debug.get_state(lock))["state"] is Door.CLOSED
    await stop(lock)


async def test_the_last_change_of_a_method_counts(nursery: trio.Nursery) -> None:
    @attrs.define(eq=False)
    class Gate(Lock):
        async def swing(self, *states: Door) -> None:
            for state in states:
                self.change(state)
                self.state_timeout(0, Gate.creak, state)
            self.change(states[-1])

        async def creak(self, of: Door) -> None:
            self.seen.append(of)

        async def enter(self, state: Door, previous: Door | None) -> None:
            self.seen.append((state, previous))

    gate = await start(nursery, Gate)
    await gate.call(Gate.swing, Door.OPEN, Door.CLOSED)
    await gate.call(Gate.swing, Door.OPEN)

    assert await seen(gate) == [
        (Door.CLOSED, None),
        (Door.CLOSED, Door.CLOSED),
        Door.CLOSED,
        (Door.OPEN, Door.CLOSED),
        Door.OPEN,
    ]
    await stop(gate)


async def test_another_task_of_the_machine_may_change_its_state(nursery: trio.Nursery) -> None:
    lock = Lock()
    ref = await start(nursery, lambda: lock)
    pending = await ref.request(Lock.go_through, "bob")
    await wait_all_tasks_blocked()

    lock.change(Door.OPEN)

    assert await pending.result() == "bob is through"
    await stop(ref)


async def test_debug_shows_the_state_and_replaces_other_fields(nursery: trio.Nursery) -> None:
    lock = await start(nursery, Lock)

    await debug.replace_state(lock, lambda state: {**state, "seen": ["x"]})

    assert await debug.get_state(lock) == {"seen": ["x"], "state": Door.CLOSED}
    assert (await debug.get_status(lock)).state == {"seen": "list[1]", "state": "Door.CLOSED"}
    with pytest.raises(AttributeError, match="state"):
        await debug.replace_state(lock, lambda _: {"seen": [], "state": Door.OPEN})
    assert await debug.get_state(lock) == {"seen": ["x"], "state": Door.CLOSED}
    await stop(lock)


async def test_a_debugged_machine_keeps_its_rules(nursery: trio.Nursery) -> None:
    lock = await start(nursery, Lock)
    await debug.log(lock, 10)
    pending = await lock.request(Lock.go_through, "bob")
    await lock.send("postpone")

    await lock.call(Lock.open)

    assert await pending.result() == "bob is through"
    kinds = [event.kind for event in await debug.log(lock)]
    assert kinds == ["in", "in", "in", "reply", "in", "reply", "in"]
    await stop(lock)


# -- postponed messages


async def test_a_postponed_message_passes_nurseries_and_except_exception(
    nursery: trio.Nursery,
) -> None:
    lock = await start(nursery, Lock)
    await lock.cast(Lock.knock)

    assert await seen(lock) == []
    await stop(lock)


async def test_postponed_messages_are_bounded_by_the_capacity(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    lock = await start(nursery, Lock)
    for who in ("bob", "eve"):
        await lock.cast(Lock.go_through, who)
    await wait_all_tasks_blocked()

    with pytest.raises(MailboxFull, match=r"cannot postpone go_through\(\): 2 messages are postp"):
        await lock.call(Lock.go_through, "joe")
    await lock.send("postpone")
    await wait_all_tasks_blocked()
    await lock.call(Lock.open)

    assert "cannot postpone a message of type str: 2 messages are postponed" in caplog.text
    assert await seen(lock) == ["bob", "eve"]
    await stop(lock)


async def test_a_call_given_up_makes_space_for_another(nursery: trio.Nursery) -> None:
    lock = await start(nursery, Lock)
    await lock.cast(Lock.go_through, "bob")
    with trio.move_on_after(0):
        await lock.call(Lock.go_through, "never")
    pending = await lock.request(Lock.go_through, "given up")
    await wait_all_tasks_blocked()
    pending.abandon()
    await lock.cast(Lock.go_through, "eve")
    await wait_all_tasks_blocked()

    await lock.call(Lock.open)

    assert await seen(lock) == ["bob", "eve"]
    assert not lock.process().work.deferred_calls
    await stop(lock)


async def test_a_call_given_up_before_it_is_postponed_is_dropped(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Gate(Lock):
        async def go_through(self, who: str) -> str:
            await trio.sleep(2)
            return await super().go_through(who)

    gate = await start(nursery, Gate)
    for seconds in (1, 4):  # before and after the method has called `postpone`
        with trio.move_on_after(seconds):
            await gate.call(Gate.go_through, "never")
    await gate.call(Gate.open)

    assert await seen(gate) == []
    await stop(gate)


async def test_a_postponed_call_is_part_of_a_cycle_of_calls(nursery: trio.Nursery) -> None:
    lock = await start(nursery, Lock)
    bell = await start(nursery, lambda: Bell(lock))
    pending = await bell.request(Bell.ring_back)
    await wait_all_tasks_blocked()

    await lock.call(Lock.ring, bell)

    await pending.result()
    await stop(lock)
    await stop(bell)


async def test_an_error_in_handle_info_ends_the_machine() -> None:
    class Gate(Lock):
        async def handle_info(self, message: object) -> None:
            raise OSError("disk full")

    with pytest.RaisesGroup(OSError):
        async with trio.open_nursery() as nursery:
            gate = await start(nursery, Gate)
            await gate.send("anything")


# -- what belongs to a state


async def test_a_state_timeout_checks_its_arguments(nursery: trio.Nursery) -> None:
    class Gate(Lock):
        async def _later(self) -> None:
            self.seen.append("later")

        async def set(self) -> None:
            with pytest.raises(ValueError, match="needs seconds, got nan"):
                self.state_timeout(float("nan"), Gate.open)
            with pytest.raises(TypeError, match="pass the method of the class"):
                self.state_timeout(1, self.open)  # type: ignore[arg-type]
            assert not self.state_timeout(5, Gate.open).cancelled
            self.state_timeout(0, Gate._later)

    gate = await start(nursery, Gate)
    await gate.call(Gate.set)

    assert await seen(gate) == ["later"]
    await stop(gate)


def test_a_result_that_waits_is_dropped_by_a_change() -> None:
    @attrs.define(eq=False)
    class Baker(Lock):
        oven: Ref[Oven] = attrs.field(kw_only=True)

        async def order(self, postponed: bool) -> None:
            self.state_monitor(await self.oven.request(Oven.bake, 1))
            # The Result is in the mailbox when the state changes.
            await trio.sleep(2)
            self.change(Door.OPEN)
            if postponed:
                self.state_monitor(await self.oven.request(Oven.bake, 1))

        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Result)
            self.seen.append((self.state, message.value))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            oven = await start(nursery, Oven)
            baker = await start(nursery, lambda: Baker(oven=oven))
            await baker.call(Baker.order, False)
            await trio.sleep(5)
            assert await seen(baker) == []
            await baker.cast(Lock.close)
            await baker.call(Baker.order, True)
            await trio.sleep(5)
            assert await seen(baker) == [(Door.OPEN, "bread")]
            assert not baker.process().watchers
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_postponed_down_of_the_old_state_is_dropped(nursery: trio.Nursery) -> None:
    class Gate(Lock):
        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Down)
            self.seen.append(self.state)
            self.postpone()

    gate, oven = await start(nursery, Gate), await start(nursery, Oven)
    await gate.call(Gate.monitor_once, oven)
    await stop(oven)
    await wait_all_tasks_blocked()
    await gate.call(Gate.open)

    assert await seen(gate) == [Door.CLOSED]
    await stop(gate)


@pytest.mark.parametrize("ending", ["change", "stop", "kill"])
async def test_the_end_of_a_state_stops_its_tasks(nursery: trio.Nursery, ending: str) -> None:
    tasks = await supervise(nursery, TaskSupervisorSpec())
    lock = await start(nursery, Lock)
    task: Task[None] = await tasks.call(TaskSupervisor.start_task, trio.sleep_forever)
    await lock.call(Lock.monitor_once, task)
    assert not task.done

    if ending == "change":
        await lock.call(Lock.open)
    else:
        getattr(lock, ending)()

    assert (await task.ref.wait()).kind == "shutdown"
    await stop(lock)
    await stop(tasks)


async def test_the_end_of_a_state_leaves_actors_alone(nursery: trio.Nursery) -> None:
    lock, oven = await start(nursery, Lock), await start(nursery, Oven)
    await lock.call(Lock.monitor_once, oven)
    await lock.call(Lock.open)

    assert oven.alive
    await stop(oven)
    assert await seen(lock) == []
    await stop(lock)


async def test_monitors_that_have_fired_are_forgotten(nursery: trio.Nursery) -> None:
    machine, oven = Lock(), await start(nursery, Oven)
    lock = await start(nursery, lambda: machine)
    for _ in range(3):
        pending: Pending[str] = await oven.request(Oven.bake, 0)
        await lock.call(Lock.monitor_once, pending)
        await pending.result()
    await wait_all_tasks_blocked()

    assert len(machine.seen) == 3
    assert machine._state_record.monitors == {}
    await stop(lock)
    await stop(oven)


# -- imports


def test_a_function_without_a_machine_imports_none() -> None:
    code = "import sys, okibi; okibi.Server, okibi.Function, okibi.Child; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()

    assert "okibi.actors.server" in printed
    assert "okibi.actors.state_machine" not in printed
