"""Work that runs once for a key: duplicates, failures, sandboxes that die in it."""

import asyncio
from hashlib import sha256

import msgspec
import pytest
import trio

from okibi import Child, Function
from okibi.entities import EntityStore, Once, OnceMismatch
from okibi.entities.operations import Post
from okibi.entities.rows import Mail
from okibi.testing import running, virtual_time
from tests.entities.test_entities import started

PAID = Once("paid")


def digest(*args: object) -> str:
    return sha256(msgspec.json.encode((args, {}))).hexdigest()[:32]


class Bank:
    def __init__(self, seconds: float = 0.0, failures: int = 0) -> None:
        self.seconds, self.failures = seconds, failures
        self.charges = list[str]()

    async def charge(self, card: str) -> tuple[int, str]:
        await trio.sleep(self.seconds)
        self.charges.append(card)
        if len(self.charges) <= self.failures:
            raise ConnectionError("no bank")
        return len(self.charges), card


@virtual_time
async def test_a_duplicate_gets_the_first_result_with_its_type() -> None:
    bank = Bank()
    async with started():
        for _ in range(3):
            assert await PAID.run("order-1", bank.charge, "visa") == (1, "visa")
        assert await PAID.run("order-2", bank.charge, "visa") == (2, "visa")


@virtual_time
async def test_a_duplicate_waits_while_the_first_runs() -> None:
    bank, results = Bank(seconds=20), list[tuple[int, str]]()

    async def pay() -> None:
        results.append(await PAID.run("order-1", bank.charge, "visa"))

    async with started(), trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(pay)
    assert results == [(1, "visa")] * 4
    assert trio.current_time() < 21


@virtual_time
async def test_work_that_raises_runs_again() -> None:
    bank = Bank(failures=2)
    async with started():
        for _ in range(2):
            with pytest.raises(ConnectionError, match="no bank"):
                await PAID.run("order-1", bank.charge, "visa")
        assert await PAID.run("order-1", bank.charge, "visa") == (3, "visa")
        assert await PAID.run("order-1", bank.charge, "visa") == (3, "visa")


@virtual_time
async def test_a_duplicate_runs_what_the_first_one_failed_at() -> None:
    bank, results = Bank(seconds=1, failures=1), list[object]()

    async def pay() -> None:
        try:
            results.append(await PAID.run("order-1", bank.charge, "visa"))
        except ConnectionError as error:
            results.append(str(error))

    async with started(), trio.open_nursery() as nursery:
        nursery.start_soon(pay)
        nursery.start_soon(pay)
    assert results == ["no bank", (2, "visa")]


@virtual_time
async def test_after_a_sandbox_that_died_the_work_runs_again() -> None:
    bank = Bank()
    async with started() as store:
        mail = Mail("once", 1, digest("visa"), store.now() + 10**7)
        await store.apply(Post("once:paid/order-1", mail, "dead run", store.now() + 5000))
        assert await PAID.run("order-1", bank.charge, "visa") == (1, "visa")
    assert trio.current_time() == pytest.approx(5, abs=1)


@virtual_time
async def test_a_result_is_kept_for_its_time() -> None:
    bank = Bank()
    async with started():
        assert await PAID.run("order-1", bank.charge, "visa") == (1, "visa")
        await trio.sleep(3600)
        assert await PAID.run("order-1", bank.charge, "visa") == (1, "visa")
        await trio.sleep(100)
        assert await PAID.run("order-1", bank.charge, "visa") == (2, "visa")
        assert await PAID.run("order-1", bank.charge, "visa") == (2, "visa")


@virtual_time
async def test_work_of_a_handler_on_asyncio_runs_on_asyncio() -> None:
    async def charge(card: str) -> list[str]:
        await asyncio.sleep(0.1)
        charges.append(card)
        return charges

    async def handler(event: str, context: object) -> list[str]:
        return await PAID.run(event, charge, "visa")

    charges = list[str]()
    function = Function(handler, children=[Child(EntityStore)], loop="asyncio")
    async with running(function) as app:
        for _ in range(2):
            assert await app.invoke("order-1") == ["visa"]


@virtual_time
async def test_other_arguments_for_a_key_are_refused() -> None:
    bank = Bank()
    async with started():
        await PAID.run("order-1", bank.charge, "visa")
        with pytest.raises(OnceMismatch, match="once:paid/order-1 was used with other arguments"):
            await PAID.run("order-1", bank.charge, "amex")
    assert bank.charges == ["visa"]
