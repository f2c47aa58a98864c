"""The store's line in a snapshot: the entities that run in this sandbox now."""

import re

import trio

from okibi.entities import EntityStore, Once
from okibi.supervisors import Child, SupervisorSpec, snapshot, supervise
from okibi.testing import virtual_time

PAID = Once("paid")


async def pay(key: str) -> None:
    await PAID.run(key, trio.sleep, 3.5)


@virtual_time
async def test_a_snapshot_shows_the_entities_that_are_held() -> None:
    spec = SupervisorSpec([Child(EntityStore, id="store")])
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, spec)

        def find_note() -> str:
            (shown,) = snapshot(top).children
            assert shown.note in str(shown)
            return shown.note

        assert find_note() == ""
        for number in range(7):
            nursery.start_soon(pay, str(number))
        await trio.sleep(3)

        notes = find_note()
        # The lease was renewed after two seconds.
        held = re.findall(r"holds once:paid/\d \(fence 0, mail 1, lease 4\.0 s\)", notes)
        assert len(held) == 5
        assert notes.endswith(", and 2 more")
        await trio.sleep(10)
        assert find_note() == ""
        top.stop()
