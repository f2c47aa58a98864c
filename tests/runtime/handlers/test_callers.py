"""The caller of an actor that a handler calls is the event."""

from typing import Any

import attrs
import pytest
import trio

from okibi import Child, Context, Function, Handler, Name, Server
from okibi.actors import KILLED, NORMAL, Caller, Down, ExitReason, Ref
from okibi.testing import FunctionError, FunctionTimedOut, running, virtual_time
from tests.support.sandbox import running as running_sandbox


@pytest.mark.parametrize(
    "kind",
    [
        "on_trio",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("on_asyncio", "in_a_thread", "by_a_class")
        ),
    ],
)
async def test_an_actor_called_by_a_handler_sees_the_event_as_caller(kind: str) -> None:
    async with running_sandbox(f"asking.{kind}") as sandbox:
        path, _, request_id = str(await sandbox.ask()).partition(", event ")

    assert path == "/function/lambda/workers/worker-0"
    assert len(request_id) == 36


@attrs.define(eq=False)
class Lock(Server):
    """Lends itself to one caller at a time."""

    holder: Caller | None = None
    ends: list[ExitReason] = attrs.Factory(list)

    async def take(self) -> bool:
        if self.holder is None:
            self.monitor(self.caller)
            self.holder = self.caller
        return self.holder == self.caller

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            self.ends.append(message.reason)
            self.holder = None


LOCK = Name("lock", Lock)


@attrs.define(eq=False)
class Taker(Handler[dict[str, Any]]):
    async def handle(self, event: dict[str, Any], context: Context) -> object:
        taken = await LOCK.call(Lock.take), await LOCK.call(Lock.take)
        match event.get("then"):
            case "sleep":
                await trio.sleep(60)
            case "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep(60)
            case "raise":
                raise ValueError("no")
            case "follow":
                context.after_response(self._follow)
            case "linger":
                self.nursery.start_soon(self._linger)
        return taken

    async def _follow(self) -> None:
        await trio.sleep(1)
        assert await LOCK.call(Lock.take)

    async def _linger(self) -> None:
        await trio.sleep(5)  # the event has ended by then
        await LOCK.call(Lock.take)


FUNCTION = Function(Taker, [Child(Lock, name=LOCK)])


@virtual_time
async def test_what_an_event_holds_is_freed_however_the_event_ends() -> None:
    async with running(FUNCTION) as app:
        assert await app.invoke({}) == [True, True]
        for then, error in (
            ("sleep", FunctionTimedOut),
            ("raise", FunctionError),
            ("shield", FunctionTimedOut),
        ):
            with pytest.raises(error):
                await app.invoke({"then": then})
            assert await app.invoke({}) == [True, True]

        lock: Any = LOCK.process().actor

    assert lock.ends[::2] == [NORMAL] * 4
    assert lock.ends[1::2] == [
        ExitReason("crashed", "Runtime.DeadlineExceeded"),
        ExitReason("crashed", "Function.ValueError"),
        KILLED,
    ]


@virtual_time
async def test_an_event_holds_until_the_last_function_after_its_response() -> None:
    async with running(FUNCTION) as app:
        await app.invoke({"then": "follow"})
        lock: Any = LOCK.process().actor
        ends = [[*lock.ends]]
        await trio.sleep(2)
        ends.append([*lock.ends])

    assert ends == [[], [NORMAL]]


@virtual_time
async def test_a_task_that_outlives_its_event_sends_for_the_worker() -> None:
    async with running(FUNCTION) as app:
        await app.invoke({"then": "linger"})
        await trio.sleep(6)

        lock: Any = LOCK.process().actor
        assert isinstance(lock.holder, Ref)
        assert lock.holder.path == "/function/lambda/workers/worker-0"
