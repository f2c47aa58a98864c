"""What a callable can be called with, whatever its annotations name."""

import sys
from typing import TYPE_CHECKING

import pytest
import trio

from okibi.actors import Server, start, stop
from okibi.actors.signatures import bind

if TYPE_CHECKING:
    from decimal import Decimal

deferred = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="evaluates annotations where they stand"
)


def added(first: int, second: int = 0) -> int:
    return first + second


@pytest.mark.parametrize("given", [(), (1, 2, 3)])
def test_too_little_and_too_much_do_not_fit(given: tuple[int, ...]) -> None:
    bind(added, 1)
    bind(added, 1, second=2)

    with pytest.raises(TypeError, match="argument"):
        bind(added, *given)


@deferred
def test_no_name_of_an_annotation_is_looked_up() -> None:
    def paid(price: Decimal | None, *more: Decimal) -> dict[str, Decimal]:
        return {}

    bind(paid, 1, 2)
    with pytest.raises(TypeError, match="missing a required argument: 'price'"):
        bind(paid)


@deferred
async def test_wrong_arguments_are_the_callers_mistake_though_an_annotation_has_no_name_at_run_time(
    nursery: trio.Nursery,
) -> None:
    class Till(Server):
        async def pay(self, price: Decimal) -> Decimal:
            return price

    till = await start(nursery, Till)

    with pytest.raises(TypeError, match=r"cannot take this: .*missing 1 required"):
        await till.call(Till.pay)  # type: ignore[call-arg]

    assert await till.call(Till.pay, 1) == 1  # type: ignore[arg-type]
    await stop(till)
