"""A reported crash keeps no state of the actor alive; its traceback stays readable."""

import gc
import logging
import traceback
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, ActorExited, Exit, Ref, Server, StartError, crashed
from okibi.actors.empty_frames import empty_frames
from okibi.actors.exits import ExitReason
from okibi.actors.process import Process
from okibi.actors.start import spawn
from tests.garbage import no_collector


class Cache:
    """A large object."""


@attrs.define(eq=False)
class Holder(Server):
    """Crashes in many ways, while a local variable holds its state."""

    cache: Any = attrs.Factory(Cache)

    async def simple(self) -> None:
        cache = self.cache
        raise ValueError(cache is None)

    async def in_another(self) -> None:
        cache = self.cache
        try:
            raise KeyError(cache is None)
        except KeyError as error:
            kept = error
            raise ValueError("second") from kept

    async def in_a_nursery(self) -> None:
        async def fail(cache: object) -> None:
            raise ValueError(cache is None, self is None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, self.cache)
            nursery.start_soon(fail, self.cache)

    async def by_attribute(self) -> None:
        any_self: Any = self
        any_self.missing()

    async def leaving_it(self) -> Any:
        raise Exit(crashed(ValueError("full")), reply=self.cache)

    async def before_going_on(self) -> None:
        self.continue_with(None)
        self.continue_with(self.cache)

    async def handle_continue(self, continuation: Any) -> None:
        raise ValueError("no")

    async def handle_info(self, message: object) -> None:
        await self.simple()


class Early(Holder):
    async def init(self) -> None:
        await self.simple()


class Late(Holder):
    async def terminate(self, reason: ExitReason) -> None:
        await self.simple()


@attrs.define(eq=False)
class Bare(Actor):
    cache: Any = attrs.Factory(Cache)

    async def run(self) -> None:
        await self.receive()
        cache = self.cache
        raise ValueError(cache is None)


@pytest.fixture
def no_records(caplog: pytest.LogCaptureFixture) -> None:
    """Drop pytest's log records, which would keep the exceptions alive."""
    caplog.set_level(logging.CRITICAL + 1, "okibi.actors")


unkept = pytest.mark.usefixtures(no_records.__name__, no_collector.__name__)


async def crash(
    nursery: trio.Nursery, kind: Callable[[], Any], method: Callable[..., Any] | None
) -> tuple[Process, "weakref.ref[Cache]"]:
    """Crash an actor; return its process and weak references to its state."""
    held: list[weakref.ref[Cache]] = []

    def make() -> Any:
        made = kind()
        held.append(weakref.ref(made.cache))
        return made

    process = spawn(nursery, make, path="/holder", supervised=True)
    try:
        await process.wait_started()
        if method is None:
            await Ref[Any](process).send("crash")
        else:
            await Ref[Any](process).call(method)
    except (ActorExited, StartError):
        pass
    await process.wait_dead()
    return process, held[0]


WAYS: dict[str, tuple[Callable[[], Any], Callable[..., Any] | None]] = {
    "a method": (Holder, Holder.simple),
    "one exception in another": (Holder, Holder.in_another),
    "a nursery": (Holder, Holder.in_a_nursery),
    "an attribute": (Holder, Holder.by_attribute),
    "a last reply": (Holder, Holder.leaving_it),
    "continuations": (Holder, Holder.before_going_on),
    "handle_info": (Holder, None),
    "init": (Early, None),
    "terminate": (Late, None),
    "terminate after a crash": (Late, Late.simple),
    "run": (Bare, None),
}


@unkept
@pytest.mark.parametrize(("kind", "method"), WAYS.values(), ids=WAYS)
async def test_a_ref_of_a_crashed_actor_does_not_keep_its_state(
    nursery: trio.Nursery, kind: Callable[[], Any], method: Callable[..., Any] | None
) -> None:
    process, held = await crash(nursery, kind, method)
    await wait_all_tasks_blocked()

    assert process.life.reason is not None
    assert process.life.reason.error is not None
    assert held() is None


@unkept
@pytest.mark.parametrize(("kind", "method"), WAYS.values(), ids=WAYS)
async def test_a_crash_leaves_no_garbage_cycles(
    nursery: trio.Nursery, kind: Callable[[], Any], method: Callable[..., Any] | None
) -> None:
    await crash(nursery, kind, method)  # imports the modules of the first crash report
    await wait_all_tasks_blocked()
    gc.collect()
    await crash(nursery, kind, method)
    await wait_all_tasks_blocked()

    assert gc.collect() == 0


async def test_the_traceback_of_a_crash_keeps_functions_and_lines(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    process, _ = await crash(nursery, Holder, Holder.in_another)

    assert process.life.reason is not None
    assert process.life.reason.error is not None
    told = "".join(traceback.format_exception(process.life.reason.error))
    assert "in in_another\n    raise KeyError(cache is None)" in told
    assert 'in in_another\n    raise ValueError("second") from kept' in told
    logged = [line for line in caplog.text.splitlines() if line.strip(" ^")]
    assert "\n".join(told.splitlines()[:4]) in "\n".join(logged)


# -- the frames


def frames(error: BaseException) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def caught(function: Callable[[], object]) -> ValueError:
    try:
        function()
    except ValueError as error:
        return error
    raise AssertionError


def test_an_empty_frame_keeps_its_line_and_holds_nothing() -> None:
    def fail() -> None:
        inner = Cache()
        held.append(weakref.ref(inner))
        (lambda: [int("x") for _ in str(inner)])()

    held: list[weakref.ref[Cache]] = []
    error = caught(fail)
    told = traceback.extract_tb(error.__traceback__)

    empty_frames(error)

    found = traceback.extract_tb(error.__traceback__)
    assert found == told  # files, lines, functions
    assert {each.colno for each in found} == {None}
    assert held[0]() is None
    assert {frame.f_back for frame in frames(error)} == {None}


@pytest.mark.parametrize("below", [1, 2, 31, 32, 1_000, 100_000])
def test_an_empty_frame_keeps_a_line_far_below_the_first(below: int) -> None:
    blank = "\n" * (below - 1)
    function: dict[str, Any] = {}
    exec(compile(f"\ndef fail():{blank}\n  int('x')", "file.py", "exec"), function)
    error = caught(function["fail"])

    empty_frames(error)

    assert error.__traceback__ is not None
    assert error.__traceback__.tb_next is not None
    code = error.__traceback__.tb_next.tb_frame.f_code
    assert {positions[0] for positions in code.co_positions()} == {2 + below}
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.filename, last.lineno, last.name) == ("file.py", 2 + below, "fail")
