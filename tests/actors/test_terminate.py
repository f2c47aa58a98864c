"""What an actor leaves its `terminate` with."""

import pytest

from okibi.actors import SHUTDOWN, Exit, ExitReason, crashed, shutdown
from tests.actors.test_process import Life, alone, nothing, raising


@pytest.mark.parametrize("left", [shutdown("done"), crashed(KeyError("left"))], ids=str)
async def test_what_terminate_leaves_with_is_the_reason(left: ExitReason) -> None:
    """OTP: `exit(Reason)` in `terminate/2`"""
    life = Life(cleanup=lambda: raising(Exit(left)))

    assert await alone(life, lambda ref: ref.stop()) == left


@pytest.mark.parametrize("crash", [ValueError("boom"), Exit(ExitReason("crashed", "by its word"))])
async def test_a_crash_stays_the_reason_when_terminate_leaves_with_another(
    crash: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(lambda: raising(crash), lambda: raising(Exit(shutdown("done"))))

    assert (await alone(life, nothing)).kind == "crashed"
    assert "/life did not end its terminate: shutdown ('done')" in caplog.messages


async def test_to_leave_terminate_as_normal_is_to_return_from_it() -> None:
    """Here only: in OTP `exit(normal)` is the reason then."""
    life = Life(cleanup=lambda: raising(Exit()))

    assert await alone(life, lambda ref: ref.stop()) is SHUTDOWN
