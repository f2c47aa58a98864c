"""`Function(applications=...)`: started before the children, stopped after them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest

from okibi import Application, Child, Function, Name, Server, SupervisorSpec
from okibi.actors import ExitReason, StartError
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.function import Function as AnyFunction
from okibi.runtime.tree import ServedFunction, build_tree
from okibi.supervisors import SpecError
from okibi.testing import running, virtual_time
from tests.support.doubles import SETTINGS, ledger_of


@attrs.define(eq=False)
class Noted(Server):
    """Notes its start and its end."""

    name: str
    notes: list[str]

    async def init(self) -> None:
        self.notes.append(f"{self.name} starts")

    async def terminate(self, reason: ExitReason) -> None:
        self.notes.append(f"{self.name} stops")

    async def reply(self) -> str:
        return self.name


POOL = Name("pool", Noted)


async def ask_pool(event: object, context: object) -> str:
    return await POOL.call(Noted.reply)


def application(notes: list[str], name: str, *needed: Application) -> Application:
    child = Child(partial(Noted, name, notes), name=POOL if name == "pool" else None)
    return Application(name, SupervisorSpec([child]), needed)


@virtual_time
async def test_applications_start_before_the_children_and_stop_after_them() -> None:
    notes = list[str]()
    pool = application(notes, "pool")
    shop = application(notes, "shop", pool)
    child = Child(partial(Noted, "child", notes))

    async with running(Function(ask_pool, [child], applications=[shop])) as app:
        assert await app.invoke() == "pool"

    assert notes == [
        "pool starts", "shop starts", "child starts", "child stops", "shop stops", "pool stops",
    ]  # fmt: skip


@virtual_time
async def test_a_crashed_actor_of_an_application_is_restarted_in_it() -> None:
    notes = list[str]()
    function = Function(ask_pool, applications=[application(notes, "pool")])
    async with running(function) as app:
        await app.kill(POOL)
        await app.wait_restarted(POOL)
        assert await app.invoke() == "pool"


@virtual_time
async def test_an_application_that_does_not_start_is_an_init_error() -> None:
    class Broken(Server):
        async def init(self) -> None:
            raise OSError("no such host")

    broken = Application("database", SupervisorSpec([Child(Broken)]))
    with pytest.raises(StartError, match="application 'database' did not start") as failed:
        async with running(Function(ask_pool, applications=[broken])):
            pass
    assert "no such host" in str(failed.value)


def plain(event: object, context: object) -> object:
    return event


def serve(function: AnyFunction) -> ServedFunction:
    return ServedFunction(function, SETTINGS, ledger_of(1), DeadlineInterrupt())


async def connect() -> Any:
    raise ConnectionRefusedError


def test_applications_stand_before_the_children_in_the_tree() -> None:
    notes = list[str]()
    pool, child = application(notes, "pool"), Child(partial(Noted, "child", notes))

    spec = build_tree(serve(Function(plain, [child], applications=[pool])), connect)

    assert [each.id for each in spec.children] == ["applications", "children", "lambda"]


def test_a_plain_def_beside_applications_runs_in_a_thread() -> None:
    """Else it would hold the loop that the application's actors need."""
    beside = Function(plain, applications=[application([], "pool")])

    assert serve(Function(plain))._interrupt_of_plain() is not None
    assert serve(beside)._interrupt_of_plain() is None


@pytest.mark.parametrize(
    ("applications", "message"),
    [
        (lambda: [Child(Server)], r"applications\[0\] must be an Application, got Child"),
        (lambda: "pool", "applications must be a list of Application"),
        (
            lambda: [application([], "pool"), application([], "pool")],
            "two different applications are named 'pool'",
        ),
    ],
)
def test_wrong_applications_are_refused(applications: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Function(plain, applications=applications())
