"""Cached: age, freezes, outages, many readers at once."""

import gc
import weakref
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi import Cached, Context, FetchError, Function
from okibi.actors.freezes import current_monitors
from okibi.cached import PAUSE
from okibi.testing import running, virtual_time
from tests.profiles import examples

HOUR = 3600.0


@attrs.define(eq=False)
class TokenServer:
    """Issues a token in the middle of a request that takes `seconds`; may be down."""

    seconds: float = 0.2
    down: BaseException | None = None
    timeout: float = 5.0
    requests: list[float] = attrs.Factory(list)
    running: int = 0

    async def fetch(self) -> float:
        """Return the time at which the token was issued."""
        self.requests.append(trio.current_time())
        self.running += 1
        assert self.running == 1
        try:
            with trio.fail_after(self.timeout):
                await trio.sleep(self.seconds / 2)
                issued = trio.current_time()
                await trio.sleep(self.seconds / 2)
        finally:
            self.running -= 1
        if self.down is not None:
            raise self.down
        return issued


def make(server: TokenServer, max_age: float = 300, stale_while: float = 60) -> Cached[float]:
    return Cached(server.fetch, max_age=max_age, stale_while=stale_while)


async def until_idle(server: TokenServer) -> None:
    await trio.sleep(2 * server.seconds)


# -- age


@virtual_time
async def test_a_value_is_fetched_once_while_it_is_fresh() -> None:
    server = TokenServer()
    token = make(server)

    values = [await token.get() for _ in range(10)]
    await trio.sleep(290)

    assert {*values, await token.get()} == {0.1}
    assert len(server.requests) == 1


@virtual_time
async def test_a_stale_value_is_served_at_once_while_one_fetch_runs() -> None:
    server = TokenServer()
    token = make(server)
    await token.get()
    await trio.sleep(330)
    before = trio.current_time()

    assert [await token.get() for _ in range(10)] == [0.1] * 10

    assert trio.current_time() == before
    await until_idle(server)
    assert await token.get() == before + 0.1
    assert len(server.requests) == 2


@virtual_time
async def test_an_expired_value_is_never_served() -> None:
    server = TokenServer()
    token = make(server)
    await token.get()
    await trio.sleep(360.1)

    assert await token.get() == pytest.approx(360.4)


@virtual_time
async def test_the_age_counts_from_the_beginning_of_the_fetch() -> None:
    server = TokenServer(seconds=4)
    token = make(server, max_age=10, stale_while=0)
    await token.get()

    await trio.sleep(5.9)
    assert await token.get() == 2
    await trio.sleep(0.2)
    assert await token.get() > 10


async def test_time_that_only_the_wall_clock_shows_counts(autojump_clock: MockClock) -> None:
    """As on a virtual machine that was stopped."""
    server, ahead = TokenServer(), 0.0
    current_monitors().wall_clock = lambda: trio.current_time() + ahead
    token = make(server)
    await token.get()

    ahead = HOUR
    assert await token.get() > 0.1
    ahead = 0.0  # the clock is set back
    assert await token.get() > 0.1
    await trio.sleep(361)
    assert await token.get() > 361


@virtual_time
async def test_a_forgotten_value_is_fetched_again() -> None:
    server = TokenServer()
    token = make(server)
    await token.get()

    token.forget()

    assert await token.get() > 0.1


@virtual_time
async def test_a_fetch_from_before_a_forget_serves_its_readers_only() -> None:
    server = TokenServer()
    token = make(server)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(token.get)
        await trio.sleep(0.15)
        token.forget()
        server.running = 0  # the fetch goes on, for the reader
        assert await token.get() == 0.25
    assert await token.get() == 0.25
    assert len(server.requests) == 2


@virtual_time
async def test_a_forget_ends_a_fetch_that_no_reader_waits_for() -> None:
    server = TokenServer()
    token = make(server)
    await token.get()
    await trio.sleep(330)
    await token.get()  # a fetch begins
    await wait_all_tasks_blocked()

    token.forget()

    assert await token.get() == pytest.approx(330.3)


def test_each_run_of_trio_begins_without_a_value() -> None:
    server = TokenServer()
    token = make(server)
    for _ in range(2):
        trio.run(token.get, clock=MockClock(autojump_threshold=0))

    assert len(server.requests) == 2


# -- many readers


async def read(token: Cached[float], results: list[object]) -> None:
    try:
        results.append(await token.get())
    except FetchError as error:
        results.append(type(error.__cause__))


@virtual_time
async def test_many_readers_share_one_fetch_and_its_error() -> None:
    server, results = TokenServer(), list[object]()
    token = make(server)
    for down, expected in ((OSError("refused"), OSError), (None, 0.3)):
        server.down = down
        results.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(read, token, results)

        assert results == [pytest.approx(expected) if down is None else expected] * 100
    assert len(server.requests) == 2


@virtual_time
async def test_a_reader_that_is_cancelled_leaves_the_fetch_to_the_others() -> None:
    server, results = TokenServer(), list[object]()
    token = make(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, token, results)
        async with trio.open_nursery() as cancelled:
            cancelled.start_soon(token.get)
            await trio.sleep(0.05)
            cancelled.cancel_scope.cancel()

    assert results == [0.1]


@virtual_time
async def test_a_reader_gets_an_error_shortly_before_its_deadline() -> None:
    server = TokenServer(seconds=60, timeout=100)
    token = make(server)

    async def handler(event: object, context: object) -> list[str]:
        try:
            return [str(await token.get())]
        except FetchError as error:
            return [str(error), repr(error.__cause__)]

    async with running(Function(handler), timeout=3) as app:
        text, cause = await app.invoke()

    assert cause == "None"
    assert text == (
        "<Cached TokenServer.fetch>: there is no value (max_age 300 s, stale_while 60 s), and its "
        "fetch did not end in the 2.8 s until the reader's deadline"
    )
    assert trio.current_time() == pytest.approx(2.8, abs=0.01)


@virtual_time
async def test_a_fetch_has_the_latest_deadline_of_its_readers() -> None:
    server = TokenServer(seconds=8, timeout=100)
    deadlines, results = list[float](), list[object]()

    async def fetch() -> float:
        deadlines.append(trio.current_effective_deadline())
        return await server.fetch()

    token = Cached(fetch, max_age=300)

    async def read_within(seconds: float) -> None:
        with trio.fail_after(seconds):
            await read(token, results)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_within, 3)
        await trio.sleep(1)
        nursery.start_soon(read_within, 10)

    assert deadlines == [2.9]
    assert results == [type(None), 4]


@virtual_time
async def test_a_fetch_that_never_ends_ends_with_its_last_reader() -> None:
    server = TokenServer(seconds=1e6, timeout=1e7)
    token = make(server)
    for _ in range(3):
        with trio.fail_after(3), pytest.raises(FetchError):
            await token.get()
        await wait_all_tasks_blocked()
        assert server.running == 0

    server.seconds = 0.2
    assert await token.get() > 8
    assert len(server.requests) == 4


# -- freezes


async def freeze(seconds: float) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    await wait_all_tasks_blocked()
    clock.jump(seconds)
    await wait_all_tasks_blocked()


@virtual_time
async def test_a_value_from_before_a_freeze_is_not_served_after_it() -> None:
    server = TokenServer()
    token = make(server)
    await token.get()

    await freeze(2 * HOUR)

    assert await token.get() > 2 * HOUR


@virtual_time
async def test_a_freeze_in_the_middle_of_a_fetch_repeats_the_fetch() -> None:
    """Whether the time limit of the fetch fires at the thaw, or an old answer has arrived."""
    for timeout in (5.0, 1e7):
        server = TokenServer(timeout=timeout)
        token = make(server)
        await token.get()
        await trio.sleep(330)
        await token.get()
        await trio.sleep(0.15)  # the new token was issued, and its answer is on the way
        thaw = trio.current_time() + 2 * HOUR

        await freeze(2 * HOUR)

        assert await token.get() > thaw
        assert len(server.requests) == 3


@virtual_time
async def test_a_fetch_is_repeated_only_once_and_its_failure_is_no_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = TokenServer()
    token = make(server)
    await token.get()
    await trio.sleep(310)
    await token.get()

    for _ in range(2):
        await trio.sleep(0.15)
        await freeze(10)

    assert len(server.requests) == 3
    assert caplog.records == []


@virtual_time
async def test_a_freeze_that_cuts_each_fetch_lets_no_reader_wait_for_a_stale_value() -> None:
    """Short and rare events: the sandbox is frozen as soon as the old value is returned."""
    server = TokenServer(seconds=0.08)
    token = make(server)

    async def handler(event: object, context: object) -> tuple[float, float]:
        began = trio.current_time()
        value = await token.get()
        return began - value, trio.current_time() - began

    async with running(Function(handler)) as app:
        for _ in range(50):
            age, waited = await app.invoke()
            assert age <= 360
            assert waited == 0 or age < 0
            await app.freeze(10)


@virtual_time
async def test_work_after_the_answer_lets_a_fetch_end_before_the_freeze() -> None:
    async def fetch() -> float:
        await trio.sleep(0.5)
        return trio.current_time()

    cached = Cached(fetch, max_age=60, stale_while=600)

    async def handler(event: object, context: Context) -> float:
        context.after_response(cached.refreshed)
        return await cached.get()

    async with running(handler) as app:
        assert await app.invoke() == 0.5
        await app.freeze(100)
        assert await app.invoke() == 0.5
        # Before the freeze the fetch ends.
        await app.freeze(10)
        assert await app.invoke() == pytest.approx(101, abs=0.1)


@virtual_time
async def test_work_after_the_answer_ends_before_its_deadline_and_logs_the_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = 0.5

    async def fetch() -> float:
        await trio.sleep(seconds)
        return trio.current_time()

    cached = Cached(fetch, max_age=60, stale_while=600)

    async def handler(event: object, context: Context) -> float:
        context.after_response(cached.refreshed)
        return await cached.get()

    async with running(handler) as app:
        assert await app.invoke() == 0.5
        seconds = 1e6
        for _ in range(3):
            await app.freeze(100)
            assert await app.invoke() == 0.5
        await app.freeze(0)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.endswith(", and its fetch did not end in the 2.8 s until its deadline")


@virtual_time
async def test_the_token_of_a_frozen_function_is_never_too_old() -> None:
    server = TokenServer()
    token = make(server)

    async def handler(event: object, context: object) -> float:
        return trio.current_time() - await token.get()

    async with running(Function(handler)) as app:
        for seconds in (6, 6, 6, 2 * HOUR, 6, 320, 6, 2 * HOUR):
            assert await app.invoke() <= 360.0
            await app.freeze(seconds)
        assert await app.invoke() <= 0.1

    assert len(server.requests) == 5


# -- outages


class Unreachable(Exception): ...


@virtual_time
async def test_a_failed_fetch_keeps_no_error_in_a_cycle() -> None:
    errors = list[weakref.ref[BaseException]]()

    async def fetch() -> float:
        error = Unreachable()
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    token = Cached(fetch, max_age=300)

    async def read() -> None:
        with pytest.raises(FetchError):
            await token.get()

    gc.disable()
    try:
        await read()
        await trio.lowlevel.checkpoint()
        assert errors[0]() is None
    finally:
        gc.enable()


@virtual_time
async def test_the_error_of_a_read_names_age_and_cause() -> None:
    server = TokenServer(down=OSError("connection refused"))
    token = make(server)

    with pytest.raises(FetchError) as missing:
        await token.get()
    server.down = None
    await token.get()
    await trio.sleep(400)
    server.down = ConnectionResetError()
    with pytest.raises(FetchError) as old:
        await token.get()

    name, limits = "<Cached TokenServer.fetch>", "(max_age 300 s, stale_while 60 s)"
    assert missing.value.age is None
    assert str(missing.value) == (
        f"{name}: there is no value {limits}, and its fetch failed: OSError: connection refused"
    )
    assert old.value.age == pytest.approx(400.4)
    assert str(old.value) == (
        f"{name}: the last value is 400 s old {limits}, and its fetch failed: ConnectionResetError"
    )
    assert old.value.__cause__ is server.down


@virtual_time
async def test_an_outage_is_two_lines_in_the_log_and_few_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = TokenServer(seconds=0.02)
    token = make(server)
    await token.get()
    await trio.sleep(300)
    server.down = OSError("HTTP 503")

    for _ in range(200):
        assert await token.get() == 0.01
        await trio.sleep(0.1)
    server.down = None
    await trio.sleep(PAUSE)
    await token.get()
    await until_idle(server)

    assert await token.get() > 320
    assert len(server.requests) <= 22
    failed, recovered = (record.getMessage() for record in caplog.records)
    assert failed.startswith("<Cached TokenServer.fetch>: the last value is 300 s old (")
    assert failed.endswith(", and its fetch failed: OSError: HTTP 503")
    assert recovered == "<Cached TokenServer.fetch>: fetched again, 21 s after the failure"


@virtual_time
async def test_an_exit_in_a_fetch_does_not_end_the_run() -> None:
    token = make(TokenServer(down=SystemExit(1)))

    with pytest.raises(FetchError) as failed:
        await token.get()

    assert isinstance(failed.value.__cause__, SystemExit)


# -- arguments, and where it can be read


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"fetch": "url"}, TypeError, "fetch must be an async function, got str"),
        ({"max_age": 0}, ValueError, "max_age must be > 0 seconds, got 0"),
        ({"stale_while": -1}, ValueError, "stale_while must be >= 0 seconds, got -1"),
    ],
)
def test_wrong_arguments_are_refused(
    wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"fetch": TokenServer().fetch, "max_age": 1, **wrong}
    with pytest.raises(error, match=message):
        Cached(**arguments)


def test_a_read_outside_trio_says_what_to_do() -> None:
    reading = make(TokenServer()).get()
    with pytest.raises(RuntimeError, match=r"in a thread use trio\.from_thread\.run\("):
        reading.send(None)


@virtual_time
async def test_a_thread_reads_through_trio() -> None:
    token = make(TokenServer())

    assert await trio.to_thread.run_sync(trio.from_thread.run, token.get) > 0


# -- any history


@attrs.frozen
class Step:
    """One step of a history."""

    kind: str
    seconds: float = 0.0


STEPS = st.one_of(
    st.builds(Step, st.just("read")),
    st.builds(Step, st.just("read")),
    st.builds(Step, st.just("wait"), st.sampled_from([0.05, 0.15, 1.0, 30.0, 100.0])),
    st.builds(Step, st.just("freeze"), st.sampled_from([2.0, 6.0, 50.0, HOUR])),
    st.builds(Step, st.sampled_from(["down", "up", "slow", "fast"])),
)


@settings(derandomize=True, max_examples=examples(200), deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_no_history_serves_a_value_that_is_too_old(steps: list[Step]) -> None:
    """At most one fetch runs, and a read ends with a young value or an error."""
    trio.run(_live_through, steps, clock=MockClock(autojump_threshold=0))


async def _live_through(steps: list[Step]) -> None:
    server = TokenServer()
    token = make(server)
    for step in steps:
        match step.kind:
            case "read":
                await _check_read(server, token)
            case "wait":
                await trio.sleep(step.seconds)
            case "freeze":
                await freeze(step.seconds)
            case "down":
                server.down = OSError("down")
            case "up":
                server.down = None
            case "slow":
                server.seconds = 100.0
            case _:
                server.seconds = 0.2
    server.down, server.seconds = None, 0.2
    await trio.sleep(10)
    await _check_read(server, token)


async def _check_read(server: TokenServer, token: Cached[float]) -> None:
    began, fails = trio.current_time(), server.down is not None or server.seconds > 1
    try:
        value = await token.get()
    except FetchError:
        assert fails
    else:
        assert began - value <= 360
        assert trio.current_time() - began <= 2 * server.timeout
