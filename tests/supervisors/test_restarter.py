"""What a supervisor that restarts its children has to say itself."""

from typing import Any

import pytest

from supervisors.restarter import Restarter


@pytest.mark.parametrize(("method", "given"), [("_child_ended", 2), ("_start_again", 1)])
async def test_a_kind_that_does_not_say_what_is_done_about_an_end_is_named(
    method: str, given: int
) -> None:
    class Half(Restarter[Any]):
        """Neither of the two is overridden."""

    half = Half.__new__(Half)

    with pytest.raises(NotImplementedError, match=f"Half needs `{method}`"):
        await getattr(half, method)(*[None] * given)
