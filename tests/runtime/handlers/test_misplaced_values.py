"""An error about a wrong value shows the value's type, never the value."""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from okibi.actors import Group, MailboxPolicy, Name, Server, start
from okibi.runtime import Function
from okibi.runtime.handlers.function import Workers
from okibi.runtime.handlers.response import Prelude, streaming
from okibi.runtime.protocol.runtime_api import header_value
from okibi.supervisors import (
    Application,
    Backoff,
    Child,
    DynamicSupervisorSpec,
    SupervisorSpec,
    snapshot,
)

PASSWORD = "hunter2"


@attrs.define
class Pool(Server):
    password: str


POOL, MADE = Pool(PASSWORD), partial(Pool, PASSWORD)
any_child: Any = Child
any_application: Any = Application
EMPTY = SupervisorSpec([])
MISPLACED: dict[str, Callable[[], object]] = {
    "start": lambda: any_child(POOL),
    "id": lambda: any_child(Pool, id=POOL),
    "restart": lambda: any_child(Pool, restart={"token": PASSWORD}),
    "restart as a text": lambda: any_child(Pool, restart=PASSWORD),
    "name": lambda: any_child(Pool, name=POOL),
    "Name": lambda: Name("k", POOL),  # type: ignore[arg-type]
    "Group": lambda: Group("k", POOL),  # type: ignore[arg-type]
    "snapshot": lambda: snapshot(POOL),  # type: ignore[arg-type]
    "handler": lambda: Function(POOL),
    "count": lambda: Workers(print, PASSWORD),  # type: ignore[arg-type]
    "loop": lambda: Function(print, loop=PASSWORD),  # type: ignore[arg-type]
    "tree": lambda: any_application("a", Child(MADE)),
    "application's name": lambda: any_application(POOL, EMPTY),
    "applications": lambda: any_application("a", EMPTY, applications=[MADE]),
    "applications as one": lambda: any_application("a", EMPTY, applications=Child(MADE)),
    "strategy": lambda: SupervisorSpec([], POOL),  # type: ignore[arg-type]
    "intensity": lambda: SupervisorSpec([], intensity=PASSWORD),  # type: ignore[arg-type]
    "backoff": lambda: SupervisorSpec([], backoff=POOL),  # type: ignore[arg-type]
    "first": lambda: Backoff(PASSWORD, 1),  # type: ignore[arg-type]
    "max_children": lambda: DynamicSupervisorSpec(max_children=PASSWORD),  # type: ignore[arg-type]
    "capacity": lambda: MailboxPolicy(PASSWORD),  # type: ignore[arg-type]
    "when_full": lambda: MailboxPolicy(1, POOL),  # type: ignore[arg-type]
    "headers": lambda: Prelude(headers={"n": 5}, cookies=[PASSWORD]),  # type: ignore[dict-item]
    "status": lambda: Prelude(PASSWORD),  # type: ignore[arg-type]
    "header": lambda: header_value(f"{PASSWORD}\r\n"),
    "streaming": lambda: streaming(POOL),  # type: ignore[type-var]
}


@pytest.mark.parametrize("place", MISPLACED)
def test_an_error_about_a_wrong_value_does_not_show_the_value(place: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        MISPLACED[place]()

    assert PASSWORD not in str(refused.value)


async def test_an_error_about_a_wrong_factory_does_not_show_the_factory() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(TypeError) as refused:
            await start(nursery, POOL)  # type: ignore[arg-type]

    assert PASSWORD not in str(refused.value)
