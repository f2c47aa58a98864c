"""Start a daemon thread that `threading` does not list.

With AWS's client no other thread exists, so handlers may join every thread of
`threading.enumerate()`, or wait while `threading.active_count() > 1`. A listed thread of okibi
would never end, and each such event would time out.

`threading` lists a thread as soon as code in it calls `threading.current_thread()`, as `logging`
does for each record. Therefore code in such a thread writes with `logs.write_raw` instead of a
logger. The thread of the asyncio loop is listed once a handler runs there.
"""

import _thread
from collections.abc import Callable


def start_unlisted_thread(act: Callable[[], None]) -> int:
    """Start a daemon thread.

    Args:
        act: the function that the thread runs. The process does not wait for its end.

    Returns:
        The thread's identifier, as from `threading.get_ident` in that thread.

    Raises:
        RuntimeError: the process can have no further thread.
    """
    # As an attribute of the module: debuggers replace the function there.
    return _thread.start_new_thread(act, ())
