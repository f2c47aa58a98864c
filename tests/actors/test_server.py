"""Servers: one message at a time, and the errors of callers, methods and classes."""

import functools
import time
import timeit
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    IGNORED,
    SHUTDOWN,
    ActorExited,
    Exit,
    Ignore,
    Ref,
    Refusal,
    Server,
    StartError,
    Status,
    WhenStopped,
    from_sync,
    from_thread,
    start,
    stop,
)


def wrap_plainly(method: Callable[..., Any]) -> Any:
    """Decorate a method with a plain `def`, as many decorators do."""

    @functools.wraps(method)
    def wrapper(*args: object, **kwargs: object) -> object:
        return method(*args, **kwargs)

    return wrapper


@attrs.define(eq=False)
class Desk(Server):
    log: list[object] = attrs.Factory(list)

    async def work(self, number: int) -> int:
        self.log.append(f"begin {number}")
        await trio.lowlevel.checkpoint()
        self.log.append(f"end {number}")
        return number

    @wrap_plainly
    def sync(self) -> int:
        return 1

    async def stream(self) -> AsyncIterator[int]:
        yield 1

    @wrap_plainly
    async def relayed(self, number: int) -> int:
        return await self.work(number)

    async def confused(self) -> None:
        len(3)  # type: ignore[arg-type]

    async def handle_info(self, message: object) -> None:
        self.log.append(message)


async def test_messages_are_handled_one_at_a_time(nursery: trio.Nursery) -> None:
    log: list[object] = []
    desk = await start(nursery, lambda: Desk(log))
    async with trio.open_nursery() as callers:
        for number in range(3):
            callers.start_soon(desk.call, Desk.work, number)

    assert len(log) == 6
    assert [str(line).split()[0] for line in log] == ["begin", "end"] * 3
    await stop(desk)


async def test_sent_values_go_to_handle_info(nursery: trio.Nursery) -> None:
    log: list[object] = []
    desk = await start(nursery, lambda: Desk(log))

    await desk.send("hello")
    desk.send_nowait(None)
    await wait_all_tasks_blocked()

    assert log == ["hello", None]
    await stop(desk)


async def test_a_server_without_handle_info_logs_and_goes_on(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Bare(Server):
        async def ask(self) -> int:
            return 1

    bare = await start(nursery, Bare, path="/bare")
    await bare.send("hello")

    assert await bare.call(Bare.ask) == 1
    assert caplog.messages == ["/bare has no handle_info and was sent a message of type str"]
    await stop(bare)


class Other(Server):
    async def elsewhere(self) -> None: ...


MISTAKES: dict[str, tuple[Callable[..., Any], tuple[object, ...], str]] = {
    "unknown": (Other.elsewhere, (), "has no method elsewhere"),
    "arguments": (Desk.work, (1, 2), "cannot take this message: Desk.work() takes 2 positional"),
    "missing": (Desk.work, (), "cannot take this message: Desk.work() missing 1 required"),
    "sync": (Desk.sync, (), "has a sync that is no async method"),
    "stream": (Desk.stream, (), "has a stream that is no async method"),
}


@pytest.mark.parametrize(("method", "args", "sentence"), MISTAKES.values(), ids=MISTAKES)
async def test_a_callers_mistake_raises_in_the_caller(
    nursery: trio.Nursery, method: Callable[..., Any], args: tuple[object, ...], sentence: str
) -> None:
    desk = await start(nursery, Desk)

    with pytest.raises(TypeError) as caught:
        await desk.call(method, *args)

    assert f"Desk (Desk) {sentence}" in str(caught.value)
    assert await desk.call(Desk.work, 1) == 1
    await stop(desk)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [((1,), True), ((1, 2), False)],
    ids=["the only mistake", "besides another mistake"],
)
async def test_a_timeout_argument_is_refused_with_the_cure(
    nursery: trio.Nursery, arguments: tuple[int, ...], advice: bool
) -> None:
    desk: Ref[Any] = await start(nursery, Desk)
    work: Callable[..., Any] = Desk.work

    with pytest.raises(TypeError, match="cannot take this message: Desk") as caught:
        await desk.call(work, *arguments, timeout=1)

    hint = "; to limit the wait, call inside `with trio.fail_after(seconds):`"
    assert str(caught.value).endswith(hint) is advice
    await stop(desk)


async def test_every_way_to_send_refuses_a_bound_method(
    nursery: trio.Nursery,
) -> None:
    desk: Ref[Any] = await start(nursery, Desk)
    other: Any = Desk()
    asked: list[Callable[[], Any]] = [
        partial(desk.call, other.work, 1),
        partial(desk.cast, other.work, 1),
        partial(desk.request, other.work, 1),
        partial(trio.to_thread.run_sync, from_thread.call, desk, other.work, 1),
        partial(trio.to_thread.run_sync, from_thread.cast, desk, other.work, 1),
    ]

    for ask in asked:
        with pytest.raises(TypeError, match=r"ref\.call\(Desk\.work, \.\.\.\)"):
            await ask()
    with pytest.raises(TypeError, match=r"ref\.call\(Desk\.work, \.\.\.\)"):
        from_sync.cast(desk, other.work, 1)
    with pytest.raises(TypeError, match=r"ref\.call\(Desk\.work, \.\.\.\)"):
        desk.cast_nowait(other.work, 1)
    await stop(desk)


@pytest.mark.parametrize(("method", "args", "sentence"), MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_in_a_cast_is_logged(
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    method: Callable[..., Any],
    args: tuple[object, ...],
    sentence: str,
) -> None:
    desk: Ref[Any] = await start(nursery, Desk)

    await desk.cast(method, *args)

    assert await desk.call(Desk.work, 1) == 1
    assert sentence in caplog.text
    await stop(desk)


async def test_a_decorated_method_that_returns_an_awaitable_is_a_message(
    nursery: trio.Nursery,
) -> None:
    desk = await start(nursery, Desk)

    assert await desk.call(Desk.relayed, 5) == 5
    await stop(desk)


async def test_a_type_error_inside_a_method_ends_the_server() -> None:
    causes: list[BaseException | None] = []
    with pytest.raises(BaseExceptionGroup):  # noqa: PT012 - the nursery raises
        async with trio.open_nursery() as nursery:
            desk = await start(nursery, Desk)
            with trio.CancelScope(shield=True):
                try:
                    await desk.call(Desk.confused)
                except ActorExited as error:
                    causes.append(error.__cause__)

    assert isinstance(causes[0], TypeError)


async def test_stop_cancels_the_method_at_its_next_checkpoint(nursery: trio.Nursery) -> None:
    class Patient(Server):
        async def wait(self) -> None:
            await trio.sleep_forever()

    async def ask() -> None:
        with pytest.raises(ActorExited, match=r"shutdown; wait\(\) failed$"):
            await patient.call(Patient.wait)
        failed.set()

    failed = trio.Event()
    patient = await start(nursery, Patient)
    nursery.start_soon(ask)
    await wait_all_tasks_blocked()

    await stop(patient)

    await failed.wait()


class Shop(Server):
    """Raises a Refusal for what it does not have."""

    async def sell(self, what: str) -> str:
        if what == "nothing":
            raise SoldOut(what)
        return what


class SoldOut(Refusal):
    """An expected error."""


async def test_a_refusal_is_raised_in_the_caller(
    nursery: trio.Nursery,
) -> None:
    shop = await start(nursery, Shop)

    with pytest.raises(SoldOut):
        await shop.call(Shop.sell, "nothing")

    assert await shop.call(Shop.sell, "tea") == "tea"
    await stop(shop)


async def test_an_error_that_a_class_refuses_leaves_the_server_alive(
    nursery: trio.Nursery,
) -> None:
    class Till(Shop):
        refuses = (OSError,)

        async def pay(self, error: Exception) -> None:
            raise error

    till = await start(nursery, Till)
    for error in (ConnectionError("no line"), SoldOut("tea")):
        with pytest.raises(type(error)):
            await till.call(Till.pay, error)
    assert till.alive
    await stop(till)


async def test_an_exit_ends_a_server_that_refuses_every_exception(nursery: trio.Nursery) -> None:
    class Closing(Server):
        refuses = (Exception,)

        async def close(self) -> None:
            raise Exit(SHUTDOWN)

    closing = await start(nursery, Closing)
    with pytest.raises(ActorExited):
        await closing.call(Closing.close)
    assert await closing.wait() == SHUTDOWN


def test_refuses_must_be_a_tuple_of_exception_classes() -> None:
    for wrong in (OSError, [OSError], (OSError("one"),), (KeyboardInterrupt,)):
        with pytest.raises(TypeError, match=r"refuses must be a tuple of exception classes"):
            type("Till", (Server,), {"refuses": wrong})


async def test_a_refused_cast_is_logged(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await start(nursery, Shop)

    await shop.cast(Shop.sell, "nothing")
    await wait_all_tasks_blocked()

    assert shop.alive
    assert "refused sell(str[7]): " in caplog.text
    await stop(shop)


async def test_the_log_of_a_refused_cast_is_redacted(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Discreet(Shop):
        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, reason="declined")

    shop = await start(nursery, Discreet)

    await shop.cast(Shop.sell, "nothing")
    await wait_all_tasks_blocked()

    assert "refused sell(str[7]): declined" in caplog.text
    assert "nothing" not in caplog.text
    await stop(shop)


async def test_ignore_in_init_ends_the_server_without_a_log_line(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Needless(Server):
        async def init(self) -> None:
            raise Ignore

    with pytest.raises(StartError) as failure:
        await start(nursery, Needless)

    assert failure.value.reason == IGNORED
    assert failure.value.reason.quiet
    assert caplog.text == ""


async def test_a_type_error_in_a_plain_wrapper_ends_the_server() -> None:
    class Relay(Server):
        @wrap_plainly
        def relayed(self) -> Awaitable[int]:
            raise TypeError("not the caller's mistake")

    with pytest.RaisesGroup(pytest.RaisesExc(TypeError, match="not the caller's mistake")):
        async with trio.open_nursery() as nursery:
            relay = await start(nursery, Relay)
            with pytest.raises(ActorExited):
                await relay.call(Relay.relayed)


class Grouped(Desk):
    async def refuse(self, *errors: Exception) -> None:
        async with trio.open_nursery() as nursery:
            for error in errors:
                nursery.start_soon(self._raise, error)

    async def _raise(self, error: Exception) -> None:
        raise error


async def test_a_refusal_in_a_group_is_raised_in_the_caller(
    nursery: trio.Nursery,
) -> None:
    desk = await start(nursery, Grouped)

    with pytest.raises(Refusal, match="closed"):
        await desk.call(Grouped.refuse, Refusal("closed"))

    assert await desk.call(Desk.work, 1) == 1
    await stop(desk)


class Closing(Server):
    """Raises a Refusal when cancelled, also in one of two cancelled tasks."""

    async def wait(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Refusal("closed")

    async def wait_in_a_task(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wait)
            await trio.sleep_forever()


@pytest.mark.parametrize("wait", [Closing.wait, Closing.wait_in_a_task])
@pytest.mark.parametrize("end", [Ref[Closing].stop, Ref[Closing].kill])
async def test_a_refusal_of_a_cancelled_method_is_an_answer(
    nursery: trio.Nursery,
    wait: Callable[[Closing], Awaitable[None]],
    end: Callable[[Ref[Closing]], None],
) -> None:
    closing = await start(nursery, Closing)
    asked = await closing.request(wait)
    await wait_all_tasks_blocked()

    end(closing)

    assert (await closing.wait()).kind == ("killed" if end is Ref[Closing].kill else "shutdown")
    with pytest.raises(Refusal, match="closed"):
        await asked.result()


@attrs.define(eq=False)
class Writer(Server):
    """A field hides the `path` of Actor."""

    path: str = "/etc/motd"


async def test_log_lines_have_the_path_even_with_a_field_named_path(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await start(nursery, Writer, path="/writer")

    await writer.send("x" * 1000)
    await wait_all_tasks_blocked()

    [record] = caplog.records
    assert record.getMessage() == "/writer has no handle_info and was sent a message of type str"
    await stop(writer)


def logged(method: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    @functools.wraps(method)
    async def anything(*args: object, **kwargs: object) -> int:
        return await method(*args, **kwargs)

    return anything


class Decorated(Desk):
    work = logged(Desk.work)  # type: ignore[assignment]
    confused = logged(Desk.confused)  # type: ignore[assignment, arg-type]


async def test_wrong_arguments_behind_a_decorator_raise_in_the_caller(
    nursery: trio.Nursery,
) -> None:
    desk = await start(nursery, Decorated)

    with pytest.raises(TypeError, match="cannot take this message"):
        await desk.call(Decorated.work, 1, 2)

    assert await desk.call(Decorated.work, 1) == 1
    await stop(desk)


async def test_a_type_error_in_a_decorated_method_ends_the_server() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await (await start(nursery, Decorated)).cast(Decorated.confused)

    assert caught.group_contains(TypeError, match="object of type 'int'")


def test_when_stopped_must_be_a_when_stopped() -> None:
    with pytest.raises(TypeError, match=r"^Hasty\.when_stopped must be a WhenStopped, got str"):
        type("Hasty", (Desk,), {"when_stopped": "drain"})


def test_class_keywords_reach_the_next_base() -> None:
    class Routed:
        def __init_subclass__(cls, *, route: str, **kwargs: object) -> None:
            super().__init_subclass__(**kwargs)
            routes.append(route)

    routes = list[str]()
    type("Shop", (Server, Routed), {}, route="/shop")

    assert routes == ["/shop"]


@attrs.define(eq=False)
class Patient(Server):
    when_stopped: WhenStopped = WhenStopped.CUT  # type: ignore[misc]


class Undecided(Server):
    @property
    def when_stopped(self) -> WhenStopped:  # type: ignore[override]
        return WhenStopped.DRAIN


async def test_when_stopped_may_be_a_field_or_a_property(
    nursery: trio.Nursery,
) -> None:
    for make in (lambda: Patient(WhenStopped.DRAIN), Undecided):
        ref = await start(nursery, make)
        await wait_all_tasks_blocked()
        assert ref._process.work.drains
        await stop(ref)


# -- public methods are async


async def echo(text: str) -> str:
    return text


def shout(text: str) -> str:
    return text.upper()


def test_a_public_plain_method_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError) as refused:

        class Counter(Server):
            def count(self, by: int) -> int:
                return by

    assert str(refused.value) == (
        "Counter.count is a plain `def`, but a public method of a Server is a message: make it "
        "`async def`, or begin its name with an underscore"
    )


def test_a_public_plain_method_is_refused_in_an_attrs_class() -> None:
    with pytest.raises(TypeError, match=r"^Counter\.count is a plain `def`"):

        @attrs.define(eq=False)
        class Counter(Server):
            total: int = 0

            def count(self, by: int) -> int:
                return by


def test_a_class_may_define_everything_else_that_is_public() -> None:
    class Mixin:
        def helper(self) -> str:
            return "plain, in a class that is no Server"

    @attrs.define(eq=False)
    class Rich(Mixin, Server):
        format_text: Callable[[str], str] = shout
        words: Callable[[str], str] = attrs.field(default=shout)

        def format_status(self, status: Status) -> Status:
            return status

        def _helper(self) -> None: ...

        @property
        def size(self) -> int:
            return 1

        @staticmethod
        def make() -> "Rich":
            return Rich()

        @classmethod
        def build(cls) -> "Rich":
            return cls()

        @functools.cached_property
        def cached(self) -> int:
            return 1

        @types.coroutine
        def old_style(self) -> Any:
            yield from ()

        @wrap_plainly
        async def decorated(self) -> None: ...

        async def message(self) -> None: ...

    assert Rich.make().format_text("bob") == "BOB"


def test_an_attrs_class_may_have_public_validators_and_defaults() -> None:
    @attrs.define(eq=False)
    class Limited(Server):
        most: int = attrs.field(validator=attrs.validators.instance_of(int))
        count: int = attrs.field()

        @most.validator
        def check_most(self, _: object, value: int) -> None:
            if value < 1:
                raise ValueError("too few")

        @count.validator
        def check_count(self, _: object, value: int) -> None:
            if value > self.most:
                raise ValueError("too many")

        @count.default
        def start_full(self) -> int:
            return self.most

    assert Limited(3).count == 3
    with pytest.raises(ValueError, match="too few"):
        Limited(0)
    with pytest.raises(ValueError, match="too many"):
        Limited(3, 4)


def test_an_attrs_class_without_slots_may_have_a_public_default() -> None:
    @attrs.define(eq=False, slots=False)
    class Full(Server):
        count: int = attrs.field()

        @count.default
        def start_full(self) -> int:
            return 3

    assert Full().count == 3


def test_the_class_checks_take_under_50_us() -> None:
    names = {f"method_{number}": echo for number in range(20)}
    make = functools.partial(type, "Many", (Server,), names)
    make_plain = functools.partial(type, "Many", (object,), names)
    # CPU time, the best of many runs, so that load does not matter.
    with_checks, without = (
        min(timeit.repeat(each, repeat=50, number=20, timer=time.process_time)) / 20
        for each in (make, make_plain)
    )

    assert with_checks - without < 50e-6
