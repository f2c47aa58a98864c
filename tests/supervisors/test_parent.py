"""An actor that others live under: what its end says of theirs."""

from functools import partial

import pytest
import trio

from okibi.actors import StartError, start
from okibi.supervisors import Child, Supervision, Supervisor, supervise
from tests.support.child_stage import Boom, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_why_a_child_did_not_start_is_told_once_and_a_line_on_each_floor(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    stage.refused = {"b1"}
    tree = Supervision([Child(Supervision([Child(stage.tree("b"), id="inner")]), id="outer")])

    with pytest.raises(StartError):
        await supervise(nursery, tree, path="/top")

    child, *floors = [record for record in caplog.records if record.name == "okibi.actors"]
    assert child.getMessage().startswith("/top/outer/inner/b (incarnation 1) ended: crashed (Boom")
    assert child.exc_info is not None
    said = [record.getMessage().split(" ended: ")[0] for record in floors]
    assert said == [
        f"{path} (incarnation 1)" for path in ("/top/outer/inner", "/top/outer", "/top")
    ]
    assert [record.exc_info for record in floors] == [None] * 3
    assert "Boom: b" in floors[-1].getMessage()


async def test_a_supervisor_s_own_crash_is_told_with_its_traceback(
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
