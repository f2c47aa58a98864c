"""A worker: its instances, the outcomes of its events, its context variables."""

import gc
import weakref
from collections.abc import AsyncIterator, Awaitable
from contextvars import ContextVar
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import ExitReason, StartError
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import AsyncHandler, Instance
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.logs.invocation_context import request_id
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.worker import REPLACED_GRACE, Worker
from tests.support.doubles import delivery
from tests.support.played_api import ACCEPTED, World, event, world
from tests.support.worker_bench import LOG, Event, Player, answer, bench, fresh

pytestmark = pytest.mark.usefixtures(fresh.__name__)

LARGE = b"a large response" * 100
USER = ContextVar[object]("USER", default="nobody")


async def serve_three(made: World) -> None:
    """Serve three events and accept their responses."""
    for n in range(3):
        await made.say(event(f"id-{n}"))
        made.wire.taken()
        await made.say(ACCEPTED)


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
async def test_after_an_error_the_instance_is_replaced_not_the_worker(
    do: str, kind: str, nursery: trio.Nursery
) -> None:
    stage = await bench(nursery)

    assert (await stage.tell(do))["errorType"] == kind

    assert LOG == ["init 1", "task of 1 ends", "terminate 1 crashed", "init 2"]
    assert stage.worker.alive
    assert stage.worker in stage.ledger.ready
    assert await stage.tell("echo") == 2


async def test_a_result_returned_despite_the_cancellation_counts(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def stubborn(event: object, context: Context) -> object:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "at last"

    stage = await bench(nursery, lambda: AsyncHandler(stubborn))
    made = await stage.give(b"1", due=trio.current_time() + 1.0)
    await trio.sleep(1)

    assert answer(made) == "at last"


async def test_doing_says_what_keeps_a_worker_from_an_event(
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


async def test_the_response_does_not_wait_for_the_new_instance(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Player):
        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep_forever()

    stage = await bench(nursery)
    stage.worker.process().actor._lifecycle.create = Slow  # type: ignore[union-attr]
    await stage.tell("raise")
    made = await stage.give(b'{"do": "raise"}')

    assert answer(made)["errorType"] == "ValueError"
    assert stage.worker not in stage.ledger.ready
    await trio.sleep(REPLACED_GRACE + 0.1)
    assert stage.worker in stage.ledger.ready
    assert await stage.tell("echo") == 3


async def test_a_crashed_background_task_fails_the_event_and_the_instance(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    error = await stage.tell("crash beside")

    assert (error["errorType"], error["errorMessage"]) == ("LookupError", "beside")
    assert LOG == ["init 1", "task of 1 ends", "terminate 1 crashed", "init 2"]
    assert await stage.tell("echo") == 2


async def test_an_error_in_the_first_init_fails_the_worker_s_start(nursery: trio.Nursery) -> None:
    Player.fails = {1}

    with pytest.raises(StartError, match=r"/worker did not start: crashed.*no database"):
        await bench(nursery)
    assert LOG == []


async def test_an_init_without_async_is_named(nursery: trio.Nursery) -> None:
    class Forgotten(Player):
        def init(self) -> None:  # type: ignore[override]
            """`async` was forgotten."""

    with pytest.raises(StartError, match=r"Forgotten\.init must be an `async def`"):
        await bench(nursery, cast("Any", Forgotten))


async def test_a_terminate_without_async_is_named(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgotten(Player):
        async def handle(self, event: Event, context: Context) -> object:
            raise ValueError

        def terminate(self, reason: ExitReason) -> None:  # type: ignore[override]
            LOG.append("terminate")

    stage = await bench(nursery, cast("Any", Forgotten), stateful=True)
    await stage.give(b"{}")

    assert "terminate" in LOG
    assert "Forgotten.terminate must be an `async def`" in caplog.text


async def test_an_init_may_be_a_def_that_returns_an_awaitable(nursery: trio.Nursery) -> None:
    class Indirect(Player):
        def init(self) -> Awaitable[None]:  # type: ignore[override]
            return super().init()

    await bench(nursery, cast("Any", Indirect))

    assert LOG == ["init 1"]


async def test_a_later_init_that_fails_is_tried_again_for_each_event(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    Player.fails = {2, 3, 4}
    stage = await bench(nursery)
    assert (await stage.tell("raise"))["errorType"] == "ValueError"

    for _ in range(2):
        assert stage.worker in stage.ledger.ready
        error = await stage.tell("echo")
        assert (error["errorType"], error["errorMessage"]) == ("ConnectionError", "no database")
        assert "in init" in error["stackTrace"][0]
    assert await stage.tell("echo") == 5
    assert await stage.tell("echo") == 5

    (record,) = caplog.records
    assert record.getMessage() == (
        "/worker: the init of a new instance failed; each event tries again"
    )
    assert stage.worker.incarnation == 1


class Unreachable(Exception): ...


async def test_an_init_that_is_tried_again_logs_for_its_event_and_keeps_no_error(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, errors = list[str](), list[weakref.ref[BaseException]]()
    init = Player.init

    async def recording(self: Player) -> None:
        seen.append(request_id())
        try:
            await init(self)
        except ConnectionError:
            error = Unreachable()
            errors.append(weakref.ref(error))
            try:
                raise error from None
            finally:
                del error

    monkeypatch.setattr(Player, "init", recording)
    Player.fails = {2, 3, 4}
    stage = await bench(nursery)
    gc.disable()
    try:
        for name in "abcd":
            await stage.tell("raise" if name == "a" else "echo", request_id=name)
        # The log has the first.
        assert [each() for each in errors[1:]] == [None, None]
    finally:
        gc.enable()

    assert seen[1:] == ["a", "b", "c", "d"]


async def test_a_bad_context_header_keeps_the_instance(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    error = await stage.tell("echo", headers={"lambda-runtime-client-context": "{"})

    assert error["errorType"] == "Runtime.LambdaContextUnmarshalError"
    assert error["errorMessage"].startswith("Unable to parse Client Context JSON: ")
    assert error["stackTrace"] == []
    assert await stage.tell("echo") == 1


async def test_an_event_of_the_wrong_type_keeps_the_instance(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    error = answer(await stage.give(b'{"do": 5}'))

    assert error["errorType"] == "Runtime.UnmarshalError"
    assert "$.do" in error["errorMessage"]
    assert await stage.tell("echo") == 1


async def test_a_result_that_is_no_json_keeps_the_instance(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)

    error = await stage.tell("object")

    assert error["errorType"] == "Runtime.MarshalError"
    assert "Unable to marshal response" in error["errorMessage"]
    assert await stage.tell("echo") == 1


async def test_a_plain_function_is_not_replaced(nursery: trio.Nursery) -> None:
    made = list[AsyncHandler]()

    async def broken(event: object, context: Context) -> object:
        raise ValueError(event)

    def make() -> Instance:
        made.append(AsyncHandler(broken))
        return made[-1]

    stage = await bench(nursery, make)

    for _ in range(3):
        assert answer(await stage.give(b"7"))["errorType"] == "ValueError"
    assert len(made) == 1


async def test_a_delivery_that_is_not_assigned_is_not_run(nursery: trio.Nursery) -> None:
    stage = await bench(nursery)
    made = delivery(b"{}")

    stage.worker.send_nowait((stage.lane, made))
    await wait_all_tasks_blocked()

    assert made.state is DeliveryState.RECEIVED
    assert made.begun == 0


async def test_a_stopped_worker_settles_its_event_and_calls_terminate(
    nursery: trio.Nursery,
) -> None:
    stage = await bench(nursery)
    made = await stage.give(b'{"do": "sleep"}')

    stage.worker.stop()
    await stage.worker.wait()

    assert answer(made)["errorType"] == "Runtime.Stopped"
    assert LOG == ["init 1", "task of 1 ends", "terminate 1 shutdown"]
    assert stage.worker not in stage.ledger.ready


async def test_an_error_in_terminate_is_only_logged(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Player):
        async def terminate(self, reason: ExitReason) -> None:
            raise OSError("cannot close")

    stage = await bench(nursery)
    stage.worker.process().actor._lifecycle.create = Bad  # type: ignore[union-attr]
    await stage.tell("raise")
    await stage.tell("raise")

    assert await stage.tell("echo") == 3
    assert "/worker: terminate of its handler crashed" in caplog.text


async def test_an_event_assigned_during_a_replacement_gets_the_new_instance(
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


async def test_the_last_response_is_freed_before_the_next_handler_runs() -> None:
    def kept() -> int:
        return sum(LARGE in each.body for each in gc.get_objects() if type(each) is Outcome)

    alive = list[int]()

    async def handler(event: object, context: Context) -> str:
        alive.append(kept())
        return LARGE.decode()

    async with world() as made:
        await made.serves(handler)
        await serve_three(made)
        alive.append(kept())

    assert alive == [0, 0, 0, 0]


class NeverEqual:
    """A value whose `==` raises, like an array's."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("set_to", ["alice", NeverEqual()])
@pytest.mark.parametrize("fails", [False, True])
async def test_context_variables_of_a_handler_end_with_its_event(
    set_to: object, fails: bool, nursery: trio.Nursery
) -> None:
    seen = list[object]()
    before = NeverEqual() if isinstance(set_to, NeverEqual) else "nobody"
    USER.set(before)

    async def handler(event: object, context: Context) -> None:
        seen.append(USER.get())
        USER.set(set_to)
        if fails:
            raise ValueError

    stage = await bench(nursery, lambda: AsyncHandler(handler))
    for _ in range(3):
        await stage.give(b"{}")

    assert [each is before for each in seen] == [True] * 3


async def test_context_variables_do_not_reach_the_next_instance(
    nursery: trio.Nursery,
) -> None:
    seen = list[object]()

    class Named(Player):
        async def init(self) -> None:
            seen.append(USER.get())

        async def handle(self, event: Event, context: Context) -> object:
            USER.set("alice")
            raise ValueError

        async def terminate(self, reason: ExitReason) -> None:
            seen.append(USER.get())

    stage = await bench(nursery, Named, stateful=True)
    for _ in range(2):
        await stage.give(b"{}")

    assert seen == ["nobody"] * 5


async def test_context_variables_set_in_init_are_there_at_each_event(nursery: trio.Nursery) -> None:
    seen = list[object]()

    class Named(Player):
        async def init(self) -> None:
            USER.set("of init")

        async def handle(self, event: Event, context: Context) -> object:
            seen.append(USER.get())
            USER.set("of handle")
            return 1

    stage = await bench(nursery, Named)
    for _ in range(3):
        await stage.tell("echo")

    assert seen == ["of init"] * 3


async def test_context_variables_of_a_stream_end_with_its_event() -> None:
    seen = list[object]()

    async def handler(event: object, context: Context) -> AsyncIterator[str]:
        seen.append(USER.get())
        USER.set("alice")
        yield "a piece"

    async with world() as made:
        await made.serves(handler)
        await serve_three(made)

    assert seen == ["nobody"] * 3
