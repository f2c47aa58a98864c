"""Children that log their starts and ends, and fail where a test wants them to."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from okibi.actors import Exit, ExitReason, Ignore, Name, Ref, Server, crashed
from okibi.supervisors import Child, Strategy, Supervisor, SupervisorSpec


class Boom(Exception):
    """A crash that a test causes."""


BOOM = crashed(Boom("boom"))


@attrs.define(eq=False)
class Stage:
    """The log of the children, and the starts that must fail.

    Attributes:
        log: `start a`, `fail a`, `term a shutdown`, in the order of the events.
        refused: the starts that fail: `a2` is the second start of a, `a*` every start of a.
        needless: the starts that raise Ignore, in the same form.
        starts: the number of starts of each child.
    """

    log: list[str] = attrs.Factory(list)
    refused: set[str] = attrs.Factory(set)
    needless: set[str] = attrs.Factory(set)
    starts: dict[str, int] = attrs.Factory(dict)

    def child(
        self,
        id: str,  # noqa: A002 - the field's name
        *,
        init: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint,
        cleanup: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint,
        **fields: Any,
    ) -> Child[Any]:
        return Child(lambda: Player(self, id, init, cleanup), name=player(id), id=id, **fields)

    def tree(
        self, ids: str, strategy: Strategy = Strategy.ONE_FOR_ONE, **options: Any
    ) -> SupervisorSpec:
        return SupervisorSpec([self.child(name) for name in ids], strategy=strategy, **options)

    def said(self) -> str:
        """Return the log since the last call, and clear it."""
        said = "; ".join(self.log)
        self.log.clear()
        return said


@attrs.define(eq=False)
class Player(Server):
    stage: Stage
    id: str
    before: Callable[[], Awaitable[object]]
    after: Callable[[], Awaitable[object]]

    async def init(self) -> None:
        stage, number = self.stage, self.stage.starts.get(self.id, 0) + 1
        stage.starts[self.id] = number
        await self.before()
        if f"{self.id}{number}" in stage.refused or f"{self.id}*" in stage.refused:
            stage.log.append(f"fail {self.id}")
            raise Boom(self.id)
        if f"{self.id}{number}" in stage.needless or f"{self.id}*" in stage.needless:
            stage.log.append(f"ignore {self.id}")
            raise Ignore
        stage.log.append(f"start {self.id}")

    async def leave(self, reason: ExitReason) -> None:
        raise Exit(reason)

    async def crash(self) -> None:
        raise Boom(self.id)

    async def terminate(self, reason: ExitReason) -> None:
        self.stage.log.append(f"term {self.id} {reason.kind}")
        await self.after()
        if self.after is not trio.lowlevel.checkpoint:
            self.stage.log.append(f"done {self.id}")


def player(id: str) -> Name[Player]:  # noqa: A002
    return Name(id, Player)


async def leave(id: str, reason: ExitReason = BOOM) -> None:  # noqa: A002
    """End a child with a reason, and wait until all tasks are blocked."""
    player(id).cast_nowait(Player.leave, reason)
    await trio.testing.wait_all_tasks_blocked()


def alive(id: str) -> Ref[Player] | None:  # noqa: A002
    return player(id).whereis()


async def counted(top: Ref[Supervisor]) -> list[int]:
    """Return specs, active, supervisors and workers, in the order of OTP's suite."""
    return [*await top.call(Supervisor.count_children)]


async def states(top: Ref[Supervisor]) -> str:
    """Return the state of every child, the last started first."""
    infos = await top.call(Supervisor.which_children)
    return ", ".join(f"{child.id} {child.state.value}" for child in infos)


def when_dead(id: str, act: Callable[[], object]) -> None:  # noqa: A002
    """Act in the step in which the child ends, after its supervisor got the message."""

    def notify(_: object) -> None:
        act()

    ref = alive(id)
    assert ref is not None
    ref.process().watch(notify, notify)
