"""Start a daemon thread that `threading` does not list.

With AWS's own client a handler is alone in its process: `for thread in threading.enumerate()` joins
the threads that the function has started, and `while threading.active_count() > 1` ends. A thread
of okibi's in that list never ends, so each such event would run out of time.

`threading` learns of such a thread once code in it calls `threading.current_thread()`, as `logging`
does for each record. Code that runs in one writes with `logs.write_raw` instead of a logger. The
thread of the asyncio loop is listed from the first handler on that runs there: it is that
handler's own.
"""

import _thread
from collections.abc import Callable


def start_unlisted_thread(act: Callable[[], None]) -> int:
    """Start a thread.

    Args:
        act: what the thread runs. The end of the process does not wait for it.

    Returns:
        The thread's identifier, as `threading.get_ident` gives it in that thread.

    Raises:
        RuntimeError: the process cannot have another thread.
    """
    # By the module's name: a debugger replaces the function there, to see what runs in threads.
    return _thread.start_new_thread(act, ())
