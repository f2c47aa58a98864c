"""Map keys to copies, and addresses to processes (Elixir: `{:via, PartitionSupervisor, _}`)."""

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
from tests.support.partition_copies import COPIES, Copy, fleeting, numbered, start_copies


@pytest.mark.parametrize(
    ("key", "number"),
    [(0, 0), (1, 1), (2, 2), (3, 0), (-1, 1), (True, 1), (2**70, 2**70 % 3)],
)
async def test_an_integer_key_maps_by_its_absolute_value(
    nursery: trio.Nursery, key: int, number: int
) -> None:
    top = await start_copies(nursery)

    assert await COPIES.at(key).call(Copy.get_number) == number
    await stop(top)


@pytest.mark.parametrize(
    "key", ["bob", "\ud800", b"bob", None, ("a", 1, None), 1.5, frozenset("a")]
)
def test_a_key_always_maps_to_the_same_copy(key: Hashable) -> None:
    found = {partition_of(key, 5) for _ in range(3)}

    assert len(found) == 1
    assert found <= set(range(5))


def test_string_keys_are_evenly_distributed() -> None:
    per_copy = [0] * 8
    for number in range(8000):
        per_copy[partition_of(f"user-{number}", 8)] += 1

    assert all(800 < count < 1200 for count in per_copy)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_stable_keys_map_alike_in_every_process(seed: str) -> None:
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


def test_an_unhashable_key_is_refused() -> None:
    with pytest.raises(TypeError):
        partition_of([1], 2)  # type: ignore[arg-type]


async def test_an_address_survives_restarts_of_copy_and_supervisor(
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
        assert await two.call(Copy.get_number) == 2
    await stop(top)


async def test_partitioned_supervisors_share_their_children_by_key(
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


async def test_a_call_without_a_supervisor_raises_no_process() -> None:
    with pytest.raises(NoProcess, match="no actor is registered as 'copies'"):
        await COPIES.at(1).call(Copy.get_number)


async def test_a_name_of_another_actor_raises_no_partition(nursery: trio.Nursery) -> None:
    stranger = await start(nursery, Copy, name=Name("copies", Copy))

    with pytest.raises(NoPartition) as refused:
        await COPIES.at(1).call(Copy.get_number)

    assert str(refused.value) == (
        f"{stranger.path} is not a PartitionSupervisor, or has not started yet"
    )
    stranger.stop()


async def test_a_call_to_a_dead_copy_fails_immediately(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery, child=fleeting)
    COPIES.at(1).process().kill()
    await wait_all_tasks_blocked()

    with pytest.raises(NoPartition) as refused:
        await COPIES.at(4).call(Copy.get_number)
    assert str(refused.value) == "/supervisor/copies has no running actor in partition 1"
    assert await COPIES.at(2).call(Copy.get_number) == 2
    await stop(top)


def test_addresses_compare_and_hash_as_values() -> None:
    assert PartitionedName("copies", Copy) == COPIES
    assert COPIES.at("a") == COPIES.at("a") != COPIES.at("b")
    assert repr(COPIES.at("a")) == "PartitionedName('copies', Copy).at('a')"
    assert hash(COPIES.at("a")) == hash(COPIES.at("a"))
