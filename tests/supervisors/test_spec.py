"""Specs: a SpecError names the wrong field and the rule; every legal combination is accepted."""

import copy
import functools
import itertools
import math
import pickle
from typing import Any

import attrs
import pytest

from okibi.actors import Name, Server
from okibi.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    Backoff,
    Child,
    Restart,
    SpecError,
    Strategy,
    SupervisorSpec,
)


class Worker(Server): ...


WORKER = Name("worker", Worker)

START = "start must be an Actor class, a function that makes an actor, or a supervisor spec"

WRONG_CHILDREN: list[tuple[dict[str, Any], str]] = [
    ({"start": 3}, f"child 'int': {START}, got 3"),
    ({"start": dict}, f"child 'dict': {START}, got dict"),
    ({"start": None}, f"child 'NoneType': {START}, got None"),
    ({"name": "worker"}, "child 'Worker': name must be a Name or None, got str[6]"),
    ({"id": ""}, "child '': id must be non-empty text without a slash, got str[0]"),
    ({"id": "a/b"}, "child 'a/b': id must be non-empty text without a slash, got str[3]"),
    ({"id": 3}, "child 3: id must be non-empty text without a slash, got 3"),
    ({"restart": "permanent"}, "child 'Worker': restart must be a Restart, got str[9]"),
    ({"restart": None}, "child 'Worker': restart must be a Restart, got None"),
    ({"shutdown": -1}, "shutdown must be seconds >= 0, INFINITY or BRUTAL_KILL, got -1"),
    ({"shutdown": "soon"}, "shutdown must be seconds >= 0, INFINITY or BRUTAL_KILL, got str[4]"),
    ({"shutdown": math.nan}, "shutdown must be seconds >= 0, INFINITY or BRUTAL_KILL, got nan"),
    ({"shutdown": True}, "shutdown must be seconds >= 0, INFINITY or BRUTAL_KILL, got True"),
    ({"shutdown": None}, "shutdown must be seconds >= 0, INFINITY or BRUTAL_KILL, got None"),
    ({"start_timeout": 0}, "start_timeout must be seconds > 0 or INFINITY, got 0"),
    ({"start_timeout": "1"}, "start_timeout must be seconds > 0 or INFINITY, got str[1]"),
    ({"significant": 1}, "child 'Worker': significant must be True or False, got 1"),
    (
        {"significant": True},
        "a PERMANENT child is always restarted and cannot be significant: use TRANSIENT or TEMP",
    ),
]

WRONG_SUPERVISORS: list[tuple[dict[str, Any], str]] = [
    ({"children": Worker}, "children must be a list of Child, got Worker"),
    ({"children": "abc"}, "children must be a list of Child, got str[3]"),
    ({"children": None}, "children must be a list of Child, got None"),
    ({"children": [Worker]}, "children[0] must be a Child, got Worker: write Child(Worker)"),
    (
        {"children": [Child(Worker), SupervisorSpec()]},
        "children[1] must be a Child, got SupervisorSpec: write Child(SupervisorSpec(...))",
    ),
    ({"children": (3,)}, "children[0] must be a Child, got 3"),
    ({"strategy": "one_for_one"}, "strategy must be a Strategy, got str[11]"),
    ({"intensity": -1}, "intensity must be an integer >= 0, got -1"),
    ({"intensity": 1.5}, "intensity must be an integer >= 0, got 1.5"),
    ({"intensity": True}, "intensity must be an integer >= 0, got True"),
    ({"period": 0}, "period must be seconds > 0, got 0"),
    ({"period": "5"}, "period must be seconds > 0, got str[1]"),
    ({"period": math.nan}, "period must be seconds > 0, got nan"),
    ({"auto_shutdown": "never"}, "auto_shutdown must be an AutoShutdown, got str[5]"),
    ({"backoff": 1.0}, "backoff must be a Backoff or None, got 1.0"),
]

WRONG_BACKOFFS: list[tuple[tuple[Any, ...], str, str]] = [
    ((0, 1), "first", "must be a finite number of seconds > 0, got 0"),
    (("1", 1), "first", "must be a finite number of seconds > 0, got str[1]"),
    ((math.inf, math.inf), "first", "must be a finite number of seconds > 0, got inf"),
    ((math.nan, 1), "first", "must be a finite number of seconds > 0, got nan"),
    ((2, 1), "maximum", "must be a finite number of seconds >= first (2), got 1"),
    ((2, None), "maximum", "must be a finite number of seconds >= first (2), got None"),
    ((2, math.inf), "maximum", "must be a finite number of seconds >= first (2), got inf"),
    ((1, 2, 0.5), "factor", "must be a finite number >= 1, got 0.5"),
    ((1, 2, True), "factor", "must be a finite number >= 1, got True"),
    ((1, 2, math.inf), "factor", "must be a finite number >= 1, got inf"),
]


@pytest.mark.parametrize(("fields", "sentence"), WRONG_CHILDREN)
def test_a_wrong_field_of_a_child_is_named_with_its_rule(
    fields: dict[str, Any], sentence: str
) -> None:
    [(field, value)] = fields.items()

    with pytest.raises(SpecError) as refused:
        Child(**{"start": Worker, **fields})

    assert sentence in str(refused.value)
    assert (refused.value.field, refused.value.value) == (field, pytest.approx(value, nan_ok=True))


def test_an_instance_in_place_of_a_class_is_refused() -> None:
    instance: Any = Worker()

    with pytest.raises(SpecError) as refused:
        Child(instance)

    assert refused.value.field == "start"
    assert str(refused.value) == (
        "Child(start=...): give the class Worker, or a function that makes a new one, "
        "not an instance"
    )


@pytest.mark.parametrize(("fields", "sentence"), WRONG_SUPERVISORS)
def test_a_wrong_field_of_a_supervisor_is_named_with_its_rule(
    fields: dict[str, Any], sentence: str
) -> None:
    [field] = fields

    with pytest.raises(SpecError) as refused:
        SupervisorSpec(**fields)

    assert refused.value.field == field
    assert str(refused.value) == sentence


@pytest.mark.parametrize(("numbers", "field", "rule"), WRONG_BACKOFFS)
def test_a_wrong_number_of_a_backoff_is_named_with_its_rule(
    numbers: tuple[Any, ...], field: str, rule: str
) -> None:
    with pytest.raises(SpecError) as refused:
        Backoff(*numbers)

    assert refused.value.field == field
    assert str(refused.value) == f"Backoff: {field} {rule}"


@pytest.mark.parametrize("auto_shutdown", AutoShutdown)
@pytest.mark.parametrize("restart", Restart)
def test_significant_needs_a_child_that_can_stay_down_and_auto_shutdown(
    restart: Restart, auto_shutdown: AutoShutdown
) -> None:
    """OTP: bad_combination, with every combination of the two fields."""

    def make() -> SupervisorSpec:
        child = Child(Worker, restart=restart, significant=True)
        return SupervisorSpec([child], auto_shutdown=auto_shutdown)

    if restart is Restart.PERMANENT or auto_shutdown is AutoShutdown.NEVER:
        with pytest.raises(SpecError, match="child 'Worker'") as refused:
            make()
        assert refused.value.field == "significant"
    else:
        make()


def test_two_children_with_the_same_name_are_refused() -> None:
    with pytest.raises(
        SpecError, match="two children have the name 'worker': give one of them another name="
    ):
        SupervisorSpec([Child(Worker, name=WORKER), Child(Worker, name=WORKER, id="b")])


def test_every_legal_combination_of_child_fields_is_accepted() -> None:
    starts: list[Any] = [Worker, lambda: Worker(), functools.partial(Worker), SupervisorSpec()]
    combinations = itertools.product(
        Restart,
        (0, 1.5, INFINITY, BRUTAL_KILL),
        (0.1, math.inf),
        (None, WORKER),
        starts,
    )
    for restart, shutdown, timeout, name, start in combinations:
        options: dict[str, Any] = {"restart": restart, "shutdown": shutdown, "name": name}
        child = Child(start, start_timeout=timeout, **options)

        assert SupervisorSpec([child]).children == (child,)


def test_every_legal_combination_of_supervisor_fields_is_accepted() -> None:
    for fields in itertools.product(Strategy, (0, 1, 1000), (0.1, 5, math.inf)):
        SupervisorSpec((), *fields)


def test_two_children_with_the_same_id_are_refused() -> None:
    with pytest.raises(SpecError, match="two children have the id 'Worker': give one of them an"):
        SupervisorSpec([Child(Worker), Child(Worker)])


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (Child(Worker), "Worker"),
        (Child(functools.partial(Worker)), "Worker"),
        (Child(Worker, name=WORKER), "worker"),
        (Child(Worker, name=Name("arn:aws:s3:::a/b", Worker)), "arn:aws:s3:::a%2Fb"),
        (Child(SupervisorSpec()), "supervisor"),
        (Child(Worker, name=WORKER, id="mine"), "mine"),
    ],
)
def test_default_id_is_the_name_else_the_factory(child: Child[Any], expected: str) -> None:
    assert child.id == expected


def test_defaults_of_child_and_supervisor_specs() -> None:
    child, spec = Child(Worker), SupervisorSpec()

    assert (child.restart, child.shutdown, child.start_timeout) == (Restart.PERMANENT, 5.0, 60.0)
    supervisor = Child(SupervisorSpec())
    assert (supervisor.shutdown, supervisor.start_timeout) == (INFINITY, INFINITY)
    assert (spec.children, spec.strategy) == ((), Strategy.ONE_FOR_ONE)
    assert (spec.intensity, spec.period) == (3, 5.0)
    assert (spec.auto_shutdown, spec.backoff) == (AutoShutdown.NEVER, None)
    assert child.significant is False


def test_specs_are_frozen_values() -> None:
    assert SupervisorSpec([Child(Worker)]) == SupervisorSpec((Child(Worker),))
    assert hash(Child(Worker)) == hash(Child(Worker))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Child(Worker).id = "other"  # type: ignore[misc]


def test_children_may_come_from_a_generator() -> None:
    spec = SupervisorSpec(Child(Worker, id=str(n)) for n in range(3))

    assert [child.id for child in spec.children] == ["0", "1", "2"]


def test_a_spec_error_can_be_copied_and_pickled() -> None:
    error = SpecError("intensity must be an integer >= 0, got -1", field="intensity", value=-1)

    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.field, other.value) == (str(error), "intensity", -1)
