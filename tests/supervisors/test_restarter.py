"""What a supervisor that restarts its children has to say itself."""

import pytest
import trio

from okibi.actors import stop
from okibi.supervisors import supervise
from okibi.supervisors.restarter import Restarter
from tests.support.child_stage import Boom, Stage, leave


@pytest.mark.parametrize(("method", "given"), [("_handle_child_end", 2), ("_restart", 1)])
async def test_a_kind_that_does_not_say_what_is_done_about_an_end_is_named(
    method: str, given: int
) -> None:
    class Half(Restarter):
        """Neither of the two is overridden."""

    half = Half.__new__(Half)

    with pytest.raises(NotImplementedError, match=f"Half needs a `{method}`"):
        await getattr(half, method)(*[None] * given)


async def test_of_an_attempt_that_has_failed_the_log_shows_where(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(refused={"a2"})
    top = await supervise(nursery, stage.tree("a"), path="/top")

    await leave("a")

    (said,) = [record for record in caplog.records if record.name == "okibi.supervisors"]
    assert said.getMessage() == "/top/a did not start: crashed (Boom: a)"
    assert said.exc_info is not None
    assert isinstance(said.exc_info[1], Boom)
    await stop(top)
