"""A restart that failed is tried again, once, by way of the mailbox."""

import pytest
import trio

from actors import SHUTDOWN, start, stop
from supervisors import Strategy, Supervision, Supervisor, supervise
from tests.supervisors.stage import BOOM, Boom, Player, Stage, alive, leave


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_retry_that_a_siblings_crash_has_made_needless_is_dropped(
    stage: Stage, nursery: trio.Nursery
) -> None:
    async def init() -> None:
        if stage.starts["b"] == 2:
            # The news of a's crash stands before the retry of b, and restarts both.
            a = alive("a")
            assert a is not None
            a.cast_nowait(Player.leave, BOOM)
            await a.wait()
            raise Boom

    children = [stage.child("a"), stage.child("b", init=init)]
    flags = Supervision(children, Strategy.ONE_FOR_ALL, intensity=10)
    top = await supervise(nursery, flags)

    await leave("b")

    assert stage.starts == {"a": 3, "b": 3}
    await stop(top)


@pytest.mark.parametrize("strategy", Strategy)
async def test_a_message_gets_its_turn_between_two_attempts(
    nursery: trio.Nursery, stage: Stage, strategy: Strategy
) -> None:
    """OTP-9549: a child that cannot start must not shut its supervisor's door."""

    class Asked(Supervisor):
        async def handle_info(self, message: object) -> None:
            if message == "a question":
                asked.append(stage.starts["a"])
                self.ref.stop()
            else:
                await super().handle_info(message)

    async def init() -> None:
        if stage.starts["a"] == 2:
            await top.send("a question")
        if stage.starts["a"] > 1:
            raise Boom

    asked: list[int] = []
    flags = Supervision([stage.child("a", init=init)], strategy, intensity=1000)
    top = await start(nursery, lambda: Asked(flags))
    await leave("a")

    assert await top.wait() is SHUTDOWN
    assert asked == [2]
