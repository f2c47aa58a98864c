"""The base class of supervisors: errors of the supervisor itself."""

from functools import partial

import pytest
import trio

from okibi.actors import StartError, start
from okibi.supervisors import Supervisor
from tests.support.child_stage import Boom, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_the_crash_of_a_supervisor_is_logged_with_its_traceback(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Careless(Supervisor):
        async def init(self) -> None:
            await super().init()
            raise Boom("careless")

    with pytest.raises(StartError):
        await start(nursery, partial(Careless, stage.tree("a")), path="/top")

    [record] = [record for record in caplog.records if record.name == "okibi.actors"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Boom)
