"""Exceptions with hostile classes and methods crash their actor like any other exception."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import Actor, ActorExited, Down, Exit, Name, Server, start
from okibi.supervisors import Child, SupervisorSpec, supervise


class Own(BaseException):
    """Not an Exception: `except Exception` does not catch it."""


def nameless() -> Exception:
    """Return an exception whose class raises on every attribute. pytest must not see the class."""

    class Kind(type):
        def __getattribute__(cls, name: str) -> Any:
            raise Own(name)

    class Nameless(Exception, metaclass=Kind):
        pass

    return Nameless()


class Mute(Exception):
    def __str__(self) -> str:
        raise Own("str")


class Interrupts(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Closed(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise Own(name)


class ClosedGroup(ExceptionGroup[Exception]):
    def derive(self, _: object) -> "ClosedGroup":  # type: ignore[override]
        raise Own("derive")

    def __getattribute__(self, name: str) -> Any:
        raise Own(name)


class Wordless(Exit):
    """An Exit without a reason: it does not call `Exit.__init__`."""

    def __init__(self) -> None:
        self.code = 1


class Misused(Exit):
    """An Exit whose reason is no ExitReason."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = "tired"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


HOSTILE: dict[str, Callable[[], Exception]] = {
    "Nameless": nameless,
    "Mute": Mute,
    "Interrupts": Interrupts,
    "Closed": Closed,
    "Wordless": Wordless,
    "Misused": Misused,
    "ClosedGroup": lambda: ClosedGroup("two", [ValueError("one"), KeyError("other")]),
}
KINDS = pytest.mark.parametrize("kind", HOSTILE)


class Shop(Server):
    async def sell(self, kind: str) -> str:
        if kind in HOSTILE:
            raise HOSTILE[kind]()
        return kind

    async def sell_beside(self, kind: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.sell, kind)


SHOP = Name("shop", Shop)


@KINDS
@pytest.mark.parametrize("method", [Shop.sell, Shop.sell_beside])
async def test_a_hostile_exception_ends_only_its_actor(
    kind: str, method: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[object] = []

    class Watcher(Actor):
        async def run(self) -> None:
            self.monitor(SHOP)
            received.append(await self.receive())

    # trio itself reads exceptions that leave a task of a nursery.
    reads = kind in ("Closed", "ClosedGroup") and method is Shop.sell_beside
    if reads:
        pytest.skip("trio ends its whole run")
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(Shop, name=SHOP)]), path="/top")
        await start(nursery, Watcher)
        await trio.sleep(1)
        with pytest.raises(ActorExited) as gone:
            await SHOP.call(method, kind)
        assert gone.value.reason.kind == "crashed"
        await trio.sleep(1)
        assert await SHOP.call(Shop.sell, "tea") == "tea"
        top.stop()

    (down,) = received
    assert isinstance(down, Down)
    assert down.reason.kind == "crashed"
    assert f"/top/shop (incarnation 1) ended: crashed ({kind}" in caplog.text
    assert "a line could not be logged" not in caplog.text
