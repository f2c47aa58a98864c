"""Results into JSON, compiled (`encoder.c`); it is there where a compiler was."""

def encode_escaped(value: object, /) -> bytes | None:
    """A value as JSON, what is beyond ASCII as `\\u` and four digits.

    Returns:
        None for what this leaves to others.
    """

def encode_unescaped(value: object, /) -> bytes | None:
    """The same in UTF-8."""

# Of `deadlines.kill_timer`.

def guard(number: int, fatal: int, thread: int, /) -> bool:
    """Make the kernel's timer that ends the process.

    Args:
        number: of the signal by which the timer looks whether to do so.
        fatal: of the signal by which it does.
        thread: the kernel's number of the thread that is signalled.

    Returns:
        False where there is no such timer.
    """

def hold(at: float, /) -> None:
    """End the process at this time of the monotonic clock, in seconds, and at no other; 0.1 s from
    now at the soonest. Without effect for infinity, or no number.
    """

def let_go() -> None:
    """Do not end the process."""

def put_off(until: float, /) -> None:
    """End the process at this time of the monotonic clock, in seconds, at the soonest, whatever it
    is held to. Another thread may say so beside `hold` and `let_go`.
    """
