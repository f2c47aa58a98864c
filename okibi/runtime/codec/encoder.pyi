"""The compiled encoder of results (`encoder.c`); missing if no compiler was available."""

def encode_escaped(value: object, /) -> bytes | None:
    """Encode a value as JSON, characters beyond ASCII as `\\u` and four digits.

    Returns:
        None if the value holds a type that is not supported.
    """

def encode_unescaped(value: object, /) -> bytes | None:
    """Encode a value as JSON in UTF-8; None as in `encode_escaped`."""

# For `deadlines.kill_timer`.

def guard(number: int, fatal: int, thread: int, /) -> bool:
    """Create the kernel's timer that ends the process.

    Args:
        number: the signal of the timer.
        fatal: the signal that ends the process.
        thread: the kernel's id of the thread that the timer signals.

    Returns:
        False if the system has no such timer.
    """

def hold(at: float, /) -> None:
    """End the process at this time of the monotonic clock, in seconds; replaces an earlier time.

    The end is at least 0.1 s from now. Infinity and NaN have no effect.
    """

def let_go() -> None:
    """Cancel the end of the process."""

def put_off(until: float, /) -> None:
    """Do not end the process before this time of the monotonic clock, in seconds.

    Another thread may call this while `hold` and `let_go` run.
    """
