"""The fate of an event and its process, which the tests of docs/compatibility.md compare."""

from typing import Any, NamedTuple

import trio

from tests.support.sandbox import Running


class Fate(NamedTuple):
    """The result of an event, and whether the process survived.

    Args:
        error: the error type of the response, or None.
        warm: whether the same process served the next event.
    """

    error: str | None
    warm: bool


TIMED_OUT = Fate("Sandbox.Timedout", warm=False)
"""The platform killed the process."""
EXITED = Fate("Runtime.ExitError", warm=False)
"""The process exited without a response."""
IN_TIME = Fate("Runtime.DeadlineExceeded", warm=True)
"""The runtime answered before the platform's kill."""

SHORT = {"do": "sleep", "seconds": 0.05}


async def fate(sandbox: Running, **event: Any) -> Fate:
    """Let the sandbox serve an event after a first, harmless one."""
    await sandbox.ask()
    before = sandbox.pid
    error = error_in(await sandbox.ask(event))
    await sandbox.ask()
    return Fate(error, sandbox.pid == before)


def error_in(answer: Any) -> str | None:
    """Return the error type of a response, or None."""
    return answer.get("errorType") if isinstance(answer, dict) else None


async def taken(sandbox: Running, event: dict[str, Any]) -> Any:
    """Ask until a slot is free: after a response, a slot takes a moment to ask again."""
    while error_in(answer := await sandbox.ask(event)) == "Runtime.Unavailable":  # noqa: ASYNC110
        await trio.sleep(0.01)
    return answer


async def at_once(sandbox: Running, slots: int) -> list[Any]:
    """Let the sandbox serve one event per slot at once; return the responses."""
    answers: list[Any] = []

    async def one() -> None:
        answers.append(await sandbox.ask(SHORT))

    async with trio.open_nursery() as nursery:
        for _ in range(slots):
            nursery.start_soon(one)
    return answers


async def all_slots(sandbox: Running, slots: int) -> list[Any]:
    """Serve one event per slot at once, once all slots are free; return the responses."""
    while any(map(error_in, answers := await at_once(sandbox, slots))):  # noqa: ASYNC110
        await trio.sleep(0.01)
    return answers


async def slots_left(sandbox: Running, slots: int) -> int:
    """Return how many of one event per slot are served at best."""
    best = 0
    for _ in range(5):
        errors = [*map(error_in, await at_once(sandbox, slots))]
        best = max(best, errors.count(None))
    return best
