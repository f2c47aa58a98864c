"""The whole server: what an abrupt end leaves behind."""

import os
from pathlib import Path

import attrs
import pytest
import trio

from okibi.dev.asynchronous.event_file import read_events
from okibi.dev.dev_server import DevServerOptions, open_dev_server
from okibi.local import Invocation
from okibi.local.sandbox.processes import descendants
from tests.limits import HANG
from tests.support.dev_server import dev_function
from tests.support.local_lambda import event

pytestmark = pytest.mark.slow


@attrs.define(eq=False)
class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when the scheduler runs its step number `step`."""

    step: int
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    steps: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps == self.step:
            self.scope.cancel()


@pytest.mark.parametrize("step", range(10, 300, 11))
def test_a_cancel_at_any_step_leaves_no_process_and_loses_no_event(
    step: int, tmp_path: Path
) -> None:
    accepted, started = list[str](), list[str]()
    cancel = CancelAtStep(step)

    def report(happening: object) -> None:
        text = getattr(happening, "text", "")
        if text.startswith("START RequestId: "):
            started.append(text.split()[2])

    async def serve() -> None:
        functions = [dev_function("one", timeout=60), dev_function("two")]
        options = DevServerOptions(port=0, data=tmp_path, report=report)
        with trio.fail_after(HANG), cancel.scope:
            async with open_dev_server(functions, options) as server:
                for number in range(5):
                    invocation = Invocation(event(number=number), 3.0)
                    await server.queue.put("one", invocation)
                    accepted.append(invocation.request_id)
                await server.pools["two"].run_invocation(Invocation(event(), 3.0))
        # A late step cancels the end of the block, or nothing.

    trio.run(serve, instruments=[cancel])

    kept = {each.request_id for each in read_events(tmp_path / "queue" / "one.jsonl")}
    assert set(accepted) <= kept | set(started)
    assert descendants(os.getpid()) == []
