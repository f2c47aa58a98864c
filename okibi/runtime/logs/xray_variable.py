"""`_X_AMZN_TRACE_ID` in the environment, where tracers look for the trace of the current event.

The value changes with each event. setenv(3), which `os.environ` and the official client use, keeps
every value: 140 bytes an event while the process lives. putenv(3) keeps none: the environment
points at the caller's memory. Therefore one entry is overwritten for each event. C code, child
processes and `os.environ` see the value, and nothing grows.

Another thread that reads the variable at this moment may see half a value, as with setenv.
"""

import os
from typing import cast

VARIABLE = "_X_AMZN_TRACE_ID"
# Bytes of the entry in `native.c`. A header has about 75 characters, or 200 with lineage.
BUFFER_SIZE = 1024
_PREFIX = os.fsencode(f"{VARIABLE}=")
_NAME = os.fsencode(VARIABLE)


class _EnvironmentEntry:
    """The entry of the environment that `native.c` owns."""

    def __init__(self) -> None:
        from ..system.native import export_entry

        # The dict of `os.environ`, whose own methods would call setenv.
        data: object = getattr(os.environ, "_data", None)
        if not isinstance(data, dict):
            raise TypeError("os.environ._data is not a dict")
        self._environ_data = cast("dict[bytes, bytes]", data)
        self._export_entry = export_entry
        # Unlike every value of the user's, also an empty one.
        self._last: object = object()

    def set(self, trace: bytes) -> None:
        # New: the first value, or user code has set the variable since.
        is_new = self._environ_data.get(_NAME) is not self._last
        self._export_entry(_PREFIX + trace, is_new)
        self._environ_data[_NAME] = self._last = trace


_entry: list[_EnvironmentEntry | None] = []


def export_trace(trace: bytes | None) -> None:
    """Set or delete the variable (Runtime API: `Lambda-Runtime-Trace-Id`)."""
    if not trace:
        os.environ.pop(VARIABLE, None)
        return
    if not _entry:
        _entry.append(_create_entry())
    entry = _entry[0]
    if entry is None or len(trace) >= BUFFER_SIZE - len(_PREFIX) or not trace.isascii():
        os.environ[VARIABLE] = trace.decode("latin-1")
    else:
        entry.set(trace)


def _create_entry() -> _EnvironmentEntry | None:
    try:
        return _EnvironmentEntry()
    except (ImportError, TypeError):
        # No `native.c`, or not CPython: use `os.environ`, as the official client does.
        return None
