"""What a crash costs: from the start of a bad event to the next good answer.

A handler of a user's own cannot be made to fail, so a small one of okibi's own does, on the runtime
that is measured. The platform's side is the whole local Lambda: it tells the invoker of a process
that has ended, kills one whose time is up, and starts a new one for the next event, as Lambda does.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio

from ...local import FunctionSettings, InvokeResult, LocalLambda, open_local_lambda
from .functions import CRASHING, FUNCTIONS, RESTARTING
from .record import LATE, CrashTimes

__all__ = ["crash_times", "restart_time"]

GOOD = b'{"way": "none"}'
WARM = 20
# Times the limit that a handler sleeps which is to run into it.
BEYOND = 4
LIMIT = 60.0
QUIET = "; measure anew on a quiet machine"


async def crash_times(
    command: tuple[str, ...], environment: Mapping[str, str], limit: float
) -> CrashTimes:
    """Provoke each kind of crash once, in one sandbox.

    Args:
        command: of the runtime.
        environment: variables besides this process's own.
        limit: seconds that an event has.

    Raises:
        RuntimeError: the runtime does not answer as it should.
    """
    settings = FunctionSettings(
        CRASHING, command=command, task_root=FUNCTIONS, timeout=limit, environment=environment
    )
    async with _warm(settings) as function:
        return CrashTimes(
            good=await _until_good(function, good=True, way="none"),
            exception=await _until_good(function, way="exception"),
            exit=await _until_good(function, way="exit"),
            death=await _until_good(function, way="death"),
            timeout=await _until_good(function, way="time-out", seconds=limit * BEYOND),
        )


async def restart_time(command: tuple[str, ...], environment: Mapping[str, str]) -> float:
    """Milliseconds that a warm restart costs: the next event waits for the new instance's `init`.

    Args:
        command: of okibi: no other runtime has instances.
        environment: variables besides this process's own.

    Raises:
        RuntimeError: the runtime does not answer as it should.
    """
    settings = FunctionSettings(
        RESTARTING, command=command, task_root=FUNCTIONS, environment=environment
    )
    async with _warm(settings) as function:
        before = _check(await function.invoke(GOOD), good=True)
        took = await _until_good(function, way="exception")
        # Of a process that had begun anew it would be the first again.
        if _check(await function.invoke(GOOD), good=True) == before:
            raise RuntimeError("the handler that raised is not replaced")
        return took


@asynccontextmanager
async def _warm(settings: FunctionSettings) -> AsyncGenerator[LocalLambda]:
    with trio.move_on_after(LIMIT) as limit:
        async with open_local_lambda(settings, output=lambda _: None) as function:
            for _ in range(WARM):
                _check(await function.invoke(GOOD), good=True)
            yield function
    if limit.cancelled_caught:
        raise RuntimeError(f"they are not over within {LIMIT:g} s{QUIET}")


async def _until_good(function: LocalLambda, *, good: bool = False, **event: object) -> float:
    """Milliseconds from the start of an event, good or bad, to the next good answer."""
    began = trio.current_time()
    _check(await function.invoke(msgspec.json.encode(event)), good=good)
    _check(await function.invoke(GOOD), good=True)
    return (trio.current_time() - began) * 1000


def _check(result: InvokeResult, *, good: bool) -> bytes:
    if (result.function_error is None) is not good:
        answer = result.payload[:200].decode("utf-8", "replace")
        cure = QUIET if result.error_type in LATE else ""
        raise RuntimeError(f"the handler for crashes answers with {answer}{cure}")
    return result.payload
