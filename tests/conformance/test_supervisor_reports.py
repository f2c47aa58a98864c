"""supervisor_SUITE: what a supervisor logs."""

import logging

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Name, Server
from okibi.supervisors import Child, Supervisor, SupervisorSpec, supervise


@attrs.define(eq=False)
class Worker(Server):
    async def fail(self, text: str) -> None:
        raise ValueError(len(text))


WORKER = Name("worker", Worker)


async def test_external_start_no_progress_log(caplog: pytest.LogCaptureFixture) -> None:
    """A requested start is not logged. A restart is.

    Adapted: there are no progress reports; a restart logs one line instead.
    """
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec(), path="/top")
        await top.call(Supervisor.start_child, Child(Worker, name=WORKER))

        assert caplog.messages == []

        await WORKER.cast(Worker.fail, "")
        await wait_all_tasks_blocked()

        assert caplog.messages[-1] == "/top/worker restarted"
        top.stop()


async def test_format_log_2(caplog: pytest.LogCaptureFixture) -> None:
    """A report is one short line, however long the message and the state are.

    Adapted: no formatter has options for depth and length; a report shortens its values, and
    Python's logging does the rest.
    """
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(Worker, name=WORKER)]), path="/top")
        await WORKER.cast(Worker.fail, "many\nlines" * 100_000)
        await wait_all_tasks_blocked()
        top.stop()

    (report,) = caplog.messages
    assert report.startswith("/top/worker (incarnation 1) ended: crashed (ValueError: 1000000)")
    assert "while handling fail(str[1000000])" in report
    assert len(report) < 300
    assert "\n" not in report
