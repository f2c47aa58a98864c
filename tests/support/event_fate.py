"""What becomes of an event and of the process that had it: what the table's tests compare."""

from typing import Any, NamedTuple

import trio

from tests.support.sandbox import Running


class Fate(NamedTuple):
    """What the invoker was told, and what the next one found.

    Args:
        error: the type of the error; None for an answer.
        warm: whether the same process served the next event.
    """

    error: str | None
    warm: bool


TIMED_OUT = Fate("Sandbox.Timedout", warm=False)
"""The platform has killed it."""
EXITED = Fate("Runtime.ExitError", warm=False)
"""It ended by itself, without a word."""
IN_TIME = Fate("Runtime.DeadlineExceeded", warm=True)
"""The runtime has answered before the platform would have killed it."""

SHORT = {"do": "sleep", "seconds": 0.05}


async def fate(sandbox: Running, **event: Any) -> Fate:
    """Have it serve an event that it must not be taken by surprise by: not its first."""
    await sandbox.ask()
    before = sandbox.pid
    error = error_in(await sandbox.ask(event))
    await sandbox.ask()
    return Fate(error, sandbox.pid == before)


def error_in(answer: Any) -> str | None:
    """The type of the error that an answer tells of."""
    return answer.get("errorType") if isinstance(answer, dict) else None


async def taken(sandbox: Running, event: dict[str, Any]) -> Any:
    """What it answers, of several slots: a slot is back only a moment after its last answer."""
    while error_in(answer := await sandbox.ask(event)) == "Runtime.Unavailable":  # noqa: ASYNC110
        await trio.sleep(0.01)
    return answer


async def at_once(sandbox: Running, slots: int) -> list[Any]:
    """Have it serve as many events at once: their answers."""
    answers: list[Any] = []

    async def one() -> None:
        answers.append(await sandbox.ask(SHORT))

    async with trio.open_nursery() as nursery:
        for _ in range(slots):
            nursery.start_soon(one)
    return answers


async def all_slots(sandbox: Running, slots: int) -> list[Any]:
    """Serve as many events at once, once as many are taken: their answers."""
    while any(map(error_in, answers := await at_once(sandbox, slots))):  # noqa: ASYNC110
        await trio.sleep(0.01)
    return answers


async def slots_left(sandbox: Running, slots: int) -> int:
    """How many of as many events at once are taken, at best: what is refused is so at once."""
    best = 0
    for _ in range(5):
        errors = [*map(error_in, await at_once(sandbox, slots))]
        best = max(best, errors.count(None))
    return best
