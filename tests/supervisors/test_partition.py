"""Partitions: copies of one child, routing by key, resize (Elixir: partition_supervisor_test)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi import supervisors
from okibi.actors import SHUTDOWN, Name, Ref, start, stop
from okibi.actors.names import names
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
from okibi.supervisors.partition import usable_cpus
from tests.conformance.cancellation import every_step
from tests.support.child_stage import Boom
from tests.support.partition_copies import (
    COPIES,
    Copy,
    begin,
    log,
    numbered,
    refused,
    resize,
    said,
    told,
)


@pytest.fixture(autouse=True)
def _clean() -> None:
    log.clear()
    refused.clear()


# -- the flags


def test_a_partitioned_child_is_called_as_its_name_says() -> None:
    assert Child(PartitionSupervisorSpec(Child(Copy)), name=COPIES.name).id == "copies"
    assert Child(PartitionSupervisorSpec(Child(Copy))).id == "partitions"


def test_there_are_as_many_copies_as_the_process_may_use_cpus() -> None:
    assert PartitionSupervisorSpec(Child(Copy)).partitions == usable_cpus() > 0


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


def test_flags_are_equal_when_what_was_written_is() -> None:
    child = Child(Copy)

    assert (
        PartitionSupervisorSpec(child, 2)
        == PartitionSupervisorSpec(child, 2)
        != PartitionSupervisorSpec(child, 3)
    )


@pytest.mark.parametrize(("key", "actor"), [("", Copy), ([], Copy), ("copies", "Copy")])
def test_a_partitioned_address_is_checked_where_it_is_made(key: Any, actor: Any) -> None:
    with pytest.raises(TypeError):
        PartitionedName(key, actor)


# -- what a supervisor does


async def test_each_copy_is_given_its_number(nursery: trio.Nursery) -> None:
    top = await begin(nursery)

    assert await told() == [0, 1, 2, 0]
    assert said() == "start 0; start 1; start 2"
    await stop(top)


async def test_its_stop_is_over_when_all_copies_have_ended(nursery: trio.Nursery) -> None:
    copies = await start(nursery, lambda: PartitionSupervisor(PartitionSupervisorSpec(numbered, 3)))

    assert await stop(copies) is SHUTDOWN
    assert said().endswith("term 2; term 1; term 0")


async def test_all_copies_can_be_listed_newest_first(nursery: trio.Nursery) -> None:
    top = await begin(nursery)

    listed = await COPIES.name.call(PartitionSupervisor.which_children)

    assert [child.id for child in listed] == ["2", "1", "0"]
    assert all(child.ref == Ref(COPIES.at(int(child.id)).process()) for child in listed)
    assert listed[0].ref is not None
    assert listed[0].ref.path == "/supervisor/copies/2"
    assert await COPIES.name.call(PartitionSupervisor.partitions) == 3
    await stop(top)


async def test_copies_are_counted_as_workers(nursery: trio.Nursery) -> None:
    top = await begin(nursery, 2)

    assert await COPIES.name.call(PartitionSupervisor.count_children) == Counts(2, 2, 0, 2)
    await stop(top)


async def test_copies_that_are_supervisors_are_counted_as_such(nursery: trio.Nursery) -> None:
    top = await begin(nursery, 2, Child(SupervisorSpec([Child(Copy)])))

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
async def test_copies_restart_by_their_strategy(
    nursery: trio.Nursery, strategy: Strategy, log: str
) -> None:
    top = await begin(nursery, strategy=strategy)
    said()

    COPIES.at(1).cast_nowait(Copy.crash)
    await wait_all_tasks_blocked()

    assert said() == log
    await stop(top)


async def test_it_takes_and_drops_no_children(nursery: trio.Nursery) -> None:
    top = await begin(nursery)

    with pytest.raises(FixedChildren, match="use resize"):
        await COPIES.name.call(PartitionSupervisor.start_child, Child(Copy))
    with pytest.raises(FixedChildren, match="use resize"):
        await COPIES.name.call(PartitionSupervisor.delete_child, "0")
    await stop(top)


# -- resize


async def test_resized_down_the_last_copies_stop_and_the_keys_go_to_the_others(
    nursery: trio.Nursery,
) -> None:
    top = await begin(nursery)
    said()

    assert await resize(1) == 3

    assert said() == "term 2; term 1"
    assert await told() == [0, 0, 0, 0]
    assert await COPIES.name.call(PartitionSupervisor.partitions) == 1
    assert await COPIES.name.call(PartitionSupervisor.count_children) == Counts(1, 1, 0, 1)
    with pytest.raises(NotFound):
        await COPIES.name.call(PartitionSupervisor.restart_child, "1")
    await stop(top)


async def test_resized_up_the_copies_start_again_and_keep_count(nursery: trio.Nursery) -> None:
    top = await begin(nursery)
    await resize(1)
    said()

    assert await resize(3) == 1

    assert said() == "start 1; start 2"
    assert await told() == [0, 1, 2, 0]
    assert Ref(COPIES.at(2).process()).incarnation == 2
    assert await resize(3) == 3
    assert said() == ""
    await stop(top)


async def test_resized_to_none_every_key_fails_with_a_sentence(nursery: trio.Nursery) -> None:
    top = await begin(nursery)
    await resize(0)

    with pytest.raises(NoPartition, match="/supervisor/copies has been resized to 0 partitions"):
        await COPIES.at("bob").call(Copy.told)
    await stop(top)


@pytest.mark.parametrize("number", [-1, 4, True, 1.0, "1"])
async def test_it_is_resized_to_no_more_than_there_were(nursery: trio.Nursery, number: Any) -> None:
    top = await begin(nursery)

    with pytest.raises(SpecError, match="partitions must be an integer from 0 to 3, got "):
        await resize(number)

    assert await told() == [0, 1, 2, 0]
    await stop(top)


@pytest.mark.parametrize("wrong", [1, 2])
async def test_resized_up_either_all_copies_start_or_none(
    nursery: trio.Nursery, wrong: int
) -> None:
    top = await begin(nursery)
    await resize(1)
    said()
    refused.add(wrong)

    with pytest.raises(ChildFailed, match=f"copies/{wrong} did not start") as caught:
        await resize(3)

    assert isinstance(caught.value.__cause__, Boom)
    assert said() == ("start 1; term 1" if wrong == 2 else "")
    assert await told() == [0, 0, 0, 0]
    refused.clear()
    await resize(2)
    assert await told() == [0, 1, 0, 1]
    await stop(top)


async def test_a_strategy_does_not_bring_back_what_was_resized_away(nursery: trio.Nursery) -> None:
    top = await begin(nursery, strategy=Strategy.ONE_FOR_ALL)
    await resize(2)
    said()

    COPIES.at(0).cast_nowait(Copy.crash)
    await wait_all_tasks_blocked()

    assert said() == "term 0; term 1; start 0; start 1"
    await stop(top)


async def test_a_copy_that_waits_for_its_restart_is_called_off_by_a_resize(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await begin(nursery, backoff=supervisors.Backoff(1, 1))
    COPIES.at(2).cast_nowait(Copy.crash)
    await wait_all_tasks_blocked()
    listed = await COPIES.name.call(PartitionSupervisor.which_children)
    assert listed[0].state is ChildState.RESTARTING
    said()

    await resize(2)
    await trio.sleep(5)

    assert said() == ""
    await stop(top)


# -- the sweep


@pytest.mark.parametrize("act", [partial(resize, 1), partial(resize, 0)])
def test_cancelled_at_any_step_of_a_resize_every_copy_ends_and_none_is_left(
    act: Callable[[], Awaitable[object]],
) -> None:
    async def scenario() -> None:
        log.clear()
        async with trio.open_nursery() as nursery:
            top = await begin(nursery)
            await act()
            await resize(3)
            top.stop()

    async def check() -> None:
        assert names() == {}
        started = [line.split()[1] for line in log if line.startswith("start")]
        ended = [line.split()[1] for line in log if line.startswith("term")]
        assert sorted(started) == sorted(ended)

    assert every_step(scenario, check) > 30


def test_a_room_that_is_not_there_is_said_as_python_says_it() -> None:
    with pytest.raises(
        AttributeError, match=r"module 'okibi\.supervisors' has no attribute 'Portions'"
    ):
        supervisors.Portions  # type: ignore[attr-defined]  # noqa: B018
