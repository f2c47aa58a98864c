"""How deep C code goes: never to the end of its stack, which would end the process.

Python 3.11 has no other limit for it than the recursion limit. A function that has raised that, to
10**6 say, and returns what holds itself, would have the encoders follow it to the end of the stack.
So for them the limit is a lower one then. What they refuse goes the slow way, which goes as deep as
the function has said.

Later Pythons have a limit of their own for C: up to 3.13 it is 10,000 levels, which take 1.5 MB and
more. The main thread has the stack for that, and by glibc so has any other. By musl, which images
of Alpine have, a thread has 128 KB, or 1 MB if Python was built so. There what a sender nests that
deep, and a handler in a thread gives to `json.loads`, would end the process, with all events that
are in flight. So threads have as much there as by glibc; none of it is memory until it is used.
"""

import sys
import threading
from collections.abc import Callable
from sys import getrecursionlimit, setrecursionlimit
from typing import TypeVar

from ..system.libc import is_glibc

Value = TypeVar("Value")
Made = TypeVar("Made")

UNBOUNDED = sys.version_info < (3, 12)
# Levels, of some 150 bytes of stack each: few enough for a thread that has 1 MB of it.
DEEPEST = 5000
# Bytes.
STACK = 8 << 20


def give_threads_stack() -> None:
    """Have each thread that is started from now on be as deep as the main one, unless somebody has
    said by now how much stack a thread is to have.
    """
    if sys.platform == "linux" and not is_glibc():
        # To ask for it without a size would take it back.
        chosen = threading.stack_size(STACK)
        if chosen:
            threading.stack_size(chosen)


def bounded(make: Callable[[Value], Made], value: Value) -> Made:
    """What it makes of a value; RecursionError below so many levels."""
    limit = getrecursionlimit()
    # It is that of all threads, of which none runs while C code is at this.
    setrecursionlimit(min(limit, DEEPEST))
    try:
        return make(value)
    finally:
        setrecursionlimit(limit)
