"""Signatures are read without evaluating annotations."""

import sys
from typing import TYPE_CHECKING

import pytest
import trio

from okibi.actors import Server, start, stop
from okibi.actors.signatures import bind

if TYPE_CHECKING:
    from decimal import Decimal

deferred = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="evaluates annotations when a function is made"
)


def add(first: int, second: int = 0) -> int:
    return first + second


@pytest.mark.parametrize("given", [(), (1, 2, 3)])
def test_bind_refuses_missing_and_surplus_arguments(given: tuple[int, ...]) -> None:
    bind(add, 1)
    bind(add, 1, second=2)

    with pytest.raises(TypeError, match="argument"):
        bind(add, *given)


@deferred
def test_bind_evaluates_no_annotation() -> None:
    def paid(price: Decimal | None, *more: Decimal) -> dict[str, Decimal]:
        return {}

    bind(paid, 1, 2)
    with pytest.raises(TypeError, match="missing a required argument: 'price'"):
        bind(paid)


@deferred
async def test_a_call_evaluates_no_annotation(
    nursery: trio.Nursery,
) -> None:
    class Till(Server):
        async def pay(self, price: Decimal) -> Decimal:
            return price

    till = await start(nursery, Till)

    with pytest.raises(TypeError, match=r"cannot take this message: .*missing 1 required"):
        await till.call(Till.pay)  # type: ignore[call-arg]

    assert await till.call(Till.pay, 1) == 1  # type: ignore[arg-type]
    await stop(till)
