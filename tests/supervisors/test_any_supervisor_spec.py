"""Supervisor specs of any class, and the supervisor classes that implement them."""

from typing import Any

import attrs
import pytest
import trio

from okibi.actors import Name, Ref, Server, StartError, stop
from okibi.supervisors import (
    AnySupervisorSpec,
    Child,
    SpecError,
    Supervisor,
    SupervisorSpec,
    snapshot,
    supervise,
)
from okibi.supervisors.any_supervisor_spec import build_supervisor, implements


@attrs.frozen
class PoolSpec(AnySupervisorSpec["Pool"]):
    default_id = "pool"
    size: int = 4


@implements(PoolSpec)
class Pool(Server):
    def __init__(self, spec: PoolSpec) -> None:
        self.spec = spec


class Unimplemented(AnySupervisorSpec[Server]): ...


def test_implements_connects_a_spec_with_its_supervisor_class() -> None:
    pool = build_supervisor(PoolSpec(8))

    assert isinstance(pool, Pool)
    assert pool.spec == PoolSpec(8)
    assert isinstance(build_supervisor(SupervisorSpec()), Supervisor)


def test_a_subclass_of_a_spec_has_the_same_supervisor_class() -> None:
    class SmallPoolSpec(PoolSpec): ...

    assert isinstance(build_supervisor(SmallPoolSpec()), Pool)


def test_default_id_of_a_spec_is_the_id_of_the_child() -> None:
    assert Child(PoolSpec()).id == "pool"


async def test_a_child_may_be_any_supervisor_spec(nursery: trio.Nursery) -> None:
    top = await supervise(nursery, SupervisorSpec([Child(PoolSpec())]))

    [child] = snapshot(top).children

    assert (child.path, child.actor) == ("/supervisor/pool", "Pool")
    await stop(top)


async def test_supervise_takes_any_supervisor_spec(nursery: trio.Nursery) -> None:
    name = Name("pool", Pool)

    named: Ref[Pool] = await supervise(nursery, PoolSpec(), name=name)
    nameless = await supervise(nursery, PoolSpec(), path="/pool")

    assert (name.whereis(), nameless.path) == (named, "/pool")
    await stop(named)
    await stop(nameless)


async def test_a_spec_without_a_supervisor_class_fails_the_start(nursery: trio.Nursery) -> None:
    sentence = r"no supervisor class implements Unimplemented: add the decorator @implements"
    with pytest.raises(StartError, match=sentence):
        await supervise(nursery, SupervisorSpec([Child(Unimplemented())]))


@pytest.mark.parametrize("wrong", [[Child(Server)], Child(Server), None])
async def test_supervise_refuses_a_value_that_is_no_supervisor_spec(
    nursery: trio.Nursery, wrong: Any
) -> None:
    rule = "a SupervisorSpec or another supervisor spec"
    with pytest.raises(SpecError, match=f"^/supervisor: spec must be {rule}, got "):
        await supervise(nursery, wrong)
