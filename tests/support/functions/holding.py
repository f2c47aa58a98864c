"""C code that holds the GIL and does not return for a signal."""

import ctypes
import time


def hold(seconds):
    # PyDLL keeps the GIL during the call. A mutex, because a signal would cut a sleep short.
    library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    until = (ctypes.c_long * 2)(int(time.time() + seconds), int((time.time() + seconds) % 1 * 1e9))
    library.pthread_mutex_timedlock(mutex, until)
