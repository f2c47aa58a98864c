"""Exports of `okibi.telemetry`: they follow the answer, delay none, and lose no event."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi import Context, telemetry
from okibi.testing import FunctionError, running
from tests.support.observing import HANDLERS, Observer, on_trio
from tests.support.sandbox import Running, is_gone
from tests.support.sandbox import running as running_process
from tests.test_docs import DOCS, sample_of


@pytest.fixture
def observer(none_registered: None) -> Observer:
    made = Observer()
    telemetry.around_events(made.observe)
    return made


@attrs.define(eq=False)
class Exporter:
    """Counts its calls, and lasts until `go` is set."""

    observer: Observer
    go: threading.Event = attrs.field(factory=threading.Event)
    # The number of events that had ended at each call.
    calls: list[int] = attrs.field(factory=list)
    seconds: list[float] = attrs.field(factory=list)
    at_once: int = 0

    def export(self, seconds: float) -> None:
        self.at_once += 1
        assert self.at_once == 1
        self.calls.append(len(self.observer.ended))
        self.seconds.append(seconds)
        assert self.go.wait(20)
        self.at_once -= 1


@pytest.fixture
def exporter(observer: Observer) -> Iterator[Exporter]:
    made = Exporter(observer)
    telemetry.after_events(made.export)
    yield made
    made.go.set()


@pytest.mark.parametrize("kind", HANDLERS)
def test_an_export_follows_the_answer_and_delays_none(kind: str, exporter: Exporter) -> None:
    async def main() -> None:
        async with running(HANDLERS[kind](), timeout=20.0) as app:
            await app.invoke("own")  # although the export has not ended
            await wait_for(lambda: exporter.calls == [1])
            exporter.go.set()
            with pytest.raises(FunctionError):
                await app.invoke("raise")
            await wait_for(lambda: exporter.calls == [1, 2])

    trio.run(main)
    assert exporter.seconds[0] == pytest.approx(10, abs=1)


async def wait_for(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110, of a thread
            await trio.sleep(0.005)


def test_an_export_that_hangs_holds_one_event_and_loses_none(exporter: Exporter) -> None:
    async def main() -> None:
        async with running(on_trio, timeout=0.6) as app:
            began = trio.current_time()
            for _ in range(5):
                await app.invoke("")
            # The first export holds the sandbox until the event's deadline, the others do not.
            assert 0.4 < trio.current_time() - began < 2
            # The last event has asked for an export, too.
            await wait_all_tasks_blocked()
            assert exporter.calls == [1]
            exporter.go.set()
            await wait_for(lambda: exporter.calls == [1, 5])

    trio.run(main)
    assert exporter.observer.outcomes() == [None] * 5


def test_with_many_events_at_once_no_event_waits_for_an_export(exporter: Exporter) -> None:
    async def main() -> None:
        async with running(on_trio, timeout=20.0, concurrency=2) as app:
            await app.invoke("")
            await wait_for(lambda: exporter.calls == [1])
            began = trio.current_time()
            for _ in range(19):
                await app.invoke("")
            assert trio.current_time() - began < 5
            await wait_all_tasks_blocked()
            exporter.go.set()
            await wait_for(lambda: exporter.calls == [1, 20])

    trio.run(main)


def test_after_a_late_handler_an_export_has_a_quarter_of_the_margin(exporter: Exporter) -> None:
    async def main() -> None:
        async with running(on_trio, timeout=0.5) as app:
            began = trio.current_time()
            with pytest.raises(FunctionError, match="DeadlineExceeded"):
                await app.invoke("sleep")
            assert trio.current_time() - began < 0.5
            assert exporter.calls == [1]
            assert exporter.seconds == [pytest.approx(0.025, abs=0.01)]
            assert await app.invoke("next") == exporter.observer.begun[1]

    trio.run(main)


def test_a_killed_worker_s_event_is_exported(exporter: Exporter) -> None:
    exporter.go.set()

    async def main() -> None:
        async with running(on_trio) as app, trio.open_nursery() as nursery:

            async def invoke() -> None:
                with pytest.raises(FunctionError, match=r"Runtime.WorkerExited"):
                    await app.invoke("sleep")

            nursery.start_soon(invoke)
            await wait_for(lambda: bool(exporter.observer.begun))
            for n in range(2):
                await app.kill(f"lambda/workers/worker-{n}")
            await wait_for(lambda: exporter.calls == [1])

    trio.run(main)


def test_an_export_that_raises_is_logged(
    exporter: Exporter, capfd: pytest.CaptureFixture[str]
) -> None:
    exporter.go.set()

    @telemetry.after_events
    def broken(seconds: float) -> None:
        raise SystemExit("no receiver")

    async def main() -> None:
        async with running(on_trio) as app:
            for _ in range(2):
                await app.invoke("")
            await wait_for(lambda: exporter.calls == [1, 2])
            await trio.sleep(0.05)

    trio.run(main)
    assert capfd.readouterr().err.count("raised SystemExit('no receiver')") == 2


def test_an_export_without_a_thread_is_logged_and_tried_again(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exporter.go.set()

    async def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with running(on_trio) as app:
            with monkeypatch.context() as patch:
                patch.setattr(trio.to_thread, "run_sync", refuse)
                await app.invoke("")
                await wait_for(lambda: "telemetry was not exported" in caplog.messages)
            await app.invoke("")
            await wait_for(lambda: exporter.calls == [2])

    trio.run(main)


def test_functions_after_the_response_are_exported_too(exporter: Exporter) -> None:
    exporter.go.set()
    ran: list[int] = []

    def later(context: Context, depth: int) -> None:
        ran.append(len(exporter.calls))
        if depth:
            context.after_response(later, context, depth - 1)

    async def handler(event: Any, context: Context) -> None:
        context.after_response(later, context, 2)

    async def main() -> None:
        async with running(handler) as app:
            await app.invoke("")
            await wait_for(lambda: bool(exporter.calls))

    trio.run(main)
    assert ran == [0, 0, 0]


# -- in a real process


def lines_of(out: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return out.read_text().splitlines()
    return []


def environment(out: Path, seconds: float) -> dict[str, str]:
    return {"OUT": str(out), "EXPORT_SECONDS": str(seconds)}


async def test_a_sandbox_freezes_after_the_export_of_each_event(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with running_process(
        "observed.handler", environment=environment(out, 0.3), freeze=True
    ) as sandbox:
        expected = list[str]()
        for n in range(3):
            assert await sandbox.ask({"name": n}) == n
            expected.append(f"{n} None")
            # No other event comes: a frozen process would not write this.
            await wait_for(lambda: lines_of(out) == expected)
            await wait_for(lambda: is_stopped(sandbox))
        assert sandbox.function.starts == 1


def is_stopped(sandbox: Running) -> bool:
    """Return whether the process is stopped (T in its `stat`)."""
    return Path(f"/proc/{sandbox.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("slots", [None, 4])
async def test_a_held_loop_s_events_are_exported_before_the_process_ends(
    slots: int | None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    async with running_process(
        "observed.handler",
        environment={**environment(out, 0), "OKIBI_DEADLINE_MARGIN_MS": "2000"},
        timeout=4.0,
        max_concurrency=slots,
    ) as sandbox:
        assert await sandbox.ask({"name": "first"}) == "first"
        pid = sandbox.pid
        result = await sandbox.invoke({"name": "held", "do": "hold the loop"})
        assert result.error_type == "Runtime.DeadlineExceeded"
        await wait_for(lambda: is_gone(pid))
        assert sandbox.said(" in handler") == 1

    assert lines_of(out) == ["first None", "held Runtime.DeadlineExceeded"]


async def test_an_event_that_the_end_of_the_process_stops_is_exported(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with running_process("observed.handler", environment=environment(out, 0)) as sandbox:
        assert await sandbox.ask({"name": "first"}) == "first"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sandbox.invoke, {"name": "stopped", "do": "sleep"})
            await wait_for(lambda: sandbox.said("stopped begins") == 1)
            os.kill(sandbox.pid, signal.SIGTERM)
        await wait_for(lambda: len(lines_of(out)) == 2)

    assert lines_of(out) == ["first None", "stopped Runtime.Stopped"]


async def test_the_sample_of_the_page_prints_each_event_after_its_response(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "telemetry.md", "around_events"))
    async with running_process("app.handler", task_root=tmp_path) as sandbox:
        first, second = [await sandbox.invoke({"name": "bob"}) for _ in range(2)]
        await wait_for(lambda: sandbox.said(f'["{second.request_id}", null, ') == 1)

    assert sandbox.said(f'["{first.request_id}", null, ') == 1
