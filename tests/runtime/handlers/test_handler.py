"""The event type of a Handler class, and any callable as a handler."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

import pytest
import trio

from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import (
    AsyncHandler,
    Handler,
    Instance,
    PlainHandler,
    event_type,
    is_async,
    is_awaitable,
    is_handler,
)
from okibi.runtime.logs.invocation_context import enter_invocation
from tests.limits import HANG
from tests.support.doubles import SETTINGS, delivery

T = TypeVar("T")
U = TypeVar("U")


class Mixin: ...


class Direct(Handler[int]): ...


class Untyped(Handler): ...  # type: ignore[type-arg]


class Below(Direct): ...


class Mixed(Mixin, Handler[str]): ...


class Listed(Handler[list[T]], Generic[T]): ...


class Numbers(Listed[int]): ...


class Bare(Listed): ...  # type: ignore[type-arg]


class Pair(Handler[dict[T, U]], Generic[T, U]): ...


class Turned(Pair[U, T], Generic[T, U]): ...


class Settled(Turned[int, str]): ...


class Optional(Handler[T | None], Generic[T]): ...


class Perhaps(Optional[bytes]): ...


class Through(Handler[T], Generic[T]): ...


class Nested(Through[list[dict[str, T]]], Generic[T]): ...


class Deep(Nested[float]): ...


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (Direct, int),
        (Untyped, Any),
        (Handler, Any),
        (Below, int),
        (Mixed, str),
        (Numbers, list[int]),
        (Listed, list[Any]),
        (Bare, list[Any]),
        (Settled, dict[str, int]),
        (Perhaps, bytes | None),
        (Deep, list[dict[str, float]]),
    ],
)
def test_the_event_type_is_found_along_the_bases(handler: Any, expected: Any) -> None:
    assert event_type(handler) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [(Direct, True), (Handler, True), (Direct(), False), (print, False), (int, False)],
)
def test_only_a_subclass_of_handler_is_a_handler_class(target: Any, expected: bool) -> None:
    assert is_handler(target) is expected


# -- any callable


def plain(event: object, context: object) -> object:
    return ("plain", event)


async def coroutine(event: object, context: object) -> object:
    await trio.lowlevel.checkpoint()
    return ("coroutine", event)


def awaitable(event: object, context: object) -> Awaitable[object]:
    return coroutine(event, context)


class Called:
    def __call__(self, event: object, context: object) -> object:
        return plain(event, context)


class CalledAsync:
    async def __call__(self, event: object, context: object) -> object:
        return await coroutine(event, context)


class WithMethods:
    def plain(self, event: object, context: object) -> object:
        return plain(event, context)

    async def coroutine(self, event: object, context: object) -> object:
        return await coroutine(event, context)


async def three(extra: object, event: object, context: object) -> object:
    return await coroutine(event, context)


TARGETS: list[tuple[Any, str, bool]] = [
    (plain, "plain", False),
    (coroutine, "coroutine", True),
    (awaitable, "coroutine", False),
    (partial(plain), "plain", False),
    (partial(three, 1), "coroutine", True),
    (Called(), "plain", False),
    (CalledAsync(), "coroutine", True),
    (WithMethods().plain, "plain", False),
    (WithMethods().coroutine, "coroutine", True),
    (lambda event, context: ("plain", event), "plain", False),
]


async def answer_of(handler: Instance) -> object:
    answer = handler.handle(7, Context(delivery(), SETTINGS))
    return await answer if is_awaitable(answer) else answer


@pytest.mark.parametrize(("target", "kind", "asynchronous"), TARGETS)
@pytest.mark.parametrize("inline", [True, False])
async def test_any_callable_is_served(
    target: Callable[..., Any],
    kind: str,
    asynchronous: bool,
    inline: bool,
    nursery: trio.Nursery,
) -> None:
    abandoned = list[str]()
    plain = PlainHandler(
        target, DeadlineInterrupt() if inline else None, lambda what, _: abandoned.append(what)
    )
    object.__setattr__(plain, "nursery", nursery)
    handler: Instance = AsyncHandler(target) if is_async(target) else plain

    answer = await answer_of(handler)

    assert answer == (kind, 7)
    assert is_async(target) is asynchronous
    assert not abandoned


@pytest.mark.parametrize("target", [target for target, _, asynchronous in TARGETS if asynchronous])
async def test_a_coroutine_function_is_awaited_directly(target: Callable[..., Any]) -> None:
    handle: Callable[..., Any] = AsyncHandler(target).handle

    assert handle is target
    assert await handle(7, Context(delivery(), SETTINGS)) == ("coroutine", 7)


async def test_the_error_of_a_plain_def_is_raised_to_the_worker(
    nursery: trio.Nursery,
) -> None:
    def broken(event: object, context: object) -> None:
        raise KeyError(event)

    for interrupt in (DeadlineInterrupt(), None):
        plain = PlainHandler(broken, interrupt, print)
        object.__setattr__(plain, "nursery", nursery)
        with pytest.raises(KeyError, match="7"):
            await answer_of(plain)


async def test_the_event_after_a_late_one_runs_in_a_new_thread(
    nursery: trio.Nursery,
) -> None:
    release, idents, scope = threading.Event(), list[int](), trio.CancelScope()

    def handler(event: object, context: object) -> None:
        idents.append(threading.get_ident())
        if len(idents) == 2:
            trio.from_thread.run_sync(scope.cancel)
            release.wait(HANG)

    plain = PlainHandler(handler, None, lambda *_: None)
    object.__setattr__(plain, "nursery", nursery)
    await answer_of(plain)
    with scope:
        await answer_of(plain)
    await answer_of(plain)
    release.set()

    first, late, after = idents
    assert scope.cancelled_caught
    assert first == late != after
    nursery.cancel_scope.cancel()


async def test_a_thread_past_the_deadline_is_reported_as_abandoned(nursery: trio.Nursery) -> None:
    release, abandoned = trio.Event(), list[tuple[str, Callable[[], bool]]]()

    def waits(event: object, context: object) -> None:
        trio.from_thread.run_sync(scope.cancel, trio_token=token)
        trio.from_thread.run(release.wait, trio_token=token)

    token = trio.lowlevel.current_trio_token()
    enter_invocation("id-1", {})
    with trio.CancelScope() as scope:
        plain = PlainHandler(waits, None, lambda *told: abandoned.append(told))
        object.__setattr__(plain, "nursery", nursery)
        await answer_of(plain)

    ((what, goes_on),) = abandoned
    assert scope.cancelled_caught
    assert what == "the thread of id-1"
    assert goes_on()
    release.set()
    with trio.fail_after(HANG):
        while goes_on():
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_refused_thread_is_reported_until_a_thread_can_start(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    abandoned = list[tuple[str, Callable[[], bool]]]()

    async def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    def plain(nursery: trio.Nursery) -> PlainHandler:
        made = PlainHandler(lambda event, _: event, None, lambda *told: abandoned.append(told))
        object.__setattr__(made, "nursery", nursery)
        return made

    enter_invocation("id-1", {})
    with monkeypatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", refuses)
        for _ in range(2):
            with pytest.raises(ExceptionGroup, match="nursery"):
                async with trio.open_nursery() as own:
                    await answer_of(plain(own))

    assert [what for what, _ in abandoned] == ["what keeps id-1 from a thread"] * 2
    assert all(goes_on() for _, goes_on in abandoned)
    assert await answer_of(plain(nursery)) == 7
    assert not any(goes_on() for _, goes_on in abandoned)
    nursery.cancel_scope.cancel()


async def test_a_handler_without_handle_raises_not_implemented() -> None:
    with pytest.raises(NotImplementedError, match="Direct needs a `handle`"):
        Direct().handle(1, Context(delivery(), SETTINGS))
