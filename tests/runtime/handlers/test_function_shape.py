"""A Handler class with a wrong method is refused at the start, in one sentence."""

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from okibi.actors import Server
from okibi.runtime import Context, Handler, Workers
from okibi.supervisors import SpecError

if TYPE_CHECKING:
    from decimal import Decimal

    from okibi.actors import ExitReason


class Synchronous(Handler[Any]):
    def handle(self, event: Any, context: Context) -> object:  # type: ignore[override]
        return event


class Misspelt(Handler[Any]):
    async def handler(self, event: Any, context: Context) -> object:
        return event


class WithoutContext(Handler[Any]):
    async def handle(self, event: Any) -> object:  # type: ignore[override]
        return event


class WithoutReason(Handler[Any]):
    async def handle(self, event: Any, context: Context) -> object:
        return event

    async def terminate(self) -> None:  # type: ignore[override]
        """Called with a reason."""


class WithClient(Handler[Any]):
    async def init(self, client: object) -> None:  # type: ignore[override]
        """Called with nothing."""

    async def handle(self, event: Any, context: Context) -> object:
        return event


class Visits(Server):
    """An actor, given by mistake as the handler."""


class NoHandler:
    async def handle(self, event: Any, context: Context) -> object:
        return event


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        (Synchronous, "Synchronous.handle must be an `async def`"),
        (Misspelt, "Misspelt has no `handle`: write async def handle(self, event, context)"),
        (WithoutContext, "WithoutContext.handle must take (self, event, context)"),
        (WithClient, "WithClient.init must take (self)"),
        (WithoutReason, "WithoutReason.terminate must take (self, reason)"),
        (Visits, "Visits is an actor: start it as a Child of the Function"),
        (NoHandler, "NoHandler has a `handle` but is not a Handler: write class NoHandler(Hand"),
    ],
)
def test_a_wrong_handler_class_is_refused_with_what_to_write(handler: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as told:
        Workers(handler)

    assert told.value.field == "handler"
    assert sentence in str(told.value)


def untouched(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator whose wrapper is a plain `def`."""

    @functools.wraps(hook)
    def decorated(*given: Any) -> Any:
        return hook(*given)

    return decorated


def test_a_handle_wrapped_by_a_plain_def_names_the_decorator_s_module() -> None:
    class Decorated(Handler[Any]):
        @untouched
        async def handle(self, event: Any, context: Context) -> object:
            return event

    with pytest.raises(SpecError) as told:
        Workers(Decorated)

    assert str(told.value) == (
        f"Decorated.handle must be an `async def`, and a decorator of {__name__} makes it a plain "
        "`def`: decorate an `async def handler(event, context)` instead, and give that as handler"
    )


def test_an_init_wrapped_by_a_plain_def_is_accepted() -> None:
    class Decorated(Handler[Any]):
        @untouched
        async def init(self) -> None: ...

        async def handle(self, event: Any, context: Context) -> object:
            return event

    assert Workers(Decorated).handler is Decorated


def test_class_methods_and_static_methods_are_accepted_as_hooks() -> None:
    class OfTheClass(Handler[Any]):
        @classmethod
        async def init(cls) -> None: ...

        @staticmethod
        async def terminate(reason: object) -> None: ...

        async def handle(self, event: Any, context: Context) -> object:
            return event

    assert Workers(OfTheClass).handler is OfTheClass


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are lazy from 3.14 on")
def test_checking_a_hook_evaluates_no_annotations() -> None:
    class Priced(Handler[Any]):
        async def init(self) -> None:
            self.last: Decimal | None = None

        async def handle(self, event: Decimal, context: Context) -> Decimal:
            return event

        async def terminate(self, reason: ExitReason) -> None: ...

    class Unfit(Handler[Any]):
        async def handle(self, event: Decimal) -> Decimal:  # type: ignore[override]
            return event

    assert Workers(Priced).handler is Priced
    with pytest.raises(SpecError, match=r"Unfit.handle must take \(self, event, context\)"):
        Workers(Unfit)


def test_a_proxy_of_a_handler_class_is_a_handler_class() -> None:
    class Wrapped:
        """A proxy of the class, as wrapt's decorators create."""

        __slots__ = ("__wrapped__",)
        __class__ = property(lambda self: type(self.__wrapped__))
        __dict__ = property(lambda self: vars(self.__wrapped__))

        def __init__(self, wrapped: type[Handler[Any]]) -> None:
            self.__wrapped__ = wrapped

        def __call__(self) -> Handler[Any]:
            return self.__wrapped__()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__wrapped__, name)

    class Echo(Handler[Any]):
        @classmethod
        async def init(cls) -> None: ...

        async def handle(self, event: Any, context: Context) -> object:
            return event

    wrapped = Wrapped(Echo)

    assert Workers(wrapped).handler is wrapped
