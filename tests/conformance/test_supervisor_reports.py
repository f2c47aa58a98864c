"""supervisor_SUITE: what a supervisor writes to the log."""

import logging

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Name, Server
from okibi.supervisors import Child, Supervisor, SupervisorSpec, supervise


@attrs.define(eq=False)
class Worker(Server):
    async def fail(self, with_what: str) -> None:
        raise ValueError(len(with_what))


WORKER = Name("worker", Worker)


async def test_external_start_no_progress_log(caplog: pytest.LogCaptureFixture) -> None:
    """A start that somebody asked for is no news; a restart that nobody asked for is.

    Adapted: there are no progress reports; what stands in their place is a restart's line.
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
    """A report is one line and not long, however long what it is about.

    Adapted: depth, length and lines are not options of a formatter of its own; a report cuts
    short what it shows, and the rest is up to Python's logging.
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
