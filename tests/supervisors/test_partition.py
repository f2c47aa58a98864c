"""PartitionSupervisor: spec, copies, restarts, resize (Elixir: partition_supervisor_test)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi import supervisors
from okibi.actors import SHUTDOWN, Name, Ref, start, stop
from okibi.actors.names import name_table
from okibi.supervisors import (
    Child,
    ChildFailed,
    ChildState,
    Counts,
    FixedChildren,
    NoPartition,
    NotFound,
    PartitionedName,
    PartitionSupervisor,
    PartitionSupervisorSpec,
    Restart,
    SpecError,
    Strategy,
    SupervisorSpec,
)
from okibi.supervisors.partition import count_usable_cpus
from tests.conformance.cancellation import every_step
from tests.support.child_stage import Boom
from tests.support.partition_copies import (
    COPIES,
    Copy,
    log,
    numbered,
    numbers_for_keys_0_to_3,
    refused,
    resize,
    start_copies,
    take_log,
)


@pytest.fixture(autouse=True)
def _clear_log() -> None:
    log.clear()
    refused.clear()


# -- the spec


def test_the_default_id_is_the_name_or_partitions() -> None:
    assert Child(PartitionSupervisorSpec(Child(Copy)), name=COPIES.name).id == "copies"
    assert Child(PartitionSupervisorSpec(Child(Copy))).id == "partitions"


def test_the_default_count_is_the_usable_cpus() -> None:
    assert PartitionSupervisorSpec(Child(Copy)).partitions == count_usable_cpus() > 0


@pytest.mark.parametrize(
    ("field", "flags"),
    [
        ("partitions", {"partitions": 0}),
        ("partitions", {"partitions": True}),
        ("partitions", {"partitions": 2.0}),
        ("child", {"child": Copy}),
        ("child", {"child": 123}),
        ("child", {"child": lambda number: number}),
        ("significant", {"child": Child(Copy, restart=Restart.TRANSIENT, significant=True)}),
        ("name", {"child": Child(Copy, name=Name("copy", Copy))}),
        ("strategy", {"strategy": "one_for_one"}),
        ("intensity", {"intensity": -1}),
        ("period", {"period": 0}),
        ("backoff", {"backoff": 1.0}),
    ],
)
def test_the_error_of_a_wrong_field_names_the_field(field: str, flags: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        PartitionSupervisorSpec(**{"child": Child(Copy), "partitions": 2, **flags})

    assert caught.value.field == field


def test_specs_compare_by_their_fields() -> None:
    child = Child(Copy)

    assert (
        PartitionSupervisorSpec(child, 2)
        == PartitionSupervisorSpec(child, 2)
        != PartitionSupervisorSpec(child, 3)
    )


@pytest.mark.parametrize(("key", "actor"), [("", Copy), ([], Copy), ("copies", "Copy")])
def test_partitioned_name_checks_key_and_actor(key: Any, actor: Any) -> None:
    with pytest.raises(TypeError):
        PartitionedName(key, actor)


# -- the copies


async def test_the_factory_gets_each_copys_number(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery)

    assert await numbers_for_keys_0_to_3() == [0, 1, 2, 0]
    assert take_log() == "start 0; start 1; start 2"
    await stop(top)


async def test_the_stop_waits_for_all_copies_last_first(nursery: trio.Nursery) -> None:
    copies = await start(nursery, lambda: PartitionSupervisor(PartitionSupervisorSpec(numbered, 3)))

    assert await stop(copies) is SHUTDOWN
    assert take_log().endswith("term 2; term 1; term 0")


async def test_which_children_lists_the_newest_copy_first(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery)

    listed = await COPIES.name.call(PartitionSupervisor.which_children)

    assert [child.id for child in listed] == ["2", "1", "0"]
    assert all(child.ref == Ref(COPIES.at(int(child.id)).process()) for child in listed)
    assert listed[0].ref is not None
    assert listed[0].ref.path == "/supervisor/copies/2"
    assert await COPIES.name.call(PartitionSupervisor.partitions) == 3
    await stop(top)


async def test_count_children_counts_copies_as_workers(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery, 2)

    assert await COPIES.name.call(PartitionSupervisor.count_children) == Counts(2, 2, 0, 2)
    await stop(top)


async def test_count_children_counts_supervisor_copies(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery, 2, Child(SupervisorSpec([Child(Copy)])))

    assert await COPIES.name.call(PartitionSupervisor.count_children) == Counts(2, 2, 2, 0)
    await stop(top)


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        (Strategy.ONE_FOR_ONE, "term 1; start 1"),
        (Strategy.REST_FOR_ONE, "term 1; term 2; start 1; start 2"),
        (Strategy.ONE_FOR_ALL, "term 1; term 2; term 0; start 0; start 1; start 2"),
    ],
)
async def test_the_strategy_restarts_copies(
    nursery: trio.Nursery, strategy: Strategy, log: str
) -> None:
    top = await start_copies(nursery, strategy=strategy)
    take_log()

    COPIES.at(1).cast_nowait(Copy.crash)
    await wait_all_tasks_blocked()

    assert take_log() == log
    await stop(top)


async def test_start_child_and_delete_child_are_refused(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery)

    with pytest.raises(FixedChildren) as no_start:
        await COPIES.name.call(PartitionSupervisor.start_child, Child(Copy))
    with pytest.raises(FixedChildren) as no_delete:
        await COPIES.name.call(PartitionSupervisor.delete_child, "0")

    assert str(no_start.value) == (
        "/supervisor/copies cannot start a single child (Child): "
        "resize() changes the number of copies"
    )
    assert str(no_delete.value) == (
        "/supervisor/copies cannot delete child '0': resize() changes the number of copies"
    )
    await stop(top)


# -- resize


async def test_resize_down_stops_the_last_copies_and_moves_their_keys(
    nursery: trio.Nursery,
) -> None:
    top = await start_copies(nursery)
    take_log()

    assert await resize(1) == 3

    assert take_log() == "term 2; term 1"
    assert await numbers_for_keys_0_to_3() == [0, 0, 0, 0]
    assert await COPIES.name.call(PartitionSupervisor.partitions) == 1
    assert await COPIES.name.call(PartitionSupervisor.count_children) == Counts(1, 1, 0, 1)
    with pytest.raises(NotFound):
        await COPIES.name.call(PartitionSupervisor.restart_child, "1")
    await stop(top)


async def test_resize_up_starts_copies_as_new_incarnations(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery)
    await resize(1)
    take_log()

    assert await resize(3) == 1

    assert take_log() == "start 1; start 2"
    assert await numbers_for_keys_0_to_3() == [0, 1, 2, 0]
    assert Ref(COPIES.at(2).process()).incarnation == 2
    assert await resize(3) == 3
    assert take_log() == ""
    await stop(top)


async def test_a_call_fails_after_a_resize_to_zero(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery)
    await resize(0)

    with pytest.raises(NoPartition) as refused:
        await COPIES.at("bob").call(Copy.get_number)

    assert str(refused.value) == "/supervisor/copies has 0 partitions: call resize() first"
    await stop(top)


@pytest.mark.parametrize("number", [-1, 4, True, 1.0, "1"])
async def test_resize_refuses_a_count_out_of_range(nursery: trio.Nursery, number: Any) -> None:
    top = await start_copies(nursery)

    with pytest.raises(SpecError, match="partitions must be an integer from 0 to 3, got "):
        await resize(number)

    assert await numbers_for_keys_0_to_3() == [0, 1, 2, 0]
    await stop(top)


@pytest.mark.parametrize("wrong", [1, 2])
async def test_resize_up_starts_all_copies_or_none(nursery: trio.Nursery, wrong: int) -> None:
    top = await start_copies(nursery)
    await resize(1)
    take_log()
    refused.add(wrong)

    with pytest.raises(ChildFailed, match=f"copies/{wrong} did not start") as caught:
        await resize(3)

    assert isinstance(caught.value.__cause__, Boom)
    assert take_log() == ("start 1; term 1" if wrong == 2 else "")
    assert await numbers_for_keys_0_to_3() == [0, 0, 0, 0]
    refused.clear()
    await resize(2)
    assert await numbers_for_keys_0_to_3() == [0, 1, 0, 1]
    await stop(top)


async def test_a_strategy_does_not_start_removed_copies(nursery: trio.Nursery) -> None:
    top = await start_copies(nursery, strategy=Strategy.ONE_FOR_ALL)
    await resize(2)
    take_log()

    COPIES.at(0).cast_nowait(Copy.crash)
    await wait_all_tasks_blocked()

    assert take_log() == "term 0; term 1; start 0; start 1"
    await stop(top)


async def test_resize_cancels_the_restart_of_a_removed_copy(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await start_copies(nursery, backoff=supervisors.Backoff(1, 1))
    COPIES.at(2).cast_nowait(Copy.crash)
    await wait_all_tasks_blocked()
    listed = await COPIES.name.call(PartitionSupervisor.which_children)
    assert listed[0].state is ChildState.RESTARTING
    take_log()

    await resize(2)
    await trio.sleep(5)

    assert take_log() == ""
    await stop(top)


# -- cancellation at every step


@pytest.mark.parametrize("act", [partial(resize, 1), partial(resize, 0)])
def test_cancellation_at_any_step_of_a_resize_leaves_no_copy(
    act: Callable[[], Awaitable[object]],
) -> None:
    async def scenario() -> None:
        log.clear()
        async with trio.open_nursery() as nursery:
            top = await start_copies(nursery)
            await act()
            await resize(3)
            top.stop()

    async def check() -> None:
        assert name_table() == {}
        started = [line.split()[1] for line in log if line.startswith("start")]
        ended = [line.split()[1] for line in log if line.startswith("term")]
        assert sorted(started) == sorted(ended)

    assert every_step(scenario, check) > 30


def test_an_unknown_attribute_raises_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match=r"module 'okibi\.supervisors' has no attribute 'Portions'"
    ):
        supervisors.Portions  # type: ignore[attr-defined]  # noqa: B018
