"""A worker and its instances: what is replaced, what is answered, what counts."""

import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ExitReason, Ref, StartError, start
from runtime.context import Context
from runtime.delivery import Delivery, State
from runtime.handler import Handler, Instance, Plain, event_type
from runtime.lane import Lane
from runtime.ledger import Ledger
from runtime.marshal import decoder_for
from runtime.worker import REPLACED_GRACE, Worker
from tests.runtime.stage import SETTINGS, delivery, ledger_of

LOG: list[str] = []
UNRAISABLE = "ignore::pytest.PytestUnraisableExceptionWarning"


@attrs.frozen
class Event:
    do: str = "echo"


@attrs.define(eq=False)
class Player(Handler[Event]):
    """Does what the event says, and logs its life."""

    made: ClassVar[int] = 0
    fails: ClassVar[set[int]] = set()
    number: int = attrs.field(init=False)

    async def init(self) -> None:
        Player.made += 1
        self.number = Player.made
        if self.number in self.fails:
            raise ConnectionError("no database")
        LOG.append(f"init {self.number}")
        self.nursery.start_soon(self._beside)

    async def _beside(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            LOG.append(f"task of {self.number} ends")

    async def handle(self, event: Event, context: Context) -> object:
        match event.do:
            case "raise":
                raise ValueError("no")
            case "exit":
                raise SystemExit(3)
            case "exit in a group":
                raise BaseExceptionGroup("two", [SystemExit(3), trio.TooSlowError()])
            case "sleep":
                await trio.sleep_forever()
            case "object":
                return object()
            case "crash beside":
                self.nursery.start_soon(self._crash)
                await trio.sleep_forever()
            case "interrupt":
                raise KeyboardInterrupt
        return self.number

    async def _crash(self) -> None:
        raise LookupError("beside")

    async def terminate(self, reason: ExitReason) -> None:
        LOG.append(f"terminate {self.number} {reason.kind}")


@pytest.fixture(autouse=True)
def fresh() -> None:
    LOG.clear()
    Player.made = 0
    Player.fails = set()


@attrs.define(eq=False)
class Bench:
    """One worker and one lane."""

    ledger: Ledger
    worker: Ref[Any]

    @property
    def lane(self) -> Lane:
        return self.ledger.lanes[0]

    async def give(self, body: bytes, **fields: Any) -> Delivery:
        """Hand over an event and wait until nothing more happens."""
        made = self.lane.delivery = delivery(body, **fields)
        assert made.assign(self.worker)
        self.worker.send_nowait((self.lane, made))
        await wait_all_tasks_blocked()
        return made

    async def tell(self, do: str, **fields: Any) -> Any:
        """Have the handler do something; what it was answered with."""
        return answer(await self.give(json.dumps({"do": do}).encode(), **fields))


def answer(made: Delivery) -> Any:
    assert made.outcome is not None
    return json.loads(made.outcome.body)


async def bench(nursery: trio.Nursery, make: Callable[[], Instance] = Player) -> Bench:
    ledger = ledger_of()
    kind = decoder_for(event_type(Player) if make is Player else Any)
    factory = partial(Worker, ledger, SETTINGS, make, kind, make is Player)
    return Bench(ledger, await start(nursery, factory, path="/worker"))


async def test_one_instance_serves_many_events(nursery: trio.Nursery) -> None:
    stage = await bench(nursery)

    assert [await stage.tell("echo") for _ in range(3)] == [1, 1, 1]
    assert LOG == ["init 1"]
    assert stage.worker in stage.ledger.ready


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ("raise", "ValueError"),
        ("exit", "SystemExit"),
        ("exit in a group", "BaseExceptionGroup"),
        ("interrupt", "KeyboardInterrupt"),
    ],
)
async def test_after_an_error_the_instance_is_replaced_and_the_worker_lives(
    do: str, kind: str, nursery: trio.Nursery
) -> None:
    stage = await bench(nursery)

    assert (await stage.tell(do))["errorType"] == kind

    assert LOG == ["init 1", "task of 1 ends", "terminate 1 crashed", "init 2"]
    assert stage.worker.alive
    assert stage.worker in stage.ledger.ready
    assert await stage.tell("echo") == 2


async def test_at_the_deadline_it_is_answered_and_the_instance_replaced(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await bench(nursery)
    made = await stage.give(b'{"do": "sleep"}', due=trio.current_time() + 1.0)

    await trio.sleep(0.89)
    assert made.state is State.RUNNING
    await trio.sleep(0.02)

    told = answer(made)
    assert told["errorType"] == "Runtime.DeadlineExceeded"
    assert told["errorMessage"].endswith(", in handle")
    assert told["stackTrace"][-1].endswith("    await trio.sleep_forever()\n")
    assert LOG == ["init 1", "task of 1 ends", "terminate 1 crashed", "init 2"]
    assert await stage.tell("echo") == 2


async def test_what_it_answers_although_it_was_cancelled_is_the_answer(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def stubborn(event: object, context: Context) -> object:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "at last"

    stage = await bench(nursery, lambda: Plain(stubborn, None, print))
    made = await stage.give(b"1", due=trio.current_time() + 1.0)
    await trio.sleep(1)

    assert answer(made) == "at last"


async def test_a_deadline_that_passes_while_no_event_is_there_ends_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await bench(nursery)
    for expected in (1, 1, 1):
        assert await stage.tell("echo", due=trio.current_time() + 1.0) == expected
        await trio.sleep(3600)

    assert await stage.tell("echo", due=trio.current_time() + 1.0) == 1
    assert LOG == ["init 1"]


async def test_an_event_that_comes_as_the_deadline_of_the_last_one_passes_has_all_its_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await bench(nursery)
    await stage.tell("echo", due=trio.current_time() + 1.0)
    # In one step: the message is on its way to the worker, and its scope rings.
    autojump_clock.jump(5)
    made = await stage.give(b'{"do": "sleep"}', due=trio.current_time() + 1.0)
    assert made.state is State.RUNNING
    await trio.sleep(0.85)
    assert made.state is State.RUNNING
    await trio.sleep(0.1)

    assert answer(made)["errorType"] == "Runtime.DeadlineExceeded"


def left_open(how: str, kept: list[object]) -> Callable[[Any, Context], Any]:
    """A handler that leaves what a generator has open around its `yield`."""

    async def numbers() -> AsyncIterator[int]:
        with trio.move_on_after(5, shield=how == "shield"):
            yield 1

    async def handle(event: Any, context: Context) -> object:
        if event == "leave":
            made = numbers()
            kept.append(made)
            await anext(made)
        elif event:
            await trio.sleep(event)
        return event

    return handle


@pytest.mark.parametrize("how", ["scope", "shield"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", UNRAISABLE)
async def test_what_a_handler_leaves_open_is_its_own_event_s_error_and_no_other_s(
    how: str, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept: list[object] = []
    stage = await bench(nursery, lambda: Plain(left_open(how, kept), None, print))

    guilty = await stage.give(b'"leave"', due=trio.current_time() + 30)
    assert answer(guilty)["errorType"] == "RuntimeError"
    assert "Cancel scope stack corrupted" in answer(guilty)["errorMessage"]

    innocent = await stage.give(b"8", due=trio.current_time() + 30)
    await trio.sleep(9)
    assert answer(innocent) == 8
    late = await stage.give(b"50", due=trio.current_time() + 10)
    await trio.sleep(11)
    assert answer(late)["errorType"] == "Runtime.DeadlineExceeded"
    stage.worker.kill()
    with trio.fail_after(1):
        await stage.worker.wait()


async def test_where_trio_keeps_its_scopes_elsewhere_each_event_has_one_of_its_own(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.scopes._KNOWN", False)
    stage = await bench(nursery)

    assert [await stage.tell("echo", due=trio.current_time() + 1) for _ in range(3)] == [1, 1, 1]
    assert (await stage.tell("raise"))["errorType"] == "ValueError"
    made = await stage.give(b'{"do": "sleep"}', due=trio.current_time() + 1)
    await trio.sleep(1)
    assert answer(made)["errorType"] == "Runtime.DeadlineExceeded"


async def test_a_plain_function_is_held_to_its_deadline_again_and_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def waits(event: Any, context: Context) -> object:
        await trio.sleep(event)
        return event

    stage = await bench(nursery, lambda: Plain(waits, None, print))
    kinds: list[Any] = []
    for seconds in (b"2", b"0", b"2", b"2", b"0"):
        made = await stage.give(seconds, due=trio.current_time() + 1.0)
        await trio.sleep(1)
        kinds.append(answer(made))

    late = "Runtime.DeadlineExceeded"
    assert [k if k == 0 else k["errorType"] for k in kinds] == [late, 0, late, late, 0]
    assert all("trio.sleep(event)" in k["stackTrace"][-1] for k in kinds if k != 0)


async def test_it_says_what_keeps_it_from_an_event(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Player):
        async def init(self) -> None:
            await trio.sleep(1)
            await super().init()

        async def handle(self, event: Event, context: Context) -> object:
            await trio.sleep_forever()

        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep(0.5)

    stage = await bench(nursery, Slow)
    worker = stage.worker.process().actor
    assert isinstance(worker, Worker)
    assert worker.doing == ""
    worker.stateful = True

    made = await stage.give(b"{}", due=trio.current_time() + 1.0)
    assert worker.doing == "at another event"
    await trio.sleep(1)
    assert not made.unsettled
    assert worker.doing == "in the terminate of an old instance"
    await trio.sleep(0.5)
    assert worker.doing == "in the init of a new instance"
    await trio.sleep(1)
    assert worker.doing == ""


async def test_the_answer_does_not_wait_for_the_new_instance(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Player):
        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep_forever()

    stage = await bench(nursery)
    stage.worker.process().actor.make = Slow  # type: ignore[union-attr]
    await stage.tell("raise")
    made = await stage.give(b'{"do": "raise"}')

    assert answer(made)["errorType"] == "ValueError"
    assert stage.worker not in stage.ledger.ready
    await trio.sleep(REPLACED_GRACE + 0.1)
    assert stage.worker in stage.ledger.ready
    assert await stage.tell("echo") == 3


async def test_a_task_of_the_instance_s_own_that_crashes_answers_what_runs_and_ends_the_instance(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    told = await stage.tell("crash beside")

    assert (told["errorType"], told["errorMessage"]) == ("LookupError", "beside")
    assert LOG == ["init 1", "task of 1 ends", "terminate 1 crashed", "init 2"]
    assert await stage.tell("echo") == 2


async def test_a_failing_init_at_the_start_fails_the_start(nursery: trio.Nursery) -> None:
    Player.fails = {1}

    with pytest.raises(StartError, match=r"/worker did not start: crashed.*no database"):
        await bench(nursery)
    assert LOG == []


async def test_a_failing_init_at_a_replacement_ends_the_worker() -> None:
    Player.fails = {2}

    async def life() -> None:
        async with trio.open_nursery() as nursery:
            stage = await bench(nursery)
            assert (await stage.tell("raise"))["errorType"] == "ValueError"
            assert stage.worker not in stage.ledger.ready

    with pytest.raises(ExceptionGroup) as caught:
        await life()
    assert caught.group_contains(ConnectionError, match="no database")


async def test_a_context_header_that_is_no_json_is_refused_and_the_instance_stays(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    told = await stage.tell("echo", headers={"lambda-runtime-client-context": "{"})

    assert told["errorType"] == "Runtime.LambdaContextUnmarshalError"
    assert told["errorMessage"].startswith("Unable to parse Client Context JSON: ")
    assert told["stackTrace"] == []
    assert await stage.tell("echo") == 1


async def test_an_event_that_does_not_fit_is_refused_and_the_instance_stays(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    told = answer(await stage.give(b'{"do": 5}'))

    assert told["errorType"] == "Runtime.UnmarshalError"
    assert "$.do" in told["errorMessage"]
    assert await stage.tell("echo") == 1


async def test_a_result_that_is_no_json_is_refused_and_the_instance_stays(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    told = await stage.tell("object")

    assert told["errorType"] == "Runtime.MarshalError"
    assert "Unable to marshal response" in told["errorMessage"]
    assert await stage.tell("echo") == 1


async def test_a_plain_function_is_not_replaced(nursery: trio.Nursery) -> None:
    made = list[Plain]()

    async def broken(event: object, context: Context) -> object:
        raise ValueError(event)

    def make() -> Instance:
        made.append(Plain(broken, None, print))
        return made[-1]

    stage = await bench(nursery, make)

    for _ in range(3):
        assert answer(await stage.give(b"7"))["errorType"] == "ValueError"
    assert len(made) == 1


async def test_what_is_not_its_own_is_not_run(nursery: trio.Nursery) -> None:
    stage = await bench(nursery)
    made = delivery(b"{}")

    stage.worker.send_nowait((stage.lane, made))
    await wait_all_tasks_blocked()

    assert made.state is State.RECEIVED
    assert made.begun == 0


async def test_stopped_it_answers_what_runs_and_terminates_its_instance(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)
    made = await stage.give(b'{"do": "sleep"}')

    stage.worker.stop()
    await stage.worker.wait()

    assert answer(made)["errorType"] == "Runtime.Stopped"
    assert LOG == ["init 1", "task of 1 ends", "terminate 1 shutdown"]
    assert stage.worker not in stage.ledger.ready


async def test_killed_it_leaves_the_answer_to_the_dispatcher(nursery: trio.Nursery) -> None:
    stage = await bench(nursery)
    made = await stage.give(b'{"do": "sleep"}')

    stage.worker.kill()
    await stage.worker.wait()

    assert made.state is State.RUNNING
    assert LOG == ["init 1", "task of 1 ends"]
    assert stage.worker not in stage.ledger.ready


async def test_a_terminate_that_raises_is_logged_and_no_more(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Player):
        async def terminate(self, reason: ExitReason) -> None:
            raise OSError("cannot close")

    stage = await bench(nursery)
    stage.worker.process().actor.make = Bad  # type: ignore[union-attr]
    await stage.tell("raise")
    await stage.tell("raise")

    assert await stage.tell("echo") == 3
    assert "/worker: terminate of its handler crashed" in caplog.text


async def test_an_event_for_an_instance_that_is_replaced_meanwhile_goes_to_its_successor(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)
    first = stage.lane.delivery = delivery(b'{"do": "raise"}')
    second = delivery(b"{}")
    for made in (first, second):
        assert made.assign(stage.worker)
        stage.worker.send_nowait((stage.lane, made))
    await wait_all_tasks_blocked()

    assert answer(first)["errorType"] == "ValueError"
    assert answer(second) == 2
