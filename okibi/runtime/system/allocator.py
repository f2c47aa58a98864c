"""What the C library's allocator is told once an event or an answer is large.

glibc takes a block of 128 KB and more from the kernel, and gives it back when it is freed, so each
page of it is a fault anew. An event of 6 MB is such a block many times over, in pieces, whole,
decoded, encoded: 3 ms of faults each, where to decode it takes 1.5. The limit grows to the largest
block that was ever freed, and what glibc keeps for itself to twice as much (mallopt(3),
M_MMAP_THRESHOLD). So a large one is freed, of which no page was touched: two calls into the kernel.

Rejected: a buffer of one's own in each lane (it spares one block of the five, and holds the memory
for good), `mallopt` through ctypes (more to read, for the same), variables of the environment
(every process that a handler starts would have them). To musl's allocator it says nothing.

Imported with the rooms that call it: where it is called, the handler may have left no descriptor to
import anything with.
"""

import functools
from contextlib import suppress

# Bytes. With what is kept, it is room for the largest event and its answer; glibc's own limit is
# 32 MB.
BLOCK = 16 << 20


@functools.cache
def keep_what_is_freed() -> None:
    """Have large blocks come from what was freed before, once and for all."""
    # Where there is no room for it, there still may be for what is to be sent or read.
    with suppress(MemoryError):
        bytes(BLOCK)
