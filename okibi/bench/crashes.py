"""Measure the time of a crash: from the start of a failing event to the next good answer.

The user's handler cannot be made to fail on request, so a small handler of this package fails. The
local Lambda acts as the platform: it reports an ended process to the invoker, kills a process
after its time-out, and starts a new process for the next event.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio

from ..local import FunctionSettings, InvokeResult, LocalLambda, open_local_lambda
from .functions import CRASHING, FUNCTIONS, RESTARTING
from .results import LATE, CrashTimes

GOOD = b'{"way": "none"}'
WARM = 20
# A handler that must time out sleeps for this multiple of its time-out.
SLEEP_FACTOR = 4
LIMIT = 60.0
QUIET = "; measure again on a quiet machine"


async def measure_crashes(
    command: tuple[str, ...], environment: Mapping[str, str], limit: float
) -> CrashTimes:
    """Measure each kind of crash once, in one sandbox.

    Args:
        command: starts the runtime.
        environment: variables in addition to this process's.
        limit: time-out of an event in seconds.

    Raises:
        RuntimeError: an answer was good or bad when the opposite was expected.
    """
    settings = FunctionSettings(
        CRASHING, command=command, task_root=FUNCTIONS, timeout=limit, environment=environment
    )
    async with _warm_function(settings) as function:
        return CrashTimes(
            good=await _time_to_good_answer(function, good=True, way="none"),
            exception=await _time_to_good_answer(function, way="exception"),
            exit=await _time_to_good_answer(function, way="exit"),
            death=await _time_to_good_answer(function, way="death"),
            timeout=await _time_to_good_answer(
                function, way="time-out", seconds=limit * SLEEP_FACTOR
            ),
        )


async def measure_restart(command: tuple[str, ...], environment: Mapping[str, str]) -> float:
    """Measure a warm restart in milliseconds: the next event waits for the new instance's `init`.

    Args:
        command: starts okibi; other runtimes have no instances.
        environment: variables in addition to this process's.

    Raises:
        RuntimeError: an answer was not as expected, or the instance was not replaced.
    """
    settings = FunctionSettings(
        RESTARTING, command=command, task_root=FUNCTIONS, environment=environment
    )
    async with _warm_function(settings) as function:
        before = _check(await function.invoke(GOOD), good=True)
        took = await _time_to_good_answer(function, way="exception")
        # A new process would count its instances from 1 again.
        if _check(await function.invoke(GOOD), good=True) == before:
            raise RuntimeError("the instance was not replaced after its exception")
        return took


@asynccontextmanager
async def _warm_function(settings: FunctionSettings) -> AsyncGenerator[LocalLambda]:
    with trio.move_on_after(LIMIT) as limit:
        async with open_local_lambda(settings, output=lambda _: None) as function:
            for _ in range(WARM):
                _check(await function.invoke(GOOD), good=True)
            yield function
    if limit.cancelled_caught:
        raise RuntimeError(f"not finished within {LIMIT:g} s{QUIET}")


async def _time_to_good_answer(
    function: LocalLambda, *, good: bool = False, **event: object
) -> float:
    """Return the milliseconds from the start of an event, good or bad, to the next good answer."""
    began = trio.current_time()
    _check(await function.invoke(msgspec.json.encode(event)), good=good)
    _check(await function.invoke(GOOD), good=True)
    return (trio.current_time() - began) * 1000


def _check(result: InvokeResult, *, good: bool) -> bytes:
    if (result.function_error is None) is not good:
        answer = result.payload[:200].decode("utf-8", "replace")
        cure = QUIET if result.error_type in LATE else ""
        raise RuntimeError(f"the crashing handler answers with {answer}{cure}")
    return result.payload
