"""Run a command until it ends or a signal arrives, and turn its end into an exit code."""

import signal
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from ..local.background_nursery import open_background_nursery
from ..project.bad_input import BadInput
from .output import check_stdout, write_err

BAD_INPUT = 2

# The exit code of a process ended by a signal is this number plus the signal's (shells).
BY_SIGNAL = 128

SIGPIPE = 13  # not in Python's signal module on Windows, where pipes close too


def run_command(
    output: str,
    parse: Callable[[], Callable[[], Awaitable[int]]],
    *,
    second_signal_kills: bool = False,
) -> int:
    """Run a command, and report bad input in one line on stderr.

    Args:
        output: the name of stdout's content in errors, such as "the answers".
        parse: parses the arguments and returns the work.
        second_signal_kills: whether a second signal ends this process at once.

    Returns:
        The work's exit code; 2 for bad input; 128 plus the number of a signal.
    """
    try:
        check_stdout(output)
        work = partial(until_signal, parse(), second_signal_kills=second_signal_kills)
        return trio.run(work)
    except BadInput as error:
        write_err(f"okibi: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        # Ctrl-C before or after the signal receiver was open. No work runs at either time.
        return BY_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        # The reader of stdout has exited, as `head` does.
        return BY_SIGNAL + SIGPIPE


async def until_signal(
    work: Callable[[], Awaitable[int]], *, second_signal_kills: bool = False
) -> int:
    """Run the work; SIGINT, SIGTERM and SIGHUP cancel it.

    Args:
        work: the work.
        second_signal_kills: whether a second signal ends this process at once.

    Returns:
        The work's exit code, or 128 plus the signal's number.

    Raises:
        Exception: raised by the work, and not wrapped in a group.
    """
    code = 0
    caught = [signal.SIGINT, signal.SIGTERM]
    # Under `nohup` SIGHUP is ignored, and the command outlives its terminal.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    with trio.open_signal_receiver(*caught) as signals:
        working = trio.CancelScope()
        async with open_background_nursery() as nursery:

            async def cancel_on_signal() -> None:
                nonlocal code
                async for number in signals:
                    if second_signal_kills:
                        # The system kills: this thread may block, as in a write to a paused pager.
                        for each in caught:
                            signal.signal(each, signal.SIG_DFL)
                    code = BY_SIGNAL + number
                    working.cancel()

            nursery.start_soon(cancel_on_signal)
            with working:
                code = await work()
    return code
