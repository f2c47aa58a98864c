"""How deep C code goes into a result on Python 3.11, where the recursion limit is its only end.

Later Pythons have a limit of their own for C. Here a function that has raised the recursion limit,
to 10**6 say, and returns what holds itself, would end the process: the encoders would follow it to
the end of the stack. So for them the limit is a lower one then. What they refuse goes the slow way,
which goes as deep as the function has said.
"""

import sys
from collections.abc import Callable
from sys import getrecursionlimit, setrecursionlimit
from typing import TypeVar

Value = TypeVar("Value")
Made = TypeVar("Made")

UNBOUNDED = sys.version_info < (3, 12)
# Levels, of some 150 bytes of stack each: few enough for a thread that has 1 MB of it.
DEEPEST = 5000


def bounded(make: Callable[[Value], Made], value: Value) -> Made:
    """What it makes of a value; RecursionError below so many levels."""
    limit = getrecursionlimit()
    # It is that of all threads, of which none runs while C code is at this.
    setrecursionlimit(min(limit, DEEPEST))
    try:
        return make(value)
    finally:
        setrecursionlimit(limit)
