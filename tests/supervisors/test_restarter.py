"""What a supervisor that restarts its children has to say itself."""

from typing import Generic, TypeVar

import pytest

from supervisors import DynamicSupervisor, Supervisor
from supervisors.restarter import Restarter

T = TypeVar("T")


@pytest.mark.parametrize(("method", "given"), [("_child_ended", 2), ("_start_again", 1)])
async def test_a_kind_that_does_not_say_what_is_done_about_an_end_is_named(
    method: str, given: int
) -> None:
    class Half(Restarter):
        """Neither of the two is overridden."""

    half = Half.__new__(Half)

    with pytest.raises(NotImplementedError, match=f"Half needs `{method}`"):
        await getattr(half, method)(*[None] * given)


def test_a_class_of_one_s_own_may_be_generic_in_whatever_order_its_bases_stand() -> None:
    class Before(Generic[T], Supervisor):
        pass

    class Behind(DynamicSupervisor, Generic[T]):
        pass

    assert Before[int].__origin__ is Before  # type: ignore[attr-defined]
    assert Behind[int].__origin__ is Behind  # type: ignore[attr-defined]
