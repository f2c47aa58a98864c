"""A test's inbox: the actors under test send to it, and the test asserts what has arrived."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from ..actors import Actor, start
from ..local.background_nursery import open_background_nursery

T = TypeVar("T")

_ANY: type[Any] = object


class Inbox(Actor):
    """An actor that keeps what it gets for a test. Made by `inbox`.

    `ref` is its address, for the actors under test. `monitor` brings a Down, as in any actor.

    Attributes:
        messages: what has arrived and was not received yet, oldest first.
    """

    def __init__(self) -> None:
        self.messages: list[object] = []
        self._arrived = trio.Event()

    async def run(self) -> None:
        while True:
            self.messages.append(await self.receive())
            self._arrived.set()
            self._arrived = trio.Event()

    async def assert_receive(
        self,
        kind: type[T] = _ANY,
        where: Callable[[T], bool] | None = None,
        *,
        timeout: float = 1,
    ) -> T:
        """Wait for a message of a type; take and return the first (ExUnit: `assert_receive`).

            assert await box.assert_receive(str) == "hello"
            down = await box.assert_receive(Down, lambda down: down.path == "/pool")

        Other messages stay.

        Args:
            kind: the type of the message. Default: any.
            where: accepts or refuses a message of the type. Default: accepts each.
            timeout: seconds to wait for the message. Default: 1.

        Raises:
            AssertionError: no such message came in time; the error lists those that did.
        """
        with trio.move_on_after(timeout):
            while True:
                arrived = self._arrived
                for at, message in enumerate(self.messages):
                    if isinstance(message, kind) and (where is None or where(message)):
                        del self.messages[at]
                        return message
                await arrived.wait()
        fits = "" if where is None else " for which `where` holds"
        held = "".join(f"\n    {message!r}" for message in self.messages)
        raise AssertionError(
            f"no {kind.__name__}{fits} came within {timeout:g} s; the inbox holds"
            + (f":{held}" if held else " nothing")
        )

    async def refute_receive(
        self,
        kind: type[T] = _ANY,
        where: Callable[[T], bool] | None = None,
        *,
        timeout: float = 1,
    ) -> None:
        """Wait, and check that no message of a type comes (ExUnit: `refute_receive`).

        Args:
            kind, where: as for `assert_receive`.
            timeout: seconds to wait. Default: 1.

        Raises:
            AssertionError: such a message came, or was there.
        """
        try:
            message = await self.assert_receive(kind, where, timeout=timeout)
        except AssertionError:
            return
        raise AssertionError(f"the inbox got {message!r}")


@asynccontextmanager
async def inbox() -> AsyncGenerator[Inbox]:
    """Open an inbox for a test.

    async with inbox() as box:
        box.monitor(ref)
        ref.kill()
        down = await box.assert_receive(Down)
    """
    box = Inbox()
    async with open_background_nursery() as nursery:
        await start(nursery, lambda: box, path="inbox")
        yield box
