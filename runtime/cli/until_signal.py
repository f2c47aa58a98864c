"""Work that a signal ends, with nothing of it left running."""

import signal
from collections.abc import Awaitable, Callable

import trio

from runtime.cli.given import BadInput

__all__ = ["BY_SIGNAL", "until_signal"]

BY_SIGNAL = 128
"""A shell's exit code for a process that a signal ended is this and the signal's number."""


async def until_signal(work: Callable[[], Awaitable[int]]) -> int:
    """Do the work; SIGINT, SIGTERM and SIGHUP cancel it.

    Returns:
        Its exit code, or a signal's.

    Raises:
        BadInput, BrokenPipeError: as the work itself, not in a group.
    """
    code = 0
    taken = [signal.SIGINT, signal.SIGTERM]
    # What `nohup` has started lives on when its terminal closes.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        taken.append(signal.SIGHUP)
    with trio.open_signal_receiver(*taken) as signals:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def stop_at_a_signal() -> None:
                nonlocal code
                async for number in signals:
                    code = BY_SIGNAL + number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_at_a_signal)
            try:
                code = await work()
            except (BadInput, BrokenPipeError) as error:
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return code
