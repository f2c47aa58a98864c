"""A hook that is a plain `def` is named in the error."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from okibi.actors import Actor, Ref, Server, StartError, debug, start, stop
from okibi.supervisors import Supervisor, SupervisorSpec


def plain(self: Any, *given: object) -> None:
    """A hook without `async`."""


def server_with(name: str, **others: object) -> type[Server]:
    """A server that inherits a plain hook from a mixin."""
    return type("Forgetful", (type("Mixin", (), {name: plain}), Server), others)


@pytest.mark.parametrize("hook", ["init", "terminate", "handle_info", "handle_continue"])
def test_a_plain_hook_of_a_server_is_refused_with_the_class(hook: str) -> None:
    with pytest.raises(TypeError) as refused:
        type("Forgetful", (Server,), {hook: plain})

    assert str(refused.value) == f"Forgetful.{hook} must be an `async def`"


async def test_a_plain_init_is_named_in_the_start_error(nursery: trio.Nursery) -> None:
    with pytest.raises(StartError, match=r"Forgetful\.init must be an `async def`"):
        await start(nursery, server_with("init"))


async def test_a_plain_init_of_a_supervisor_is_named(nursery: trio.Nursery) -> None:
    class Mixin:
        init = plain

    class Mine(Mixin, Supervisor):  # type: ignore[misc]
        pass

    with pytest.raises(StartError, match=r"Mine\.init must be an `async def`"):
        await start(nursery, lambda: Mine(SupervisorSpec()))


async def test_a_plain_terminate_is_named() -> None:
    await check_crash(lambda ref: stop(ref), server_with("terminate"), "terminate")


@pytest.mark.parametrize("traced", [False, True])
async def test_a_plain_handle_info_is_named(traced: bool) -> None:
    async def sent(ref: Ref[Any]) -> None:
        if traced:
            await debug.log(ref, 3)
        await ref.send("news")

    await check_crash(sent, server_with("handle_info"), "handle_info")


async def test_a_plain_handle_continue_is_named() -> None:
    async def init(self: Any) -> None:
        self.continue_with("more")

    await check_crash(
        lambda ref: ref.wait(), server_with("handle_continue", init=init), "handle_continue"
    )


async def test_a_plain_run_is_named() -> None:
    await check_crash(lambda ref: ref.wait(), type("Forgetful", (Actor,), {"run": plain}), "run")


async def check_crash(act: Callable[[Ref[Any]], Any], cls: type[Actor], hook: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await act(await start(nursery, cls))

    [error] = caught.value.exceptions
    assert str(error) == f"Forgetful.{hook} must be an `async def`"
    assert isinstance(error, TypeError)
