"""Applications as values: what each field may be, who comes first, whose end is whose."""

from typing import Any

import pytest
import trio

from okibi.actors import KILLED, NORMAL, SHUTDOWN, ExitReason, shutdown
from okibi.supervisors import (
    Application,
    ApplicationKind,
    Applications,
    CircularDependency,
    DuplicateApplication,
    InvalidApplication,
    InvalidApplicationName,
    InvalidHook,
    InvalidHookTimeout,
    InvalidKind,
    InvalidTree,
    SpecError,
    SupervisorSpec,
    start_applications,
)
from okibi.supervisors.application import ends_all, start_order
from tests.support.child_stage import BOOM

PERMANENT, TRANSIENT, TEMPORARY = ApplicationKind


def app(name: str, *needs: Application, **fields: Any) -> Application:
    return Application(name, SupervisorSpec(), needs, **fields)


def ordered(*applications: Application) -> str:
    return " ".join(application.name for application in start_order(applications))


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (InvalidApplicationName, {"name": ""}),
        (InvalidApplicationName, {"name": "a/b"}),
        (InvalidApplicationName, {"name": 1}),
        (InvalidTree, {"tree": Application}),
        (InvalidApplication, {"applications": [SupervisorSpec()]}),
        (InvalidApplication, {"applications": "b"}),
        (InvalidApplication, {"applications": 1}),
        (InvalidKind, {"kind": "permanent"}),
        (InvalidHook, {"prep_stop": "hook"}),
        (InvalidHook, {"stop": 1}),
        (InvalidHookTimeout, {"hook_timeout": 0}),
        (InvalidHookTimeout, {"hook_timeout": "5"}),
    ],
)
def test_each_wrong_field_has_an_error_of_its_own(
    error: type[SpecError], fields: dict[str, Any]
) -> None:
    with pytest.raises(error) as caught:
        Application(**{"name": "a", "tree": SupervisorSpec(), **fields})

    assert type(caught.value) is error


def test_the_controllers_flags_hold_applications_only() -> None:
    with pytest.raises(InvalidApplication, match="no Application"):
        Applications([SupervisorSpec()])  # type: ignore[list-item]


def test_an_application_is_permanent_if_nobody_says_otherwise() -> None:
    assert app("a").kind is PERMANENT


def test_what_an_application_needs_comes_first_in_the_order_it_is_written() -> None:
    assert ordered(app("a", app("b"), app("c", app("d")))) == "b d c a"


def test_what_several_need_comes_once() -> None:
    base = app("base")

    assert ordered(app("a", app("b", base), app("c", base))) == "base b c a"
    assert ordered(base, app("a", app("base"))) == "base a"


def test_a_circle_is_refused_where_it_is_written_and_shown() -> None:
    inner = app("b", app("c", app("a")))

    with pytest.raises(CircularDependency, match=r"^a needs b needs c needs a: none is first$"):
        app("a", inner)


async def test_a_circle_that_was_made_later_is_refused_at_the_start(
    nursery: trio.Nursery,
) -> None:
    first = app("b")
    last = app("c", first)
    object.__setattr__(first, "applications", (last,))

    with pytest.raises(CircularDependency, match=r"^b needs c needs b: none is first$"):
        await start_applications(nursery, [first])


def test_two_different_applications_of_one_name_are_refused() -> None:
    other = app("b", kind=TRANSIENT)

    with pytest.raises(DuplicateApplication, match="called 'b'"):
        app("a", app("b"), app("c", other))
    with pytest.raises(DuplicateApplication):
        Applications([app("b"), other])


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, shutdown("done"), KILLED, BOOM])
def test_the_type_table(reason: ExitReason) -> None:
    loud = reason in (KILLED, BOOM)

    assert [ends_all(kind, reason) for kind in ApplicationKind] == [True, loud, False]
