"""What okibi does in C (`native.c`); missing if no compiler was available."""

# For `codec.json`.

def encode_escaped(value: object, /) -> bytes | None:
    """Encode a value as JSON, characters beyond ASCII as `\\u` and four digits.

    Returns:
        None if the value holds a type that is not supported.
    """

def encode_unescaped(value: object, /) -> bytes | None:
    """Encode a value as JSON in UTF-8; None as in `encode_escaped`."""

# For `deadlines.kill_timer`.

def create_kill_timer(number: int, fatal: int, thread: int, /) -> bool:
    """Create the kernel's timer that ends the process.

    Args:
        number: the signal of the timer.
        fatal: the signal that ends the process.
        thread: the kernel's id of the thread that the timer signals.

    Returns:
        False if the system has no such timer.
    """

def set_kill_timer(at: float, /) -> None:
    """End the process at this time of the monotonic clock, in seconds; replaces an earlier time.

    The end is at least 0.1 s from now. Infinity and NaN have no effect.
    """

def clear_kill_timer() -> None:
    """Cancel the end of the process."""

def postpone_kill_timer(until: float, /) -> None:
    """Do not end the process before this time of the monotonic clock, in seconds.

    Another thread may call this while the timer is set and cleared.
    """

# For `system.scheduling`.

def set_timer_slack(nanoseconds: int, /) -> bool:
    """Set this thread's timer slack (prctl(2)); False if the system has none."""

# For `logs.xray_variable`.

def export_entry(entry: bytes, is_new: bool, /) -> None:
    """Write the one entry of the environment that okibi owns (putenv(3)).

    Args:
        entry: `NAME=value`, at most 1,023 bytes.
        is_new: whether the environment does not point at the entry yet, or no longer.

    Raises:
        ValueError: the entry is too long.
        OSError: putenv failed.
    """

# Only on 64-bit Linux. For `system.signal_timer`.

def create_timer(number: int, thread: int, /) -> int:
    """Create a timer that signals a thread (timer_create(2)).

    Args:
        number: the signal.
        thread: the kernel's id of the thread.

    Returns:
        The timer's number; -1 if the system gives none.
    """

def set_timer(timer: int, seconds: float, every: float = 0.0, /) -> bool:
    """Let a timer fire after so many seconds, and then at each interval; 0 cancels it.

    Returns:
        False if there is no such timer, as in a forked child.
    """

# For `system.timerfd`.

def create_timerfd() -> int:
    """Create a non-blocking timerfd that executed programs do not inherit."""

def set_timerfd(timer: int, seconds: float, /) -> bool:
    """Let a timerfd expire once, after so many seconds.

    Raises:
        OSError: it is no timerfd.
    """

# For `startup.lean_trio`.

def name_thread(thread: int, name: bytes, /) -> int:
    """Name a running thread of this process (pthread_setname_np(3)): at most 15 bytes."""
