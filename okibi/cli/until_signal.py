"""Work that a signal ends, with nothing of it left running."""

import signal
from collections.abc import Awaitable, Callable

import trio

from .arguments import BadInput
from .output import see_that_stdout_is_open, write_err

__all__ = ["BAD_INPUT", "BY_SIGNAL", "SIGPIPE", "exit_code_of", "until_signal"]

BAD_INPUT = 2

BY_SIGNAL = 128
"""A shell's exit code for a process that a signal ended is this and the signal's number."""

SIGPIPE = 13  # Windows has none, but a reader may leave there, too


def exit_code_of(goes: str, read: Callable[[], Callable[[], Awaitable[int]]]) -> int:
    """Run a command; what is wrong with what was given is one sentence.

    Args:
        goes: what goes to standard output, as "the answers go".
        read: reads what was given, and makes the work of it.

    Returns:
        The work's own exit code, 2 for bad input, a signal's.
    """
    try:
        see_that_stdout_is_open(goes)
        return trio.run(until_signal, read())
    except BadInput as error:
        write_err(f"okibi: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        # Before the signals were taken, or after they were given back: nothing runs then.
        return BY_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        # Whoever reads the output has enough, as `head` does.
        return BY_SIGNAL + SIGPIPE


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
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
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
