"""Crash reports."""

# A crash is raised by the nursery itself, so its whole block is what raises.
# ruff: noqa: PT012

import logging
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    ActorExited,
    CrashReport,
    Exit,
    ExitReason,
    Ref,
    Reply,
    Server,
    StartError,
    Status,
    debug,
    start,
    stop,
)


@attrs.define(eq=False)
class Vase(Server):
    pieces: int = 1
    price: str = attrs.field(default="secret", repr=False)
    later: list[Reply[int]] = attrs.field(factory=list, repr=False)

    async def drop(self, how: object = "hard") -> None:
        self.pieces += 1
        raise ValueError(f"dropped {how}")

    async def put_off(self) -> int:
        self.later.append(self.reply_later())
        return NO_REPLY

    async def hold(self, gate: trio.Event) -> None:
        await gate.wait()


def reports(caplog: pytest.LogCaptureFixture) -> list[CrashReport]:
    return [r.__dict__["report"] for r in caplog.records if "report" in r.__dict__]


async def ask(vase: Any, method: Any, *args: object) -> None:
    with pytest.raises(ActorExited):
        await vase.call(method, *args)


async def crash(
    kind: type[Vase], how: object = "hard", log: int = 0, waiting: tuple[Any, ...] = ()
) -> None:
    """Crash a vase while the calls of `waiting` wait for it."""
    gate = trio.Event()
    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            vase = await start(nursery, kind, path="/vase")
            if log:
                await debug.log(vase, log)
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as callers:
                    for method, *args in waiting:
                        callers.start_soon(ask, vase, method, *args)
                        await wait_all_tasks_blocked()
                    if kind.hold in [method for method, *_ in waiting]:
                        vase.cast_nowait(Vase.drop, "unread")
                    callers.start_soon(ask, vase, kind.drop, how)
                    await wait_all_tasks_blocked()
                    gate.set()
                    callers.cancel_scope.deadline = trio.current_time() + 5


async def test_a_crash_report_is_one_record_with_text_and_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await crash(Vase, log=5)

    [record] = caplog.records
    [report] = reports(caplog)
    assert (record.name, record.levelno) == ("okibi.actors", logging.ERROR)
    assert record.exc_info is not None
    assert (report.path, report.incarnation) == ("/vase", 1)
    assert (report.message, report.caller) == ("drop(str[4])", "")
    assert report.reason == "crashed (ValueError: dropped hard)"
    assert report.state == {"pieces": "int"}
    assert report.traceback.endswith("ValueError: dropped hard\n")
    assert report.client_name.endswith(".ask")
    assert "in ask\n    await vase.call(method, *args)\n" in report.client
    assert [event.kind for event in report.log] == ["in", "crash"]
    lines = record.getMessage().splitlines()
    assert lines[0] == (
        "/vase (incarnation 1) ended: crashed (ValueError: dropped hard), "
        "while handling drop(str[4])"
    )
    assert lines[1:3] == ["  state: pieces=int", "  last 2 events:"]
    assert lines[3].endswith(" /vase got drop(str[4])")
    assert lines[5].endswith(".ask waited for the reply at:")


async def test_a_crash_report_counts_the_other_waiting_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Held(Vase):
        async def hold(self, gate: trio.Event) -> None:
            await wait_all_tasks_blocked(0.01)
            raise ValueError("slipped")

    await crash(Held, waiting=((Held.put_off,), (Held.put_off,), (Held.hold, trio.Event())))

    [report] = reports(caplog)
    assert report.message.startswith("hold(")
    assert (report.callers, report.unread) == (3, 2)
    assert "with 2 messages unread, while 3 more callers waited" in str(report)


@pytest.mark.parametrize("broken", ["raise", "None", "state"])
async def test_a_failing_format_status_hides_values_not_the_crash(
    caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    class Broken(Vase):
        def format_status(self, status: Status) -> Any:
            if broken == "raise":
                raise RuntimeError("1234567890123")
            return None if broken == "None" else attrs.evolve(status, state=1234567890123)  # type: ignore[arg-type]

    await crash(Broken, how="1234567890123")

    [report] = reports(caplog)
    assert "1234567890123" not in caplog.text + str(report) + repr(report)
    assert report.message == "drop(...)"
    assert report.reason == "crashed (ValueError)"
    assert "  state: not shown: format_status or a field raised" in caplog.text


async def test_a_failing_repr_does_not_hide_the_crash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    @attrs.define(eq=False)
    class Odd(Vase):
        thing: Broken = attrs.Factory(Broken)

    await crash(Odd, how=Broken())

    [report] = reports(caplog)
    assert report.state["thing"] == "Broken"
    assert report.message == "drop(Broken)"


async def test_a_failing_init_is_reported_and_redacted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unready(Vase):
        async def init(self) -> None:
            raise ValueError("1234567890123")

        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, reason="no connection")

    async with trio.open_nursery() as nursery:
        with pytest.raises(StartError):
            await start(nursery, Unready, path="/unready")

    assert caplog.messages[0].splitlines()[:2] == [
        "/unready (incarnation 1) ended: no connection",
        "  state: pieces=int",
    ]
    assert "ValueError: 1234567890123" not in caplog.text


async def test_a_failing_factory_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> Vase:
        raise ValueError("no clay")

    async with trio.open_nursery() as nursery:
        with pytest.raises(StartError):
            await start(nursery, make, path="/unmade")

    assert caplog.messages == ["/unmade (incarnation 1) ended: crashed (ValueError: no clay)"]


async def test_a_crash_without_exception_is_reported_without_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Leaving(Vase):
        async def drop(self, how: object = "hard") -> None:
            raise Exit(ExitReason("crashed", "rust"))

        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, reason=None)

    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            leaving = await start(nursery, Leaving, path="/leaving")
            await leaving.cast(Leaving.drop)

    assert caplog.messages[0].splitlines()[0] == (
        "/leaving (incarnation 1) ended: crashed, while handling drop()"
    )
    assert caplog.records[0].exc_info is None


async def test_a_quiet_end_has_no_crash_report(caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        await stop(await start(nursery, Vase))

    assert caplog.records == []


async def test_no_crash_report_is_made_below_the_log_level(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[Status] = []

    class Watched(Vase):
        def format_status(self, status: Status) -> Status:
            seen.append(status)
            return status

    caplog.set_level(logging.CRITICAL, "okibi.actors")
    await crash(Watched)

    # The other call of `format_status` is for the reason that callers get.
    assert ([status.log for status in seen], caplog.records) == ([()], [])


async def test_a_failing_crash_report_does_not_break_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        if "report" in record.__dict__:
            raise RuntimeError("a filter that fails")
        return True

    logger = logging.getLogger("okibi.actors")
    logger.addFilter(refuse)
    try:
        await crash(Vase)
    finally:
        logger.removeFilter(refuse)

    assert caplog.messages == [
        "/vase (incarnation 1) ended: crashed; its crash report failed with RuntimeError",
    ]


def test_a_crash_report_uses_singular_and_plural() -> None:
    def text(**fields: Any) -> str:
        return str(CrashReport("/a", 2, "killed", **fields))

    assert text() == "/a (incarnation 2) ended: killed"
    assert text(unread=1, callers=1) == (
        "/a (incarnation 2) ended: killed, with 1 message unread, while 1 more caller waited"
    )
    assert text(message="ask()", caller="/b") == (
        "/a (incarnation 2) ended: killed, while handling ask() from /b"
    )


@attrs.define
class Job:
    """A task that trio names by the job's repr."""

    token: str
    vase: Ref[Any]

    async def __call__(self) -> None:
        with suppress(ActorExited):
            await self.vase.call(Vase.drop, "hard")


async def test_a_client_task_is_not_named_by_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    with suppress(ExceptionGroup):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Job("SEKRIT", await start(nursery, Vase, path="/vase")))

    assert [report.client_name for report in reports(caplog)] == ["Job.__call__"]
    assert "SEKRIT" not in caplog.text
