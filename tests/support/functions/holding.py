"""C code that holds the interpreter, and comes back at no signal."""

import ctypes
import time


def hold(seconds):
    # PyDLL keeps the interpreter to itself while the C function runs. A mutex is waited for to the
    # end, where a sleep would be cut short by a signal.
    library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    until = (ctypes.c_long * 2)(int(time.time() + seconds), int((time.time() + seconds) % 1 * 1e9))
    library.pthread_mutex_timedlock(mutex, until)
