"""Application values: legal fields, start order, and the effect of each kind."""

from typing import Any

import pytest
import trio

from okibi.actors import KILLED, NORMAL, SHUTDOWN, ExitReason, shutdown
from okibi.supervisors import (
    Application,
    ApplicationKind,
    Applications,
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
    ("field", "fields"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a/b"}),
        ("name", {"name": 1}),
        ("tree", {"tree": Application}),
        ("applications", {"applications": [SupervisorSpec()]}),
        ("applications", {"applications": "b"}),
        ("applications", {"applications": 1}),
        ("kind", {"kind": "permanent"}),
        ("prep_stop", {"prep_stop": "hook"}),
        ("stop", {"stop": 1}),
        ("hook_timeout", {"hook_timeout": 0}),
        ("hook_timeout", {"hook_timeout": "5"}),
    ],
)
def test_the_error_of_a_wrong_field_names_the_field(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        Application(**{"name": "a", "tree": SupervisorSpec(), **fields})

    assert caught.value.field == field


def test_applications_accepts_only_applications() -> None:
    with pytest.raises(SpecError, match=r"^applications\[0\] must be an Application, got Supervi"):
        Applications([SupervisorSpec()])  # type: ignore[list-item]


def test_an_application_is_permanent_by_default() -> None:
    assert app("a").kind is PERMANENT


def test_dependencies_come_first_in_the_order_given() -> None:
    assert ordered(app("a", app("b"), app("c", app("d")))) == "b d c a"


def test_a_shared_dependency_comes_once() -> None:
    base = app("base")

    assert ordered(app("a", app("b", base), app("c", base))) == "base b c a"
    assert ordered(base, app("a", app("base"))) == "base a"


def test_a_circular_dependency_is_refused_and_shown() -> None:
    inner = app("b", app("c", app("a")))

    with pytest.raises(SpecError, match=r"^circular dependency: a needs b needs c needs a$"):
        app("a", inner)


async def test_a_dependency_circle_made_later_is_refused_at_start(
    nursery: trio.Nursery,
) -> None:
    first = app("b")
    last = app("c", first)
    object.__setattr__(first, "applications", (last,))

    with pytest.raises(SpecError, match=r"^circular dependency: b needs c needs b$"):
        await start_applications(nursery, [first])


def test_two_different_applications_with_one_name_are_refused() -> None:
    other = app("b", kind=TRANSIENT)

    with pytest.raises(SpecError, match="two different applications are named 'b': rename one"):
        app("a", app("b"), app("c", other))
    with pytest.raises(SpecError, match="named 'b'"):
        Applications([app("b"), other])


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, shutdown("done"), KILLED, BOOM])
def test_the_kind_decides_which_exits_stop_all(reason: ExitReason) -> None:
    loud = reason in (KILLED, BOOM)

    assert [ends_all(kind, reason) for kind in ApplicationKind] == [True, loud, False]
