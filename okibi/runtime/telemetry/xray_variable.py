"""`_X_AMZN_TRACE_ID` in the environment, where tracers look for the trace of the event in flight.

Each event brings another value, and setenv(3), by which `os.environ` and the official client set
it, keeps every value that it was ever given: 140 bytes an event, for as long as the process lives.
putenv(3) keeps nothing, it points at memory of ours. That is one piece, written anew each time, so
C code, child processes and `os.environ` see what they would otherwise, and nothing grows.

Whoever reads it in another thread while it is written may see half of it, as with setenv.
"""

import os
from typing import Any, cast

VARIABLE = "_X_AMZN_TRACE_ID"
# A header has about 75 characters, with its lineage some 200.
ROOM = 1024
_PREFIX = os.fsencode(f"{VARIABLE}=")
_NAME = os.fsencode(VARIABLE)


class _Memory:
    """The piece of memory that the environment points at."""

    def __init__(self) -> None:
        import ctypes

        # What `os.environ` holds, past the method that would call setenv.
        told: object = getattr(os.environ, "_data", None)
        if not isinstance(told, dict):
            raise TypeError("os.environ is no longer made of a dict")
        self._told = cast("dict[bytes, bytes]", told)
        self._putenv: Any = ctypes.CDLL(None).putenv
        # No value of the user's: an empty one is the same object wherever it stands.
        self._last: object = object()
        self._buffer: Any = ctypes.create_string_buffer(ROOM)
        # C code may look into the environment when the interpreter has long let go of this.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._buffer))

    def set(self, trace: bytes) -> None:
        self._buffer.value = _PREFIX + trace
        if self._told.get(_NAME) is not self._last:
            # User code has put a string of its own into the place, or this is the first.
            self._putenv(self._buffer)
        self._told[_NAME] = self._last = trace


_memory: list[_Memory | None] = []


def set_trace(trace: bytes | None) -> None:
    """Say which trace this is, if any (Runtime API: `Lambda-Runtime-Trace-Id`)."""
    if not trace:
        os.environ.pop(VARIABLE, None)
        return
    if not _memory:
        _memory.append(_made())
    memory = _memory[0]
    if memory is None or len(trace) >= ROOM - len(_PREFIX) or not trace.isascii():
        os.environ[VARIABLE] = trace.decode("latin-1")
    else:
        memory.set(trace)


def _made() -> _Memory | None:
    try:
        return _Memory()
    except (ImportError, AttributeError, OSError, TypeError):
        # An interpreter without ctypes, or another than CPython: as the official client then.
        return None
