"""The examples of entities: a cart, a rate limit, an order in steps."""

import json
from typing import Any

import pytest
import trio

from examples.entities import cart, limit, order
from okibi import aws
from okibi.testing import FunctionError, running, sample_event, virtual_time

# -- the cart


@virtual_time
async def test_a_cart_reminds_once_an_hour_after_the_last_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def send(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        sent.append((trio.current_time(), parameters))
        return {}

    monkeypatch.setenv("REMINDERS", "http://queue")
    sent = list[tuple[float, dict[str, Any]]]()
    with aws.answer_with(send):
        async with running(cart.function) as app:
            await app.invoke({"user": "bob", "item": "tea"})
            await trio.sleep(1800)
            assert await app.invoke({"user": "bob", "item": "cup", "count": 2}) == {
                "tea": 1,
                "cup": 2,
            }
            await trio.sleep(7200)

    ((at, message),) = sent
    assert at == pytest.approx(5400, abs=1)
    assert json.loads(message["MessageBody"]) == {"user": "bob", "items": {"tea": 1, "cup": 2}}
    assert message["MessageDeduplicationId"] == "bob-1"


@virtual_time
async def test_who_checks_out_is_not_reminded() -> None:
    async with running(cart.function) as app:
        await app.invoke({"user": "bob", "item": "tea"})
        assert await app.invoke({"user": "bob"}) == {"tea": 1}
        # A reminder would call SQS, and fail.
        await trio.sleep(7200)
        assert await app.invoke({"user": "bob"}) == {}


# -- the rate limit


@virtual_time
async def test_a_user_is_limited_and_another_is_not() -> None:
    bob, eve = (sample_event("function-url", path=f"/?user={name}") for name in ("bob", "eve"))
    async with running(limit.function) as app:
        statuses = [(await app.invoke(bob))["statusCode"] for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        assert (await app.invoke(bob))["headers"] == {"retry-after": "2"}
        assert (await app.invoke(eve))["statusCode"] == 200
        await trio.sleep(2)
        assert [(await app.invoke(bob))["statusCode"] for _ in range(2)] == [200, 429]


# -- the order

ORDER = {"id": "o-1", "article": "lamp", "count": 4, "cents": 4000}


async def find_left() -> int:
    lamps = order.STOCKS["lamp"]
    try:
        await lamps.call(order.Stock.reserve, 1000)
    except order.SoldOut as sold_out:
        return int(str(sold_out).split()[0])
    raise AssertionError


@virtual_time
async def test_an_order_that_is_sent_twice_is_taken_once() -> None:
    async with running(order.function) as app:
        for _ in range(2):
            assert await app.invoke(ORDER) == "on its way"
        assert await find_left() == 6
        assert await order.PARCELS["o-1"].call(order.Parcel.look) == ("lamp", 4)
        assert await app.invoke({**ORDER, "id": "o-2", "count": 7}) == "6 of lamp are left"


@virtual_time
async def test_a_refused_card_puts_the_items_back_once() -> None:
    async with running(order.function) as app:
        for _ in range(2):
            assert await app.invoke({**ORDER, "cents": 10**6}) == "the card was refused"
        assert await find_left() == 10


@virtual_time
async def test_an_order_goes_on_where_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def charge(order: str, cents: int) -> bool:
        raise ConnectionError("no bank")

    async with running(order.function) as app:
        with monkeypatch.context() as patch:
            patch.setattr(order, "charge", charge)
            with pytest.raises(FunctionError, match="no bank"):
                await app.invoke(ORDER)
        assert await app.invoke(ORDER) == "on its way"
        assert await find_left() == 6
