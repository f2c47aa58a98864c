"""The inbox of a test: messages and Downs, and what its errors say."""

import re
from typing import Any

import pytest
import trio

from okibi.actors import KILLED, Down, Ref, Server, start
from okibi.testing import inbox, virtual_time


class Echo(Server):
    async def echo(self, to: Ref[Any], value: object) -> None:
        await trio.sleep(0.5)
        await to.send(value)


@virtual_time
async def test_a_message_is_waited_for_and_taken() -> None:
    async with trio.open_nursery() as nursery, inbox() as box:
        echo = await start(nursery, Echo)
        for value in ("one", 2, "three"):
            await echo.cast(Echo.echo, box.ref, value)

        assert await box.assert_receive(int, timeout=2) == 2
        assert await box.assert_receive(str, lambda text: "h" in text) == "three"
        assert box.messages == ["one"]
        assert await box.assert_receive() == "one"
        echo.stop()


@virtual_time
async def test_a_monitor_of_the_inbox_brings_a_down() -> None:
    async with trio.open_nursery() as nursery, inbox() as box:
        echo = await start(nursery, Echo)
        monitor = box.monitor(echo)
        echo.kill()

        down = await box.assert_receive(Down)

        assert (down.ref, down.reason, down.monitor) == (echo, KILLED, monitor)


@virtual_time
async def test_a_missing_message_fails_with_what_is_there() -> None:
    async with inbox() as box:
        with pytest.raises(
            AssertionError, match=r"^no Down came within 5 s; the inbox holds nothi"
        ):
            await box.assert_receive(Down, timeout=5)
        assert trio.current_time() == pytest.approx(5)
        await box.ref.send("hello")
        with pytest.raises(AssertionError) as failed:
            await box.assert_receive(str, lambda text: text == "bye")

    assert str(failed.value) == (
        "no str for which `where` holds came within 1 s; the inbox holds:\n    'hello'"
    )


@virtual_time
async def test_a_refuted_message_fails_when_it_comes() -> None:
    async with inbox() as box:
        await box.refute_receive(timeout=60)
        await box.ref.send("hello")
        await box.refute_receive(int)
        with pytest.raises(AssertionError, match=r"^the inbox got 'hello'$"):
            await box.refute_receive(str)


def test_an_error_of_the_block_is_raised_alone() -> None:
    @virtual_time
    async def test() -> None:
        async with inbox():
            raise OSError("disk full")

    with pytest.raises(OSError, match=re.escape("disk full")):
        test()
