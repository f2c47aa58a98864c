"""The base class of supervisors that restart their children."""

import pytest
import trio

from okibi.actors import stop
from okibi.supervisors import supervise
from okibi.supervisors.restarter import Restarter
from tests.support.child_stage import Boom, Stage, leave


@pytest.mark.parametrize(("method", "count"), [("_handle_child_end", 2), ("_restart", 1)])
async def test_a_restarter_needs_both_handlers_of_ends(method: str, count: int) -> None:
    class Half(Restarter):
        """Overrides neither handler."""

    half = Half.__new__(Half)

    with pytest.raises(NotImplementedError, match=f"Half needs a `{method}`"):
        await getattr(half, method)(*[None] * count)


async def test_the_traceback_of_a_failed_attempt_to_start_is_logged_once(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(refused={"a2"})
    top = await supervise(nursery, stage.tree("a"), path="/top")

    await leave("a")

    *_, report, logged = caplog.records
    assert logged.getMessage() == "/top/a did not start: crashed (Boom: a)"
    assert logged.exc_info is None
    assert report.getMessage().startswith("/top/a (incarnation 2) ended: crashed (Boom: a)")
    assert report.exc_info is not None
    assert isinstance(report.exc_info[1], Boom)
    await stop(top)
