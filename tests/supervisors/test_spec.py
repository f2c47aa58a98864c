"""Specs: each wrong field has its own error and sentence, and every good combination is taken."""

import functools
import itertools
import math
import re
from typing import Any

import attrs
import pytest

from okibi.actors import Name, Server
from okibi.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    Backoff,
    BadCombination,
    Child,
    DuplicateChild,
    DuplicateName,
    InvalidAutoShutdown,
    InvalidBackoff,
    InvalidChild,
    InvalidId,
    InvalidIntensity,
    InvalidName,
    InvalidPeriod,
    InvalidRestart,
    InvalidShutdown,
    InvalidSignificant,
    InvalidStart,
    InvalidStartTimeout,
    InvalidStrategy,
    Restart,
    SpecError,
    Strategy,
    SupervisorSpec,
)


class Worker(Server): ...


WORKER = Name("worker", Worker)

WRONG_CHILDREN: list[tuple[dict[str, Any], type[SpecError], str]] = [
    ({"start": 3}, InvalidStart, "child 'int': start makes an actor, not 3"),
    ({"start": Worker()}, InvalidStart, "child 'Worker': start makes an actor, not Worker"),
    ({"start": dict}, InvalidStart, "child 'dict': start makes an actor, not dict"),
    ({"start": None}, InvalidStart, "start makes an actor, not None"),
    ({"name": "worker"}, InvalidName, "child 'Worker': name is a Name or None, not str[6]"),
    ({"id": ""}, InvalidId, "child '': id is text without a slash, not str[0]"),
    ({"id": "a/b"}, InvalidId, "child 'a/b': id is text without a slash, not str[3]"),
    ({"id": 3}, InvalidId, "child 3: id is text without a slash, not 3"),
    ({"restart": "permanent"}, InvalidRestart, "restart is a Restart, not str[9]"),
    ({"restart": None}, InvalidRestart, "restart is a Restart, not None"),
    ({"shutdown": -1}, InvalidShutdown, "is seconds from 0, INFINITY or BRUTAL_KILL, not -1"),
    ({"shutdown": "soon"}, InvalidShutdown, "BRUTAL_KILL, not str[4]"),
    ({"shutdown": math.nan}, InvalidShutdown, "BRUTAL_KILL, not nan"),
    ({"shutdown": True}, InvalidShutdown, "BRUTAL_KILL, not True"),
    ({"shutdown": None}, InvalidShutdown, "BRUTAL_KILL, not None"),
    ({"start_timeout": 0}, InvalidStartTimeout, "start_timeout is seconds above 0, not 0"),
    ({"start_timeout": "1"}, InvalidStartTimeout, "start_timeout is seconds above 0, not str[1]"),
    ({"significant": 1}, InvalidSignificant, "significant is True or False, not 1"),
    ({"significant": True}, BadCombination, "child 'Worker': a significant child is TRANSIENT or"),
]

WRONG_FLAGS: list[tuple[dict[str, Any], type[SpecError], str]] = [
    ({"children": Worker}, InvalidChild, "children is a list of Child, not type"),
    ({"children": "abc"}, InvalidChild, "children is a list of Child, not str[3]"),
    ({"children": None}, InvalidChild, "children is a list of Child, not None"),
    ({"children": [Worker]}, InvalidChild, "children holds Worker; write Child(Worker)"),
    ({"strategy": "one_for_one"}, InvalidStrategy, "strategy is a Strategy, not str[11]"),
    ({"intensity": -1}, InvalidIntensity, "intensity is a whole number from 0, not -1"),
    ({"intensity": 1.5}, InvalidIntensity, "intensity is a whole number from 0, not 1.5"),
    ({"intensity": True}, InvalidIntensity, "intensity is a whole number from 0, not True"),
    ({"period": 0}, InvalidPeriod, "period is seconds above 0, not 0"),
    ({"period": "5"}, InvalidPeriod, "period is seconds above 0, not str[1]"),
    ({"period": math.nan}, InvalidPeriod, "period is seconds above 0, not nan"),
    ({"auto_shutdown": "never"}, InvalidAutoShutdown, "is an AutoShutdown, not str[5]"),
    ({"backoff": 1.0}, InvalidBackoff, "backoff is a Backoff or None, not 1.0"),
]

WRONG_BACKOFFS: list[tuple[tuple[Any, ...], str]] = [
    ((0, 1), "backoff: first is seconds above 0, not 0"),
    (("1", 1), "backoff: first is seconds above 0, not str[1]"),
    ((math.inf, math.inf), "backoff: first is seconds above 0, not inf"),
    ((math.nan, 1), "backoff: first is seconds above 0, not nan"),
    ((2, 1), "backoff: maximum is seconds from first (2), not 1"),
    ((2, None), "backoff: maximum is seconds from first (2), not None"),
    ((2, math.inf), "backoff: maximum is seconds from first (2), not inf"),
    ((1, 2, 0.5), "backoff: factor is a number from 1, not 0.5"),
    ((1, 2, True), "backoff: factor is a number from 1, not True"),
    ((1, 2, math.inf), "backoff: factor is a number from 1, not inf"),
]


@pytest.mark.parametrize(("fields", "error", "sentence"), WRONG_CHILDREN)
def test_each_wrong_field_of_a_child_has_its_own_error(
    fields: dict[str, Any], error: type[SpecError], sentence: str
) -> None:
    with pytest.raises(SpecError) as refused:
        Child(**{"start": Worker, **fields})

    assert type(refused.value) is error
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("fields", "error", "sentence"), WRONG_FLAGS)
def test_each_wrong_flag_has_its_own_error(
    fields: dict[str, Any], error: type[SpecError], sentence: str
) -> None:
    with pytest.raises(SpecError) as refused:
        SupervisorSpec(**fields)

    assert type(refused.value) is error
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("numbers", "sentence"), WRONG_BACKOFFS)
def test_a_back_off_that_makes_no_sense_is_refused(numbers: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(InvalidBackoff, match=re.escape(sentence)):
        Backoff(*numbers)


@pytest.mark.parametrize("auto_shutdown", AutoShutdown)
@pytest.mark.parametrize("restart", Restart)
def test_only_what_can_end_for_good_can_be_significant_and_only_to_whom_it_matters(
    restart: Restart, auto_shutdown: AutoShutdown
) -> None:
    """OTP: bad_combination, in all its combinations."""

    def make() -> SupervisorSpec:
        child = Child(Worker, restart=restart, significant=True)
        return SupervisorSpec([child], auto_shutdown=auto_shutdown)

    if restart is Restart.PERMANENT or auto_shutdown is AutoShutdown.NEVER:
        with pytest.raises(BadCombination, match="child 'Worker'"):
            make()
    else:
        make()


def test_two_children_with_one_name_are_refused() -> None:
    with pytest.raises(DuplicateName, match="two children are to bear the name 'worker'"):
        SupervisorSpec([Child(Worker, name=WORKER), Child(Worker, name=WORKER, id="b")])


@pytest.mark.parametrize(
    ("restart", "shutdown", "timeout", "name", "start"),
    [
        *itertools.product(
            Restart,
            (0, 1.5, INFINITY, BRUTAL_KILL),
            (0.1, math.inf),
            (None, WORKER),
            (Worker, lambda: Worker(), functools.partial(Worker), SupervisorSpec()),
        )
    ],
)
def test_every_good_combination_is_taken(
    restart: Restart, shutdown: Any, timeout: float, name: Any, start: Any
) -> None:
    child = Child(start, name=name, restart=restart, shutdown=shutdown, start_timeout=timeout)

    assert SupervisorSpec([child]).children == (child,)


@pytest.mark.parametrize(("strategy", "intensity"), [*itertools.product(Strategy, (0, 1, 1000))])
@pytest.mark.parametrize("period", [0.1, 5, math.inf])
def test_every_good_flag_is_taken(strategy: Strategy, intensity: int, period: float) -> None:
    SupervisorSpec((), strategy, intensity, period)


def test_two_children_with_one_id_are_refused() -> None:
    with pytest.raises(DuplicateChild, match="two children are called 'Worker': give one an id="):
        SupervisorSpec([Child(Worker), Child(Worker)])


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (Child(Worker), "Worker"),
        (Child(functools.partial(Worker)), "Worker"),
        (Child(Worker, name=WORKER), "worker"),
        (Child(SupervisorSpec()), "supervisor"),
        (Child(Worker, name=WORKER, id="mine"), "mine"),
    ],
)
def test_the_id_is_the_names_else_the_factorys(child: Child[Any], expected: str) -> None:
    assert child.id == expected


def test_the_defaults_are_otps() -> None:
    child, flags = Child(Worker), SupervisorSpec()

    assert (child.restart, child.shutdown, child.start_timeout) == (Restart.PERMANENT, 5.0, 60.0)
    supervisor = Child(SupervisorSpec())
    assert (supervisor.shutdown, supervisor.start_timeout) == (INFINITY, INFINITY)
    assert (flags.children, flags.strategy) == ((), Strategy.ONE_FOR_ONE)
    assert (flags.intensity, flags.period) == (3, 5.0)
    assert (flags.auto_shutdown, flags.backoff) == (AutoShutdown.NEVER, None)
    assert child.significant is False


def test_specs_are_values() -> None:
    assert SupervisorSpec([Child(Worker)]) == SupervisorSpec((Child(Worker),))
    assert hash(Child(Worker)) == hash(Child(Worker))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Child(Worker).id = "other"  # type: ignore[misc]


def test_children_may_come_from_a_generator() -> None:
    flags = SupervisorSpec(Child(Worker, id=str(n)) for n in range(3))

    assert [child.id for child in flags.children] == ["0", "1", "2"]
