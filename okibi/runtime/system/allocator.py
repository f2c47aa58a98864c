"""Let glibc keep large freed blocks, once an event or a response is large.

glibc takes a block of 128 KB or more from the kernel and returns the block when it is freed, so
each page is a new fault. An event of 6 MB needs several such blocks: read, decoded, encoded. That
is 3 ms of faults, where decoding takes 1.5 ms. glibc raises its limit to the largest block ever
freed, and keeps up to twice as much for itself (mallopt(3), M_MMAP_THRESHOLD). Therefore this
module frees a large block without touching its pages: two system calls.

Rejected: a buffer in each lane (avoids one block of five, and holds the memory for ever); `mallopt`
through ctypes (more code for the same effect); environment variables (inherited by every process
that a handler starts). musl's allocator ignores this.

The modules that call this import it at their start: later, the handler may have left no descriptor
to import with.
"""

import functools
from contextlib import suppress

# Bytes: with what glibc keeps, enough for the largest event and its response. glibc's maximum is
# 32 MB.
BLOCK = 16 << 20


@functools.cache
def retain_freed_memory() -> None:
    """Make glibc serve large blocks from freed memory. Only the first call has an effect."""
    # Without memory for this block there may still be enough for the event.
    with suppress(MemoryError):
        bytes(BLOCK)
