"""Flags: a value that stands where a factory does, and the class that performs it."""

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
class Choir(AnySupervisorSpec["Conductor"]):
    default_id = "choir"
    voices: int = 4


@implements(Choir)
class Conductor(Server):
    def __init__(self, flags: Choir) -> None:
        self.flags = flags


class Unheard(AnySupervisorSpec[Server]): ...


def test_flags_are_performed_by_the_class_that_says_so() -> None:
    conductor = build_supervisor(Choir(8))

    assert isinstance(conductor, Conductor)
    assert conductor.flags == Choir(8)
    assert isinstance(build_supervisor(SupervisorSpec()), Supervisor)


def test_flags_of_a_narrower_kind_are_performed_like_the_wider() -> None:
    class Quartet(Choir): ...

    assert isinstance(build_supervisor(Quartet()), Conductor)


def test_flags_say_what_a_child_is_called() -> None:
    assert Child(Choir()).id == "choir"


async def test_a_child_may_be_given_as_any_flags(nursery: trio.Nursery) -> None:
    top = await supervise(nursery, SupervisorSpec([Child(Choir())]))

    [child] = snapshot(top).children

    assert (child.path, child.actor) == ("/supervisor/choir", "Conductor")
    await stop(top)


async def test_any_flags_may_be_the_top_of_a_tree(nursery: trio.Nursery) -> None:
    name = Name("conductor", Conductor)

    named: Ref[Conductor] = await supervise(nursery, Choir(), name=name)
    nameless = await supervise(nursery, Choir(), path="/choir")

    assert (name.whereis(), nameless.path) == (named, "/choir")
    await stop(named)
    await stop(nameless)


async def test_flags_that_nobody_performs_fail_the_start(nursery: trio.Nursery) -> None:
    sentence = r"no supervisor class implements Unheard: add the decorator @implements\(Unheard\)"
    with pytest.raises(StartError, match=sentence):
        await supervise(nursery, SupervisorSpec([Child(Unheard())]))


@pytest.mark.parametrize("wrong", [[Child(Server)], Child(Server), None])
async def test_what_is_no_flags_is_no_tree(nursery: trio.Nursery, wrong: Any) -> None:
    rule = "a SupervisorSpec or another supervisor spec"
    with pytest.raises(SpecError, match=f"^/supervisor: spec must be {rule}, got "):
        await supervise(nursery, wrong)
