"""An Exit raised in `terminate`."""

import pytest

from okibi.actors import SHUTDOWN, Exit, ExitReason, crashed, shutdown
from tests.actors.test_process import Life, alone, do_nothing, raising


@pytest.mark.parametrize("left", [shutdown("done"), crashed(KeyError("left"))], ids=str)
async def test_an_exit_in_terminate_sets_the_reason(left: ExitReason) -> None:
    """OTP: `exit(Reason)` in `terminate/2`."""
    life = Life(cleanup=lambda: raising(Exit(left)))

    assert await alone(life, lambda ref: ref.stop()) == left


@pytest.mark.parametrize("crash", [ValueError("boom"), Exit(ExitReason("crashed", "by its word"))])
async def test_a_crash_stays_the_reason_after_an_exit_in_terminate(
    crash: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(lambda: raising(crash), lambda: raising(Exit(shutdown("done"))))

    assert (await alone(life, do_nothing)).kind == "crashed"
    assert "/life: terminate did not finish: shutdown ('done')" in caplog.messages


async def test_a_normal_exit_in_terminate_keeps_the_reason() -> None:
    """OTP differs: there `exit(normal)` becomes the reason."""
    life = Life(cleanup=lambda: raising(Exit()))

    assert await alone(life, lambda ref: ref.stop()) is SHUTDOWN
