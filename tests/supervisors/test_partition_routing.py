"""Which copy has a key, and how an address finds it (Elixir: `{:via, PartitionSupervisor, _}`)."""

import subprocess
import sys
from collections.abc import Hashable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Name, NoProcess, start, stop
from okibi.supervisors import (
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    NoPartition,
    PartitionedName,
    PartitionSupervisorSpec,
    SupervisorSpec,
    supervise,
)
from okibi.supervisors.partition import partition_of
from tests.support.partition_copies import COPIES, Copy, begin, fleeting, numbered


@pytest.mark.parametrize(
    ("key", "number"),
    [(0, 0), (1, 1), (2, 2), (3, 0), (-1, 1), (True, 1), (2**70, 2**70 % 3)],
)
async def test_a_whole_number_goes_by_its_absolute_value(
    nursery: trio.Nursery, key: int, number: int
) -> None:
    top = await begin(nursery)

    assert await COPIES.at(key).call(Copy.told) == number
    await stop(top)


@pytest.mark.parametrize(
    "key", ["bob", "\ud800", b"bob", None, ("a", 1, None), 1.5, frozenset("a")]
)
def test_every_key_has_one_copy(key: Hashable) -> None:
    found = {partition_of(key, 5) for _ in range(3)}

    assert len(found) == 1
    assert found <= set(range(5))


def test_texts_are_shared_out_evenly() -> None:
    per_copy = [0] * 8
    for number in range(8000):
        per_copy[partition_of(f"user-{number}", 8)] += 1

    assert all(800 < count < 1200 for count in per_copy)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_texts_bytes_none_and_tuples_keep_their_copy_in_the_next_process(seed: str) -> None:
    keys = ("bob", b"bob", None, ("a", (1, b"c"), None))
    code = "from okibi.supervisors.partition import partition_of as p\n"
    code += f"print([p(k, 97) for k in {keys}])"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == str([partition_of(key, 97) for key in keys])


def test_a_key_that_cannot_be_hashed_is_refused() -> None:
    with pytest.raises(TypeError):
        partition_of([1], 2)  # type: ignore[arg-type]


async def test_an_address_survives_a_restart_of_its_copy_and_of_the_supervisor(
    nursery: trio.Nursery,
) -> None:
    copies = Child(PartitionSupervisorSpec(numbered, 3), name=COPIES.name)
    top = await supervise(nursery, SupervisorSpec([copies]))
    two = COPIES.at(2)

    for strike in (two, COPIES.name):
        before = two.process()
        strike.process().kill()
        await wait_all_tasks_blocked()

        assert two.process() is not before
        assert await two.call(Copy.told) == 2
    await stop(top)


async def test_many_supervisors_share_out_the_children_that_are_started(
    nursery: trio.Nursery,
) -> None:
    pools = PartitionedName("pools", DynamicSupervisor)
    flags = PartitionSupervisorSpec(Child(DynamicSupervisorSpec()), 4)
    top = await supervise(nursery, SupervisorSpec([Child(flags, name=pools.name)]))

    started = [
        await pools.at(key).call(DynamicSupervisor.start_child, numbered(key)) for key in range(100)
    ]

    counts = [await pools.at(key).call(DynamicSupervisor.count_children) for key in range(4)]
    assert [count.active for count in counts] == [25] * 4
    assert started[6] is not None
    assert started[6].path.startswith("/supervisor/pools/2/")
    await stop(top)


async def test_nobody_bears_the_name_while_there_is_no_supervisor() -> None:
    with pytest.raises(NoProcess, match="no actor is registered as 'copies'"):
        await COPIES.at(1).call(Copy.told)


async def test_a_name_that_somebody_else_bears_leads_to_no_copy(nursery: trio.Nursery) -> None:
    stranger = await start(nursery, Copy, name=Name("copies", Copy))

    with pytest.raises(NoPartition, match="copies is no partition supervisor"):
        await COPIES.at(1).call(Copy.told)
    stranger.stop()


async def test_the_key_of_a_copy_that_does_not_run_fails_at_once(nursery: trio.Nursery) -> None:
    top = await begin(nursery, child=fleeting)
    COPIES.at(1).process().kill()
    await wait_all_tasks_blocked()

    with pytest.raises(NoPartition, match=r"copies has nobody in partition 1 now$"):
        await COPIES.at(4).call(Copy.told)
    assert await COPIES.at(2).call(Copy.told) == 2
    await stop(top)


def test_addresses_are_values() -> None:
    assert PartitionedName("copies", Copy) == COPIES
    assert COPIES.at("a") == COPIES.at("a") != COPIES.at("b")
    assert repr(COPIES.at("a")) == "PartitionedName('copies', Copy).at('a')"
    assert hash(COPIES.at("a")) == hash(COPIES.at("a"))
