"""What a soak asks for, in a process without a garbage collector."""

import gc

from soaked import Soaked, asynchronous, coroutine, plain, threaded

__all__ = ["Soaked", "asynchronous", "coroutine", "plain", "threaded"]

gc.disable()
