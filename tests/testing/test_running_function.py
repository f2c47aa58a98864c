"""`running`: a function's tree in the test's own trio run."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from okibi import Child, Context, Function, Handler, Name, Refusal, Server, streaming
from okibi.actors import FREEZES, Freeze, NoProcess, StartError
from okibi.supervisors import SpecError
from okibi.testing import (
    FunctionError,
    FunctionTimedOut,
    context,
    function_engine,
    running,
    running_function,
    sample_event,
    virtual_time,
)
from okibi.web import ASGI
from tests.limits import HANG


class NoSuchCity(Refusal):
    pass


@attrs.define(eq=False)
class Visits(Server):
    seen: int = 0
    frozen: list[float] = attrs.Factory(list[float])

    async def init(self) -> None:
        self.monitor(FREEZES)

    async def visit(self) -> int:
        self.seen += 1
        return self.seen

    async def freezes(self) -> list[float]:
        return self.frozen

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Freeze):
            self.frozen.append(message.seconds)


VISITS = Name("visits", Visits)


@attrs.frozen
class Greeting:
    name: str


@attrs.define(eq=False)
class Greeter(Handler[Greeting]):
    async def handle(self, event: Greeting, context: Context) -> dict[str, object]:
        match event.name:
            case "slow":
                await trio.sleep(60)
            case "bad":
                raise ValueError("no such name")
            case "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep(60)
        return {"hello": event.name, "visit": await VISITS.call(Visits.visit)}


FUNCTION = Function(Greeter, children=[Child(Visits, name=VISITS)])


@virtual_time
async def run_once() -> None:
    async with running(FUNCTION):
        pass


# -- invocations


@virtual_time
async def test_a_handler_is_invoked_with_its_actors() -> None:
    async with running(FUNCTION) as app:
        await app.invoke({"name": "bob"})
        result = await app.invoke(Greeting("bob"))

    assert result == {"hello": "bob", "visit": 2}


async def test_pytest_trios_clock_is_enough(autojump_clock: trio.testing.MockClock) -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(FunctionTimedOut):
            await app.invoke({"name": "slow"})


@virtual_time
async def test_the_handlers_exception_is_the_cause() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(FunctionError, match=r"^ValueError: no such name$") as failed:
            await app.invoke({"name": "bad"}, request_id="id-1")

    error = failed.value
    assert isinstance(error.__cause__, ValueError)
    assert (error.error_type, error.message, error.request_id) == (
        "ValueError", "no such name", "id-1",
    )  # fmt: skip
    assert "in handle" in error.stack[-1]


@virtual_time
async def test_an_event_that_does_not_fit_is_an_error() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(FunctionError, match=r"Runtime.UnmarshalError.*`name`"):
            await app.invoke({"nome": "bob"})


@virtual_time
async def test_a_sleep_past_the_deadline_times_out_at_once() -> None:
    began = time.monotonic()
    async with running(FUNCTION, timeout=900) as app:
        before = trio.current_time()
        with pytest.raises(FunctionTimedOut, match=r"^Runtime\.DeadlineExceeded: "):
            await app.invoke({"name": "slow"}, timeout=30)
        took = trio.current_time() - before

    assert took == pytest.approx(29.9, abs=0.01)
    assert time.monotonic() - began < HANG


@virtual_time
async def test_a_shielded_handler_is_abandoned_and_answered() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(FunctionTimedOut):
            await app.invoke({"name": "shield"})

        assert await app.invoke({"name": "bob"}) == {"hello": "bob", "visit": 1}


@virtual_time
async def test_bytes_are_sent_and_received_unchanged() -> None:
    async def handler(event: object, context: Context) -> object:
        return b"no json: " + repr(event).encode()

    async with running(handler) as app:
        assert await app.invoke(b'{"a": 1}') == b"no json: {'a': 1}"


@virtual_time
async def test_the_context_has_what_the_invocation_says() -> None:
    async def handler(event: object, context: Context) -> object:
        client = context.client_context
        return {
            "name": context.function_name,
            "arn": context.invoked_function_arn.rpartition(":")[2],
            "memory": context.memory_limit_in_mb,
            "tenant": context.tenant_id,
            "id": context.aws_request_id,
            "client": client and client.custom,
        }

    async with running(handler, name="shop", memory=256) as app:
        result = await app.invoke(
            {}, tenant_id="blue", request_id="id-1", client_context={"custom": {"a": "b"}}
        )

    assert result == {
        "name": "shop", "arn": "shop", "memory": "256", "tenant": "blue", "id": "id-1",
        "client": {"a": "b"},
    }  # fmt: skip


@virtual_time
async def test_the_remaining_time_follows_virtual_time() -> None:
    async def handler(event: object, context: Context) -> list[int]:
        left = [context.get_remaining_time_in_millis()]
        await trio.sleep(2)
        return [*left, context.get_remaining_time_in_millis()]

    async with running(handler, timeout=10) as app:
        assert await app.invoke() == pytest.approx([10_000, 8_000], abs=2)


@virtual_time
async def test_a_context_for_a_direct_call_follows_virtual_time() -> None:
    async with running(FUNCTION):
        await trio.sleep(100)
        direct = context(remaining=2)
        await trio.sleep(1)

        assert direct.get_remaining_time_in_millis() == pytest.approx(1000, abs=2)
        assert (await Greeter().handle(Greeting("bob"), direct))["visit"] == 1


def count_down(event: float, context: Context) -> list[bool]:
    """Wait by the real clock, and tell whether the remaining time agrees."""
    left = [context.get_remaining_time_in_millis()]
    time.sleep(event)
    left.append(context.get_remaining_time_in_millis())
    return [0 < left[0] <= 60_000, left[0] - left[1] >= event * 1000 - 20]


async def count_down_in_thread(event: float, context: Context) -> list[bool]:
    return await trio.to_thread.run_sync(count_down, event, context)


async def count_down_on_asyncio(event: float, context: Context) -> list[bool]:
    import asyncio

    return await asyncio.to_thread(count_down, event, context)


@pytest.mark.parametrize(
    "function",
    [
        Function(count_down),
        Function(count_down, children=[Child(Visits, name=VISITS)]),
        Function(count_down_in_thread),
        Function(count_down_on_asyncio, loop="asyncio"),
    ],
    ids=["main-thread", "beside-actors", "to-thread", "asyncio"],
)
def test_the_remaining_time_follows_blocking_work(function: Function) -> None:
    @virtual_time
    async def main() -> None:
        async with running(function, timeout=60) as app:
            await trio.sleep(100)
            assert await app.invoke(0.1) == [True, True]

    main()


@virtual_time
async def test_events_in_flight_are_limited_by_concurrency() -> None:
    at_once = most = 0

    async def handler(event: int, context: Context) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.sleep(1)
        at_once -= 1
        return event

    results = list[int]()

    for concurrency in (1, 4):
        most = 0
        results.clear()
        async with running(handler, concurrency=concurrency) as app, trio.open_nursery() as nursery:

            async def invoke(number: int) -> None:
                results.append(await app.invoke(number))

            for number in range(10):
                nursery.start_soon(invoke, number)
        assert (most, sorted(results)) == (concurrency, list(range(10)))


@virtual_time
async def test_large_results_at_once_find_a_free_slot() -> None:
    async def handler(event: int, context: Context) -> str:
        return "x" * 2_000_000

    sizes = list[int]()
    async with running(handler, concurrency=2) as app, trio.open_nursery() as nursery:

        async def invoke() -> None:
            sizes.append(len(await app.invoke()))

        for _ in range(3):
            nursery.start_soon(invoke)

    assert sizes == [2_000_000] * 3


@virtual_time
async def test_a_cancelled_wait_does_not_stop_the_handler() -> None:
    ended = list[int]()

    async def handler(event: int, context: Context) -> None:
        await trio.sleep(2)
        ended.append(event)

    async with running(handler) as app:
        with trio.move_on_after(1):
            await app.invoke(1)
        await app.invoke(2)

    assert ended == [1, 2]


@virtual_time
async def test_a_stream_is_read_while_it_is_written() -> None:
    async def handler(event: int, context: Context) -> AsyncIterator[bytes]:
        for number in range(event):
            yield b"%d;" % number
            await trio.sleep(1)

    pieces, times = list[bytes](), list[float]()
    async with running(handler) as app:
        before = trio.current_time()
        async with app.stream(2) as response:
            async for piece in response:
                pieces.append(piece)
                times.append(trio.current_time() - before)
        assert (await response.result()).error_type is None
        assert await app.invoke(2) == b"0;1;"

    assert pieces == [b"0;", b"1;"]
    assert times == pytest.approx([0, 1], abs=0.01)


@virtual_time
async def test_a_stream_that_fails_midway_tells_its_error() -> None:
    @streaming
    async def handler(event: object, response: object, context: Context) -> None:
        await response.write(b"one")  # type: ignore[attr-defined]
        raise ValueError("no more")

    async with running(handler) as app, app.stream() as response:
        pieces = [piece async for piece in response]
        result = await response.result()

    assert (pieces, result.error_type) == ([b"one"], "Function.ValueError")


# -- plain handlers


def test_a_plain_def_runs_on_the_main_thread_and_is_interrupted() -> None:
    cleaned_up = list[bool]()

    def handler(event: float, context: Context) -> bool:
        try:
            time.sleep(event)
        finally:
            cleaned_up.append(threading.current_thread() is threading.main_thread())
        return True

    @virtual_time
    async def main() -> None:
        async with running(handler, timeout=0.6) as app:
            with pytest.raises(FunctionTimedOut, match="DeadlineExceeded"):
                await app.invoke(HANG)
            assert await app.invoke(0.0) is True

    main()

    assert cleaned_up == [True, True]


def test_a_plain_def_runs_where_no_signal_can_interrupt_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @virtual_time
    async def main() -> None:
        async with running(lambda event, context: event) as app:
            results.append(await app.invoke(1))

    results = list[int]()
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    # As on Windows.
    monkeypatch.setattr(function_engine, "SIGNAL", 0)
    main()

    assert results == [1, 1]


@virtual_time
async def test_a_plain_def_beside_actors_has_its_real_time() -> None:
    slow = threading.Event()

    def handler(event: bool, context: Context) -> str:
        if event:
            slow.wait(HANG)
        time.sleep(0.02)
        return threading.current_thread().name

    function = Function(handler, children=[Child(Visits, name=VISITS)])
    async with running(function, timeout=0.3) as app:
        assert "worker" in await app.invoke(False)
        with pytest.raises(FunctionTimedOut):
            await app.invoke(True)
        slow.set()
        assert "worker" in await app.invoke(False)


@virtual_time
async def test_a_web_application_runs_on_asyncio_and_answers_late_requests() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(HANG)

    async with running(Function(ASGI(application, lifespan="off"))) as app:
        answer = await app.invoke(sample_event("http-api"))

    assert answer["statusCode"] == 504


@virtual_time
async def test_an_asyncio_handler_runs_in_virtual_time() -> None:
    async def handler(event: float, context: Context) -> str:
        import asyncio

        await asyncio.sleep(event)
        return "woke"

    async with running(Function(handler, loop="asyncio"), timeout=600) as app:
        assert await app.invoke(599) == "woke"
        with pytest.raises(FunctionTimedOut):
            await app.invoke(601)


# -- the tree


@virtual_time
async def test_a_killed_actor_is_restarted_with_fresh_state() -> None:
    async with running(FUNCTION) as app:
        await app.invoke({"name": "bob"})
        before = app.tree()

        await app.kill(VISITS)
        await app.wait_restarted(VISITS)

        assert (await app.invoke({"name": "bob"}))["visit"] == 1
        assert app.restarts(VISITS) == app.restarts("children/visits") == 1
        assert app.tree() != before
        assert "visits (Visits), restarted 1 x" in str(app.tree())


@pytest.mark.parametrize("actor", ["visits", "children/visits", "/function/children/visits"])
def test_an_actor_is_found_by_the_end_of_its_path(actor: str) -> None:
    @virtual_time
    async def main() -> None:
        async with running(FUNCTION) as app:
            await app.kill(actor)
            ref = await app.wait_restarted(actor)

            assert ref == VISITS.whereis()
            assert app.restarts(ref) == 1

    main()


@virtual_time
async def test_an_unknown_actor_raises_the_list_of_all() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(LookupError, match=r"no child 'visit'; (.|\n)*/children/visits"):
            await app.kill("visit")
        with pytest.raises(LookupError, match="no child Name"):
            app.restarts(Name("other", Visits))
        with pytest.raises(TypeError, match="an actor is a Name, a Ref or a path, got 7"):
            app.restarts(7)  # type: ignore[arg-type]


@virtual_time
async def test_a_restart_that_does_not_come_raises_the_tree() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(
            TimeoutError, match=r"not restarted 1 x and running within 5 s;(.|\n)*visits"
        ):
            await app.wait_restarted(VISITS, within=5)


@pytest.mark.parametrize("actor", [VISITS, Visits.visit, "visits"])
def test_the_next_call_crashes_the_server_once(actor: object) -> None:
    @virtual_time
    async def main() -> None:
        async with running(FUNCTION) as app:
            app.crash_next(actor, OSError("disk full"))  # type: ignore[arg-type]
            with pytest.raises(FunctionError, match=r"ActorExited: .*OSError: disk full"):
                await app.invoke({"name": "bob"})

            await app.wait_restarted(VISITS)
            assert (await app.invoke({"name": "bob"}))["visit"] == 1

    main()


@virtual_time
async def test_a_refusal_of_the_next_call_leaves_the_server_running() -> None:
    async with running(FUNCTION) as app:
        app.crash_next(Visits.visit, NoSuchCity("Atlantis"))
        with pytest.raises(FunctionError, match="NoSuchCity: Atlantis"):
            await app.invoke({"name": "bob"})

        assert app.restarts(VISITS) == 0


@virtual_time
async def test_several_crashes_happen_in_order() -> None:
    async with running(FUNCTION) as app:
        app.crash_next(VISITS, OSError("first"))
        app.crash_next(Visits.visit, OSError("second"))
        for name in ("first", "second"):
            with pytest.raises(FunctionError, match=f"OSError: {name}"):
                await app.invoke({"name": "bob"})
            await VISITS.wait()

        assert (await app.invoke({"name": "bob"}))["visit"] == 1
        assert app.restarts(VISITS) == 2


@virtual_time
async def test_a_crash_that_was_not_reached_is_forgotten() -> None:
    async with running(FUNCTION) as app:
        app.crash_next(VISITS, OSError("disk full"))
    async with running(FUNCTION) as app:
        assert (await app.invoke({"name": "bob"}))["visit"] == 1


@virtual_time
async def test_a_crash_for_one_method_spares_the_others() -> None:
    async with running(FUNCTION) as app:
        app.crash_next(Visits.freezes, OSError("disk full"))

        assert (await app.invoke({"name": "bob"}))["visit"] == 1


@virtual_time
async def test_a_child_that_keeps_crashing_never_ends_the_function() -> None:
    class Refresher(Server):
        async def init(self) -> None:
            self.send_after(0.1, "refresh")

        async def handle_info(self, message: object) -> None:
            raise OSError("HTTP 503")

    refresher = Name("refresher", Refresher)
    children: list[Child[Any]] = [Child(Visits, name=VISITS), Child(Refresher, name=refresher)]
    async with running(Function(Greeter, children)) as app:
        for minute in range(1, 16):
            assert (await app.invoke({"name": "bob"}))["visit"] == minute
            await trio.sleep(60)

        assert app.root.incarnation == app.restarts("children") + 1 == 1
        assert 28 < app.restarts(refresher) < 42
        with pytest.raises(NoProcess, match=r"starts again in .* in a row: OSError$"):
            refresher.process()


@virtual_time
async def test_a_function_with_an_intensity_ends_if_it_restarts_too_often() -> None:
    async with running(attrs.evolve(FUNCTION, intensity=3)) as app:
        while app.root.reason is None:
            with trio.move_on_after(0.1):
                await app.kill("children/visits")
                await app.root.wait()

        with pytest.raises(FunctionError, match="the function has ended: its tree has ended"):
            await app.invoke({"name": "bob"})
        with pytest.raises(LookupError, match=r"the function has ended \(crashed .*gave up"):
            await app.wait_restarted(VISITS)


@virtual_time
async def test_an_event_in_flight_is_answered_when_the_function_ends() -> None:
    async with running(FUNCTION) as app, trio.open_nursery() as nursery:

        async def end() -> None:
            await trio.sleep(1)
            app.root.kill()

        nursery.start_soon(end)
        with pytest.raises(FunctionError, match="its tree has ended: killed"):
            await app.invoke({"name": "slow"})


@virtual_time
async def test_an_end_that_no_invocation_saw_is_raised_by_the_block() -> None:
    with pytest.raises(FunctionError, match="its tree has ended: killed"):
        async with running(FUNCTION) as app:
            await app.kill(app.root)


@pytest.mark.slow
@virtual_time
async def test_a_late_event_of_an_open_asyncio_loop_is_answered_before_the_end() -> None:
    def handler(event: object, context: Context) -> None:
        # As Mangum does.
        loop.run_until_complete(loop.create_task(asyncio.sleep(HANG)))

    # Several times: tasks of trio run in a random order.
    for _ in range(5):
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            async with running(handler, timeout=0.3) as app:
                with pytest.raises(FunctionTimedOut):
                    await app.invoke()
                with pytest.raises(FunctionError, match="asyncio loop that is still open"):
                    await app.invoke()


# -- start and end


@virtual_time
async def test_a_start_that_fails_raises_the_actors_own_error() -> None:
    class Pool(Server):
        async def init(self) -> None:
            raise ConnectionRefusedError("no database")

    with pytest.raises(StartError, match=r"pool did not start: .*no database") as failed:
        async with running(Function(Greeter, children=[Child(Pool, id="pool")])):
            pytest.fail("it has not started")

    assert isinstance(failed.value.__cause__, ConnectionRefusedError)


@virtual_time
async def test_an_init_that_takes_too_long_fails_the_start() -> None:
    class Pool(Server):
        async def init(self) -> None:
            await trio.sleep(3600)

    with pytest.raises(StartError, match=r"^/function/children/Pool did not start: .* than 10 s"):
        async with running(Function(Greeter, children=[Child(Pool)])):
            pytest.fail("it has not started")


@virtual_time
async def test_an_event_in_flight_at_the_end_is_answered() -> None:
    errors = list[FunctionError]()

    async def invoke(number: int) -> None:
        try:
            await app.invoke({"name": "slow"})
        except FunctionError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery, running(FUNCTION) as app:
        for number in range(3):
            nursery.start_soon(invoke, number)
        await trio.sleep(1)

    assert [error.error_type for error in errors] == [
        "Runtime.Stopped", "Runtime.ExitError", "Runtime.ExitError",
    ]  # fmt: skip


@virtual_time
async def test_an_invocation_after_the_block_is_refused() -> None:
    async with running(FUNCTION) as app:
        pass

    with pytest.raises(FunctionError, match="the block of `running` has ended"):
        await app.invoke({"name": "bob"})


@virtual_time
async def test_a_failed_assertion_is_raised_as_it_is() -> None:
    with pytest.raises(AssertionError):
        async with running(FUNCTION):
            raise AssertionError
    with pytest.raises(pytest.fail.Exception):
        async with running(FUNCTION):
            pytest.fail("not in a group")


@virtual_time
async def test_two_functions_at_once_are_refused() -> None:
    async with running(FUNCTION):
        with pytest.raises(RuntimeError, match="another function runs"):
            async with running(FUNCTION):
                pass
        with pytest.raises(RuntimeError, match="another function runs"):
            await trio.to_thread.run_sync(run_once)


def test_a_block_that_was_not_left_does_not_disturb_later_tests() -> None:
    with ExitStack() as left:

        async def crash() -> None:
            left.enter_context(running_function._run_alone())

        trio.run(crash)
        run_once()


def test_running_without_trio_says_what_to_write() -> None:
    async def main() -> None:
        async with running(FUNCTION):
            pass

    with pytest.raises(RuntimeError, match="@virtual_time"):
        main().send(None)


@virtual_time
async def test_functions_can_run_one_after_the_other() -> None:
    for _ in range(3):
        async with running(FUNCTION) as app:
            assert (await app.invoke({"name": "bob"}))["visit"] == 1


def test_the_trace_variable_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "mine")

    @virtual_time
    async def main() -> str:
        async with running(lambda event, context: os.environ["_X_AMZN_TRACE_ID"]) as app:
            return str(await app.invoke())

    assert main().startswith("Root=1-")
    assert os.environ["_X_AMZN_TRACE_ID"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timeout": 0}, "timeout must be seconds > 0"),
        ({"timeout": float("inf")}, "timeout must be seconds > 0"),
        ({"concurrency": 0}, "max_concurrency must be an integer >= 1"),
        ({"name": "a b"}, "name must be"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], message: str) -> None:
    @virtual_time
    async def main() -> None:
        async with running(FUNCTION, **arguments):
            pass

    with pytest.raises(ValueError, match=message):
        main()


@virtual_time
async def test_a_wrong_argument_of_an_event_is_refused() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(ValueError, match="timeout must be seconds > 0"):
            await app.invoke({"name": "bob"}, timeout=-1)
        with pytest.raises(ValueError, match="tenant_id contains"):
            await app.invoke({"name": "bob"}, tenant_id="\0")
        with pytest.raises(TypeError, match="type object"):
            await app.invoke(object())


@virtual_time
async def test_a_shielded_handler_does_not_hold_the_end() -> None:
    async def handler(event: object, context: Context) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(80_000)

    began = time.monotonic()
    async with running(handler) as app:
        with trio.move_on_after(1):
            await app.invoke()

    assert time.monotonic() - began < HANG


# -- freezes


@virtual_time
async def test_a_freeze_is_noticed_on_thaw() -> None:
    async with running(FUNCTION) as app:
        await app.freeze(3600)
        seen = await VISITS.call(Visits.freezes)

        assert seen == [pytest.approx(3600, abs=0.6)]
        assert (await app.invoke({"name": "bob"}))["visit"] == 1


@virtual_time
async def test_a_freeze_within_an_event_is_refused() -> None:
    async with running(FUNCTION) as app, trio.open_nursery() as nursery:

        async def invoke() -> None:
            with pytest.raises(FunctionTimedOut):
                await app.invoke({"name": "slow"})

        nursery.start_soon(invoke)
        with pytest.raises(RuntimeError, match="in flight"):
            await app.freeze(60)


@virtual_time
async def test_a_freeze_is_a_finite_time() -> None:
    async with running(FUNCTION) as app:
        for seconds in (-1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="seconds must be a finite number >= 0"):
                await app.freeze(seconds)


async def test_a_freeze_by_the_real_clock_is_refused() -> None:
    async with running(FUNCTION) as app:
        with pytest.raises(RuntimeError, match="@virtual_time"):
            await app.freeze(60)


@virtual_time
async def test_what_is_no_handler_is_refused() -> None:
    with pytest.raises(SpecError, match="handler must be a Handler class or a callable"):
        async with running(7):  # type: ignore[arg-type]
            pass


@virtual_time
async def test_an_actor_after_the_block_is_an_error_that_says_so() -> None:
    async with running(FUNCTION) as app:
        pass
    with pytest.raises(LookupError, match=r"no actor Name\('visits', Visits\): the function has"):
        await app.kill(VISITS)


@virtual_time
async def test_crash_next_refuses_what_no_call_can_be_for() -> None:
    async with running(FUNCTION) as app:
        wrong: Any
        hooks = Visits.init, Visits.handle_info, Greeter.handle
        for wrong in (*hooks, Visits, VISITS.call, Visits().visit, run_once):
            with pytest.raises(TypeError):
                app.crash_next(wrong, OSError())


@virtual_time
async def test_an_error_is_printed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def divide(event: int, context: Context) -> float:
        return 1 / event

    async with running(divide) as app:
        with pytest.raises(FunctionError):
            await app.invoke(0)

    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "[ERROR] ZeroDivisionError: division by zero"
    assert second == "Traceback (most recent call last):"


@virtual_time
async def test_functions_run_after_the_response_and_before_the_next_event() -> None:
    said = list[str]()

    async def late(event: str) -> None:
        await trio.sleep(1)
        said.append(f"after {event}")

    async def handler(event: str, context: Context) -> str:
        context.after_response(late, event)
        said.append(event)
        return event

    async with running(handler) as app:
        for event in ("one", "two"):
            assert await app.invoke(event) == event
            said.append(f"answered {event}")

    assert said[:5] == ["one", "answered one", "after one", "two", "answered two"]


async def test_a_late_def_after_the_response_is_interrupted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(event: object, context: Context) -> str:
        if event:
            context.after_response(time.sleep, HANG)
        return "answered"

    async with running(handler, timeout=0.4) as app:
        assert [await app.invoke(event) for event in (1, 0)] == ["answered"] * 2

    assert "sleep was cut after the response" in caplog.text
