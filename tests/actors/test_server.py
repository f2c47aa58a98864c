"""Servers: one message at a time, and whose mistake is whose."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    IGNORED,
    ActorExited,
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


@attrs.define(eq=False)
class Desk(Server):
    log: list[object] = attrs.Factory(list)

    async def work(self, number: int) -> int:
        self.log.append(f"begin {number}")
        await trio.lowlevel.checkpoint()
        self.log.append(f"end {number}")
        return number

    def sync(self) -> int:
        return 1

    async def stream(self) -> AsyncIterator[int]:
        yield 1

    def relayed(self, number: int) -> Awaitable[int]:
        return self.work(number)

    async def confused(self) -> None:
        len(3)  # type: ignore[arg-type]

    async def handle_info(self, message: object) -> None:
        self.log.append(message)


async def test_messages_are_served_one_at_a_time(nursery: trio.Nursery) -> None:
    log: list[object] = []
    desk = await start(nursery, lambda: Desk(log))
    async with trio.open_nursery() as callers:
        for number in range(3):
            callers.start_soon(desk.call, Desk.work, number)

    assert len(log) == 6
    assert [str(line).split()[0] for line in log] == ["begin", "end"] * 3
    await stop(desk)


async def test_what_is_no_method_goes_to_handle_info(nursery: trio.Nursery) -> None:
    log: list[object] = []
    desk = await start(nursery, lambda: Desk(log))

    await desk.send("hello")
    desk.send_nowait(None)
    await wait_all_tasks_blocked()

    assert log == ["hello", None]
    await stop(desk)


async def test_a_server_without_handle_info_logs_and_lives(
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
    "unknown": (Other.elsewhere, (), "has no elsewhere"),
    "arguments": (Desk.work, (1, 2), "cannot take this: Desk.work() takes 2 positional"),
    "missing": (Desk.work, (), "cannot take this: Desk.work() missing 1 required"),
    "sync": (Desk.sync, (), "has a sync, but it is no async method"),
    "stream": (Desk.stream, (), "has a stream, but it is no async method"),
}


@pytest.mark.parametrize(("method", "args", "sentence"), MISTAKES.values(), ids=MISTAKES)
async def test_a_callers_mistake_is_told_to_the_caller_and_the_server_lives(
    nursery: trio.Nursery, method: Callable[..., Any], args: tuple[object, ...], sentence: str
) -> None:
    desk = await start(nursery, Desk)

    with pytest.raises(TypeError) as told:
        await desk.call(method, *args)

    assert f"Desk (Desk) {sentence}" in str(told.value)
    assert await desk.call(Desk.work, 1) == 1
    await stop(desk)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [((1,), True), ((1, 2), False)],
    ids=["the only mistake", "besides another mistake"],
)
async def test_a_time_limit_among_the_arguments_is_refused_with_what_to_write(
    nursery: trio.Nursery, arguments: tuple[int, ...], advice: bool
) -> None:
    desk: Ref[Any] = await start(nursery, Desk)
    work: Callable[..., Any] = Desk.work

    with pytest.raises(TypeError, match="cannot take this: Desk") as told:
        await desk.call(work, *arguments, timeout=1)

    said = "; a time limit is the caller's: `with trio.fail_after(seconds):`"
    assert str(told.value).endswith(said) is advice
    await stop(desk)


async def test_a_method_of_an_object_is_refused_by_each_verb_and_by_each_door(
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
        with pytest.raises(TypeError, match=r"write ref\.call\(Desk\.work, \.\.\.\)"):
            await ask()
    with pytest.raises(TypeError, match=r"write ref\.call\(Desk\.work, \.\.\.\)"):
        from_sync.cast(desk, other.work, 1)
    with pytest.raises(TypeError, match=r"write ref\.call\(Desk\.work, \.\.\.\)"):
        desk.cast_nowait(other.work, 1)
    await stop(desk)


@pytest.mark.parametrize(("method", "args", "sentence"), MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_in_a_cast_is_logged_and_the_server_lives(
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


async def test_a_method_that_gives_an_awaitable_is_a_message(nursery: trio.Nursery) -> None:
    desk = await start(nursery, Desk)

    assert await desk.call(Desk.relayed, 5) == 5
    await stop(desk)


async def test_a_type_error_inside_a_method_is_the_servers_own_crash() -> None:
    told: list[BaseException | None] = []
    with pytest.raises(BaseExceptionGroup):  # noqa: PT012 - the nursery raises
        async with trio.open_nursery() as nursery:
            desk = await start(nursery, Desk)
            with trio.CancelScope(shield=True):
                try:
                    await desk.call(Desk.confused)
                except ActorExited as error:
                    told.append(error.__cause__)

    assert isinstance(told[0], TypeError)


async def test_a_stop_cuts_the_message_at_its_next_checkpoint(nursery: trio.Nursery) -> None:
    class Patient(Server):
        async def wait(self) -> None:
            await trio.sleep_forever()

    async def ask() -> None:
        with pytest.raises(ActorExited, match="shutdown, asked for wait"):
            await patient.call(Patient.wait)
        told.set()

    told = trio.Event()
    patient = await start(nursery, Patient)
    nursery.start_soon(ask)
    await wait_all_tasks_blocked()

    await stop(patient)

    await told.wait()


class Shop(Server):
    """Refuses what it does not have, and lives."""

    async def sell(self, what: str) -> str:
        if what == "nothing":
            raise SoldOut(what)
        return what


class SoldOut(Refusal):
    """There is none left."""


async def test_a_refusal_is_raised_in_the_caller_and_the_server_lives(
    nursery: trio.Nursery,
) -> None:
    shop = await start(nursery, Shop)

    with pytest.raises(SoldOut):
        await shop.call(Shop.sell, "nothing")

    assert await shop.call(Shop.sell, "tea") == "tea"
    await stop(shop)


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


async def test_an_init_that_raises_ignore_ends_normally_and_unlogged(
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


async def test_a_type_error_from_inside_a_method_that_is_no_coroutine_ends_the_server() -> None:
    class Relay(Server):
        def relayed(self) -> Awaitable[int]:
            return self.broken()

        def broken(self) -> Awaitable[int]:
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


async def test_a_refusal_that_a_nursery_has_wrapped_is_still_an_answer(
    nursery: trio.Nursery,
) -> None:
    desk = await start(nursery, Grouped)

    with pytest.raises(Refusal, match="closed"):
        await desk.call(Grouped.refuse, Refusal("closed"))

    assert await desk.call(Desk.work, 1) == 1
    await stop(desk)


class Closing(Server):
    """Refuses when it is cancelled in the middle, in a task beside one that hears of it, too."""

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
async def test_a_refusal_is_an_answer_also_where_the_method_is_cut(
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
    """Its own `path` is no place in a tree."""

    path: str = "/etc/motd"


async def test_errors_name_the_actors_path_whatever_it_calls_its_fields(
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


async def test_wrong_arguments_are_the_callers_mistake_though_a_decorator_takes_any(
    nursery: trio.Nursery,
) -> None:
    desk = await start(nursery, Decorated)

    with pytest.raises(TypeError, match="cannot take this"):
        await desk.call(Decorated.work, 1, 2)

    assert await desk.call(Decorated.work, 1) == 1
    await stop(desk)


async def test_a_mistake_inside_a_decorated_method_is_still_the_servers() -> None:
    with pytest.raises(ExceptionGroup) as told:
        async with trio.open_nursery() as nursery:
            await (await start(nursery, Decorated)).cast(Decorated.confused)

    assert told.group_contains(TypeError, match="object of type 'int'")


def test_what_becomes_of_messages_on_stop_is_no_text_that_is_taken_for_cut() -> None:
    with pytest.raises(TypeError, match="Hasty: when_stopped is a WhenStopped, not str"):
        type("Hasty", (Desk,), {"when_stopped": "drain"})


def test_what_a_class_is_made_with_goes_on_to_the_next_base() -> None:
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


async def test_what_becomes_of_messages_on_stop_may_be_each_instances_own(
    nursery: trio.Nursery,
) -> None:
    for make in (lambda: Patient(WhenStopped.DRAIN), Undecided):
        ref = await start(nursery, make)
        await wait_all_tasks_blocked()
        assert ref._process.drains
        await stop(ref)
