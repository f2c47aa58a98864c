"""The C library of this process, and where ctypes finds its threads."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress

Find = Callable[[str], str | None]


def is_glibc() -> bool:
    """Whether the C library is GNU's; musl knows the name and gives an error, EINVAL."""
    with suppress(AttributeError, ValueError, OSError):
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    return False


def is_musl() -> bool:
    """Whether the C library is musl."""
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
    except OSError as error:
        return sys.platform == "linux" and error.errno == errno.EINVAL
    except (AttributeError, ValueError):
        pass
    return False


def find_in_glibc(find: Find, name: str) -> str | None:
    """What ctypes finds, with one answer known.

    Args:
        find: `ctypes.util.find_library`.
        name: of a library, without `lib` and suffix.
    """
    return "libpthread.so.0" if name == "pthread" else find(name)


def find_in_musl(find: Find, name: str) -> str | None:
    """The same in musl, where threads have no library of their own."""
    return None if name == "pthread" else find(name)
