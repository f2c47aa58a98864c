"""Copies of one child: each logs its start and stop, and fails on request."""

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

    async def get_number(self) -> int:
        return self.number

    async def crash(self) -> None:
        raise Boom(str(self.number))

    async def terminate(self, reason: object) -> None:
        log.append(f"term {self.number}")


COPIES = PartitionedName("copies", Copy)


def numbered(number: int) -> Child[Copy]:
    return Child(partial(Copy, number))


def take_log() -> str:
    text = "; ".join(log)
    log.clear()
    return text


async def start_copies(
    nursery: trio.Nursery, count: int = 3, child: Any = numbered, **flags: Any
) -> Ref[Supervisor]:
    copies = Child(PartitionSupervisorSpec(child, count, **flags), name=COPIES.name)
    return await supervise(nursery, SupervisorSpec([copies], intensity=0))


async def resize(number: int) -> int:
    return await COPIES.name.call(PartitionSupervisor.resize, number)


async def numbers_for_keys_0_to_3() -> list[int]:
    """The number of the copy that answers each key."""
    return [await COPIES.at(key).call(Copy.get_number) for key in range(4)]


def fleeting(number: int) -> Child[Copy]:
    return Child(partial(Copy, number), restart=Restart.TEMPORARY)
