"""Copies of one child: servers that know their number, log their lives and fail when told to."""

from functools import partial
from typing import Any

import attrs
import trio

from okibi.actors import Ref, Server
from okibi.supervisors import (
    Child,
    PartitionedName,
    PartitionSupervisor,
    PartitionSupervisorSpec,
    Restart,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import Boom

log: list[str] = []
refused: set[int] = set()


@attrs.define(eq=False)
class Copy(Server):
    number: int = -1

    async def init(self) -> None:
        if self.number in refused:
            raise Boom(str(self.number))
        log.append(f"start {self.number}")

    async def told(self) -> int:
        return self.number

    async def crash(self) -> None:
        raise Boom(str(self.number))

    async def terminate(self, reason: object) -> None:
        log.append(f"term {self.number}")


COPIES = PartitionedName("copies", Copy)


def numbered(number: int) -> Child[Copy]:
    return Child(partial(Copy, number))


def said() -> str:
    text = "; ".join(log)
    log.clear()
    return text


async def begin(
    nursery: trio.Nursery, count: int = 3, child: Any = numbered, **flags: Any
) -> Ref[Supervisor]:
    copies = Child(PartitionSupervisorSpec(child, count, **flags), name=COPIES.name)
    return await supervise(nursery, SupervisorSpec([copies], intensity=0))


async def resize(number: int) -> int:
    return await COPIES.name.call(PartitionSupervisor.resize, number)


async def told() -> list[int]:
    """Who answers for the keys 0 to 3."""
    return [await COPIES.at(key).call(Copy.told) for key in range(4)]


def fleeting(number: int) -> Child[Copy]:
    return Child(partial(Copy, number), restart=Restart.TEMPORARY)
