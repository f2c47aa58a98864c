"""Resource: lending, returns, freezes, outages, borrowers that end."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi import Child, Function, Name, Server
from okibi.asyncio_loop import on_asyncio
from okibi.asyncio_loop.actor_methods import CLEAN_UP
from okibi.resource import BorrowerEnded, LendError, Resource
from okibi.resource.lender import LIMIT, Lender
from okibi.supervisors import SupervisorSpec, supervise
from okibi.testing import FunctionError, running, virtual_time
from tests.limits import HANG
from tests.resource.fake_database import Connection, Database, Unreachable, freeze
from tests.support.counting import counting


def make(database: Database, **changes: Any) -> Resource[Connection]:
    """Make a resource that lends the connection itself."""
    return Resource(database.connect, close=database.close, **changes)


def make_pool(database: Database, **changes: Any) -> Resource[Connection]:
    """Make a resource that lends a transaction of the connection."""
    return Resource(database.connect, lend=database.transaction, close=database.close, **changes)


@asynccontextmanager
async def started(*resources: Resource[Any]) -> AsyncGenerator[None]:
    """Run the actors of resources under a supervisor."""
    async with trio.open_nursery() as nursery:
        spec = SupervisorSpec([Child(each) for each in resources])
        top = await supervise(nursery, spec)
        yield
        top.stop()


async def use(resource: Resource[Connection], seconds: float = 0.0) -> int:
    async with resource.lend() as connection:
        number = await connection.query()
        await trio.sleep(seconds)
    return number


# -- lending


@virtual_time
async def test_it_opens_at_the_first_loan_and_closes_at_the_stop() -> None:
    database = Database()
    async with started(make(database)):
        await trio.sleep(1)
        assert database.tries == []

    resource = make(database)
    async with started(resource):
        assert [await use(resource), await use(resource)] == [1, 1]
    assert database.open_connections == 0


@virtual_time
async def test_borrowers_wait_in_their_order() -> None:
    database, order = Database(), list[int]()
    resource = make(database)

    async def borrow(number: int) -> None:
        async with resource.lend() as connection:
            assert connection.borrowers == 0
            connection.borrowers += 1
            await trio.sleep(1)
            connection.borrowers -= 1
            order.append(number)

    async with started(resource), trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(borrow, number)
            await wait_all_tasks_blocked()

    assert order == [*range(10)]
    assert len(database.tries) == 1


@virtual_time
async def test_as_many_borrow_at_once_as_there_are_connections() -> None:
    resource = make(Database(seconds=0), connections=3)
    async with started(resource):
        await use(resource)
        with counting() as counts:
            async with trio.open_nursery() as nursery:
                for _ in range(9):
                    nursery.start_soon(use, resource, 1)
        assert trio.current_time() == pytest.approx(3)
    assert [*counts.values()] == [6]
    assert next(iter(counts))[0] == "PoolWaits"


@virtual_time
async def test_one_event_has_one_at_a_time() -> None:
    """Ten records of a batch share the connection of their event."""
    resource = make(Database(seconds=0), connections=4)

    async def handler(event: object, context: object) -> float:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(use, resource, 0.1)
        return trio.current_time() - began

    async with running(Function(handler, [Child(resource)])) as app:
        assert await app.invoke() == pytest.approx(0.3)


@virtual_time
async def test_a_nested_loan_is_refused_at_once() -> None:
    resource = make(Database(), connections=2, name="database")
    async with started(resource), resource.lend():
        with pytest.raises(LendError, match="this task holds one already and would wait for"):
            await use(resource)


@virtual_time
async def test_the_error_at_the_deadline_names_the_holders() -> None:
    resource = make(Database(seconds=0), name="database")

    async def hold() -> None:
        await use(resource, 10)

    async with started(resource), trio.open_nursery() as nursery:
        nursery.start_soon(hold, name="report")
        await trio.sleep(1)
        with pytest.raises(LendError) as late, trio.fail_after(2):
            await use(resource)
        nursery.cancel_scope.cancel()

    assert trio.current_time() == pytest.approx(2.9)
    assert str(late.value) == (
        "<Resource database>: none of 1 was free in time: report for 2.9 s. Return each before "
        "other work is waited for, or set more than connections=1 if the server has as many to "
        "spare for each sandbox"
    )


@virtual_time
async def test_a_borrower_without_a_deadline_waits_up_to_max_wait() -> None:
    resource = make(Database(seconds=1e6), max_wait=5)
    async with started(resource):
        with pytest.raises(LendError, match="was not opened in time: is its server slow"):
            await use(resource)
        assert trio.current_time() == 5


@virtual_time
async def test_a_borrower_that_stops_to_wait_leaves_its_place() -> None:
    resource = make(Database(seconds=0))
    async with started(resource), trio.open_nursery() as nursery:
        nursery.start_soon(use, resource, 2)
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_soon, scope)
            await use(resource)
        assert await use(resource) == 1


async def cancel_soon(scope: trio.CancelScope) -> None:
    await trio.sleep(1)
    scope.cancel()


@virtual_time
async def test_a_forgotten_child_is_an_error_that_says_so() -> None:
    with pytest.raises(LendError, match=r"<Resource database> has no actor: add Child\(\.\.\.\)"):
        await use(make(Database(), name="database"))


def test_a_loan_outside_trio_says_what_to_do() -> None:
    lending = make(Database()).lend().__aenter__()
    with pytest.raises(RuntimeError, match="write an `async def` handler"):
        lending.send(None)


# -- returns


@virtual_time
async def test_a_connection_is_thrown_away_after_a_block_that_raises() -> None:
    database = Database()
    resource = make(database)
    async with started(resource):
        with pytest.raises(LookupError):
            async with resource.lend():
                raise LookupError
        assert await use(resource) == 2
        assert database.open_connections == 1


@virtual_time
async def test_the_context_manager_gets_the_error_of_the_block() -> None:
    database = Database()
    resource = make_pool(database)
    async with started(resource):
        await use(resource)
        error = LookupError()
        with pytest.raises(LookupError) as raised:
            async with resource.lend():
                raise error
        assert raised.value is error
        assert await use(resource) == 1
    assert (database.commits, database.rollbacks) == (2, [error])


@virtual_time
async def test_an_error_of_the_exit_is_raised_in_the_borrower() -> None:
    database = Database()

    @asynccontextmanager
    async def lend(connection: Connection) -> AsyncGenerator[Connection]:
        yield connection
        await connection.query()

    resource = Resource(database.connect, lend=lend)
    async with started(resource):
        with pytest.raises(Unreachable, match="the connection is closed"):
            async with resource.lend():
                database.era += 1
        assert await use(resource) == 2


@virtual_time
async def test_a_context_manager_may_suppress_the_error() -> None:
    @asynccontextmanager
    async def lend(number: int) -> AsyncGenerator[int]:
        with suppress(LookupError):
            yield number

    async def connect() -> int:
        return 7

    resource = Resource(connect, lend=lend)

    async def fail() -> None:
        async with resource.lend() as number:
            assert number == 7
            raise LookupError

    async with started(resource):
        await fail()
        await fail()


@virtual_time
async def test_a_cancelled_borrower_leaves_at_once_and_its_rollback_ends() -> None:
    database = Database(seconds=0)
    resource = make_pool(database)
    async with started(resource):
        with trio.move_on_after(1):
            async with resource.lend():
                await trio.sleep_forever()
        assert trio.current_time() == 1
        assert await use(resource) == 1
    assert [type(error) for error in database.rollbacks] == [trio.Cancelled]


@virtual_time
async def test_an_exit_that_hangs_costs_only_its_connection() -> None:
    database = Database(seconds=0)

    @asynccontextmanager
    async def lend(connection: Connection) -> AsyncGenerator[Connection]:
        try:
            yield connection
        except trio.Cancelled:
            await trio.sleep_forever()

    resource = Resource(database.connect, lend=lend, close=database.close)
    async with started(resource):
        with trio.move_on_after(1):
            await use(resource, 5)
        assert await use(resource) == 2
        assert trio.current_time() == pytest.approx(1 + LIMIT)
        assert database.open_connections == 1


@virtual_time
async def test_no_error_stays_in_a_cycle() -> None:
    database, errors = Database(), list[weakref.ref[BaseException]]()
    resource = make_pool(database)

    class Mistake(Exception): ...

    async def borrow() -> None:
        async with resource.lend():
            error = Mistake()
            errors.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error

    async def fail() -> None:
        with pytest.raises(Mistake):
            await borrow()
        database.rollbacks.clear()

    async with started(resource):
        await use(resource)
        gc.disable()
        try:
            await fail()
            await wait_all_tasks_blocked()
            assert errors[0]() is None
        finally:
            gc.enable()


# -- age and freezes


@virtual_time
async def test_it_is_opened_anew_at_max_age() -> None:
    database = Database()
    resource = make(database, max_age=600)
    async with started(resource):
        assert await use(resource) == 1
        await trio.sleep(599)
        assert await use(resource) == 1
        await trio.sleep(2)
        assert await use(resource) == 2
        assert database.open_connections == 1


@virtual_time
async def test_an_old_one_closes_when_its_last_borrower_has_returned() -> None:
    database = Database(seconds=0)
    resource = make(database, connections=2, max_age=10)
    async with started(resource), trio.open_nursery() as nursery:
        nursery.start_soon(use, resource, 30)
        await trio.sleep(20)
        assert await use(resource) == 2
        assert database.open_connections == 2
        await trio.sleep(11)
        assert database.open_connections == 1


@virtual_time
async def test_it_is_checked_after_a_freeze_and_opened_anew_for_the_same_loan() -> None:
    database = Database()
    resource = make(database, check=database.check)
    async with started(resource):
        for _ in range(5):
            assert await use(resource) == 1
        assert database.checks == 0
        await freeze(3600)
        assert await use(resource) == 1
        assert database.checks == 1
        database.era += 1
        await freeze(3600)
        assert await use(resource) == 2
        await wait_all_tasks_blocked()
        assert database.open_connections == 1


@virtual_time
async def test_a_check_without_an_answer_counts_as_failed() -> None:
    database = Database(hangs=True)
    resource = make(database, check=database.check)
    async with started(resource):
        await use(resource)
        await freeze(3600)
        thaw = trio.current_time()
        assert await use(resource) == 2
        assert trio.current_time() == pytest.approx(thaw + LIMIT + 0.01)


@virtual_time
async def test_a_freeze_in_the_middle_of_a_loan_counts() -> None:
    database = Database(seconds=0)
    resource = make(database, check=database.check)
    async with started(resource), trio.open_nursery() as nursery:
        nursery.start_soon(use, resource, 5)
        await wait_all_tasks_blocked()
        await freeze(3600)
        await use(resource)
        assert database.checks == 1


@virtual_time
async def test_a_check_may_return_false() -> None:
    database = Database()

    async def check(connection: Connection) -> bool:
        return False

    resource = make(database, check=check)
    async with started(resource):
        await use(resource)
        await freeze(2)
        assert await use(resource) == 2


# -- outages


@virtual_time
async def test_waiting_borrowers_share_one_opening_and_its_error() -> None:
    database, errors = Database(down=True), list[LendError]()
    resource = make(database, name="database")

    async def fail() -> None:
        with pytest.raises(LendError) as failed:
            await use(resource)
        errors.append(failed.value)

    async with started(resource), trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(fail)
    assert [*map(str, errors)] == [
        "<Resource database> cannot be opened: Unreachable: connection refused"
    ] * 5
    assert isinstance(errors[0].__cause__, Unreachable)
    assert len(database.tries) == 1


@virtual_time
async def test_the_pauses_between_failures_grow_and_end(caplog: pytest.LogCaptureFixture) -> None:
    database = Database(down=True, seconds=0)
    resource = make(database, name="database")
    async with started(resource):
        for _ in range(12):
            with pytest.raises(LendError):
                await use(resource)
        pauses = [b - a for a, b in zip(database.tries, database.tries[1:], strict=False)]
        for at, pause in enumerate(pauses):
            longest = min(0.1 * 2**at, 5.0)
            assert longest / 2 <= pause <= longest + 1e-6
        database.down = False
        assert await use(resource) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "<Resource database> cannot be opened: Unreachable: connection refused",
        "<Resource database> is open again",
    ]


@virtual_time
async def test_a_borrower_whose_time_ends_before_the_next_try_fails_at_once() -> None:
    database = Database(down=True, seconds=0)
    resource = make(database)
    async with started(resource):
        for _ in range(8):
            with pytest.raises(LendError):
                await use(resource)
        began = trio.current_time()
        with trio.move_on_after(0.5), pytest.raises(LendError, match=r"is tried again in \d\.\d s"):
            await use(resource)
        assert trio.current_time() == began


@virtual_time
async def test_an_opening_that_never_ends_ends_with_its_last_borrower() -> None:
    database = Database(seconds=1e6)
    resource = make(database)
    async with started(resource):
        with pytest.raises(LendError), trio.move_on_after(3):
            await use(resource)
        database.seconds = 0.01
        assert await use(resource) == 1


@virtual_time
async def test_a_close_that_raises_or_hangs_is_logged_and_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database(close_seconds=1e6)

    async def fail(connection: Connection) -> None:
        raise Unreachable("gone")

    hanging = make(database, name="hanging")
    failing = Resource(database.connect, close=fail, name="failing")
    async with started(hanging, failing):
        await use(hanging)
        await use(failing)
    assert trio.current_time() < 2 * LIMIT
    assert sorted(record.getMessage() for record in caplog.records) == [
        "<Resource failing>: its close failed: Unreachable: gone",
        f"<Resource hanging>: its close was cancelled after {LIMIT:g} s",
    ]


# -- borrowers that end


@virtual_time
async def test_what_a_late_event_holds_comes_back() -> None:
    database = Database(seconds=0)
    resource = make_pool(database)

    async def handler(event: object, context: object) -> int:
        return await use(resource, 1e6 if event == "late" else 0)

    async with running(Function(handler, [Child(resource)])) as app:
        for _ in range(3):
            with pytest.raises(Exception, match=r"timed out|Deadline"):
                await app.invoke("late", timeout=1)
            assert await app.invoke() == 1
    assert len(database.rollbacks) == 3


@attrs.define(eq=False)
class Keeper(Server):
    """Borrows, and never returns by itself."""

    resource: Resource[Connection]

    async def take(self) -> int:
        lending = self.resource.lend()
        return (await lending.__aenter__()).number


KEEPER = Name("keeper", Keeper)


@virtual_time
async def test_what_a_killed_actor_holds_is_thrown_away() -> None:
    database = Database(seconds=0)
    resource = make(database)
    async with trio.open_nursery() as nursery:
        keeper = Child(lambda: Keeper(resource), name=KEEPER)
        top = await supervise(nursery, SupervisorSpec([Child(resource), keeper]))
        assert await KEEPER.call(Keeper.take) == 1
        ref = KEEPER.whereis()
        assert ref is not None
        ref.kill()
        assert await use(resource) == 2
        await wait_all_tasks_blocked()
        assert database.open_connections == 1
        top.stop()


@virtual_time
async def test_the_context_manager_hears_that_its_borrower_has_ended() -> None:
    database = Database(seconds=0)
    resource = make_pool(database)

    async def handler(event: object, context: object) -> int:
        return (await resource.lend().__aenter__()).number

    async with running(Function(handler, [Child(resource)])) as app:
        for _ in range(3):
            assert await app.invoke() == 1
            await trio.sleep(1)
    assert [type(error) for error in database.rollbacks] == [BorrowerEnded] * 3


@virtual_time
async def test_a_killed_lender_ends_its_loans_and_closes() -> None:
    database = Database(seconds=0)
    resource = make_pool(database)

    async def kill_lender_and_return() -> None:
        async with resource.lend():
            ref = resource.name.whereis()
            assert ref is not None
            ref.kill()
            await ref.wait()

    async with started(resource):
        with pytest.raises(BorrowerEnded):
            await kill_lender_and_return()
        assert database.open_connections == 0
        await resource.name.wait()
        assert await use(resource) == 2


# -- asyncio


@asynccontextmanager
async def on_asyncio_only(connection: Connection) -> AsyncGenerator[Connection]:
    """Fail where asyncio does not run."""
    await asyncio.sleep(0)
    yield connection
    await asyncio.sleep(0)


async def connect_on_asyncio() -> Connection:
    await asyncio.sleep(0)
    return Connection(Database(), 1, 1)


async def test_a_client_of_asyncio_is_borrowed_on_trio_and_on_asyncio() -> None:
    resource = Resource(connect_on_asyncio, lend=on_asyncio_only, loop="asyncio")

    async def borrow() -> int:
        async with resource.lend() as connection:
            return connection.number

    async with started(resource):
        assert await borrow() == 1
        assert await on_asyncio(borrow) == 1


async def test_a_resource_without_its_loop_says_what_to_write() -> None:
    resource = Resource(connect_on_asyncio)
    async with started(resource):
        with pytest.raises(LendError, match=r'write Resource\(\.\.\., loop="asyncio"\)'):
            async with resource.lend():
                pass


async def clean_up_slowly(_: object = None) -> Connection:
    """Wait for a server that does not answer, and once more after a cancellation."""
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(60)
    raise AssertionError


@virtual_time
async def test_an_opening_that_ignores_its_cancellation_is_left_behind() -> None:
    resource = Resource(clean_up_slowly, loop="asyncio", max_wait=1)
    async with started(resource):
        with pytest.raises(LendError, match="was not opened in time"):
            async with resource.lend():
                pass
    assert trio.current_time() == pytest.approx(1 + CLEAN_UP)


@virtual_time
async def test_a_check_and_a_close_that_ignore_their_cancellation_are_left_behind() -> None:
    number = 0

    async def connect() -> int:
        nonlocal number
        number += 1
        return number

    resource = Resource(connect, check=clean_up_slowly, close=clean_up_slowly, loop="asyncio")

    async def borrow() -> int:
        async with resource.lend() as lent:
            return lent

    async with started(resource):
        assert await borrow() == 1
        await trio.sleep(10)
        assert await borrow() == 2
        assert trio.current_time() == pytest.approx(10 + LIMIT + CLEAN_UP)
        await trio.sleep(10)
        stopped = trio.current_time()
    assert trio.current_time() == pytest.approx(stopped + LIMIT + CLEAN_UP)


@virtual_time
async def test_a_stop_bounds_a_commit_whose_borrower_waits() -> None:
    @asynccontextmanager
    async def lend(connection: Connection) -> AsyncGenerator[Connection]:
        yield connection
        await clean_up_slowly()

    resource = Resource(connect_on_asyncio, lend=lend, loop="asyncio")

    async def borrow() -> None:
        with pytest.raises(BorrowerEnded):
            async with resource.lend():
                pass

    async with started(resource), trio.open_nursery() as nursery:
        nursery.start_soon(borrow)
        await trio.sleep(1)
        lender = resource.name.whereis()
        assert lender is not None
        lender.stop()
    assert trio.current_time() == pytest.approx(1 + LIMIT + CLEAN_UP)


@virtual_time
async def test_a_handler_on_asyncio_borrows_and_returns_when_it_is_late() -> None:
    rolled_back = list[BaseException]()

    @asynccontextmanager
    async def lend(connection: Connection) -> AsyncGenerator[Connection]:
        try:
            yield connection
        except BaseException as error:
            await asyncio.sleep(0)
            rolled_back.append(error)
            raise

    resource = Resource(connect_on_asyncio, lend=lend, loop="asyncio")

    async def handler(event: object, context: object) -> int:
        async with resource.lend() as connection:
            await asyncio.sleep(60 if event == "late" else 0)
            return connection.number

    function = Function(handler, [Child(resource)], loop="asyncio")
    async with running(function) as app:
        assert await app.invoke() == 1
        with pytest.raises(Exception, match=r"timed out|Deadline"):
            await app.invoke("late", timeout=1)
        assert await app.invoke() == 1
    assert [type(error) for error in rolled_back] == [asyncio.CancelledError]


@virtual_time
async def test_a_borrower_on_asyncio_gets_its_error_before_the_deadline() -> None:
    @asynccontextmanager
    async def lend(connection: Connection) -> AsyncGenerator[Connection]:
        await asyncio.sleep(60)
        yield connection

    resource = Resource(connect_on_asyncio, lend=lend, loop="asyncio")

    async def handler(event: object, context: object) -> None:
        async with resource.lend():
            pass

    async with running(Function(handler, [Child(resource)], loop="asyncio")) as app:
        with pytest.raises(FunctionError, match=r"LendError: .* came too late"):
            await app.invoke(timeout=5)


async def test_a_borrower_cancelled_at_any_moment_on_asyncio_leaves_nothing_lent() -> None:
    resource = Resource(connect_on_asyncio, loop="asyncio", max_wait=HANG)

    async def borrow() -> None:
        async with resource.lend():
            pass

    async def cancel_after(steps: int) -> None:
        task = asyncio.create_task(borrow())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async with started(resource):
        for steps in range(60):
            await on_asyncio(cancel_after, steps)
        with trio.fail_after(HANG):
            await on_asyncio(borrow)


async def test_a_loan_is_for_one_block() -> None:
    resource = Resource(connect_on_asyncio, loop="asyncio")
    async with started(resource):
        loan = resource.lend()
        async with loan:
            pass
        with pytest.raises(RuntimeError, match=r"call lend\(\) for each"):
            async with loan:
                pass


async def test_a_second_block_of_a_loan_leaves_the_first_its_connection() -> None:
    resource = Resource(connect_on_asyncio, loop="asyncio")

    async def borrow_twice() -> None:
        loan = resource.lend()
        async with loan:
            with pytest.raises(RuntimeError, match=r"call lend\(\) for each"):
                await asyncio.create_task(loan.__aenter__())
            with pytest.raises(LendError):
                await other.lend().__aenter__()
            with pytest.raises(LendError, match="was free in time"):
                await asyncio.create_task(resource.lend().__aenter__())

    other = Resource(connect_on_asyncio, loop="asyncio", name="without an actor")
    resource.max_wait = 0.1
    async with started(resource):
        await on_asyncio(borrow_twice)


async def test_a_nested_loan_on_asyncio_is_refused() -> None:
    resource = Resource(connect_on_asyncio, connections=2, loop="asyncio")

    async def borrow() -> None:
        async with resource.lend(), resource.lend():
            pass

    async with started(resource):
        with pytest.raises(LendError, match="this task holds one already"):
            await on_asyncio(borrow)


# -- tests of users, and arguments


@virtual_time
async def test_a_stand_in_is_lent_inside_its_block() -> None:
    database = Database()
    resource = make_pool(database, check=database.check)
    fake = Connection(Database(), 42, 1)

    async def open_fake() -> Connection:
        return fake

    with resource.opened_by(open_fake):
        async with started(resource):
            assert await use(resource) == 42
            await freeze(10)
            assert await use(resource) == 42
    assert database.tries == []
    async with started(resource):
        assert await use(resource) == 1


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"open": "url"}, TypeError, "open must be a function, got str"),
        ({"check": 1}, TypeError, "check must be a function, got 1"),
        ({"connections": 0}, ValueError, "connections must be an integer >= 1, got 0"),
        ({"max_age": 0}, ValueError, "max_age must be > 0 seconds, got 0"),
        ({"loop": "uvloop"}, ValueError, 'loop must be "trio", "asyncio" or None'),
    ],
)
def test_wrong_arguments_are_refused(
    wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"open": Database().connect, **wrong}
    with pytest.raises(error, match=message):
        Resource(**arguments)


def test_the_child_of_a_resource_has_its_name() -> None:
    child = Child(Resource(Database().connect, name="database"))

    assert child.name == Name("database", Lender)
    assert child.id == "database"
