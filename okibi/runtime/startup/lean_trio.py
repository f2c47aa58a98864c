"""Import trio without the modules that a Lambda start does not use.

trio imports ssl, hmac (both OpenSSL), idna, shutil, tempfile and locale, for TLS, DTLS and host
names. They cost 10 ms and 2 MB per start (6 MB if no other process has OpenSSL loaded), and most
functions never use them. Modules of the standard library that trio and attrs need import ast and
subprocess: 2 ms. attrs imports platform to ask whether this is PyPy: 0.5 ms. During `import trio`
a placeholder stands in for each.
Afterwards `import ssl` imports the real module; only the modules that were imported with trio keep
the placeholder. The first attribute access imports the real module and copies its names into the
placeholder. A later patch of the real module does not reach the placeholder.

`late_trio` leaves out submodules of trio itself, and `late_validators` those of attrs.

Drawback: a module that is imported this late is searched for in the user's folder first. A user's
`ssl.py` then becomes trio's `ssl` too, as in any program with that folder on its path.

If another thread is already running, this module falls back to a plain `import trio`: the other
thread could otherwise import a placeholder.

Rejected: importlib.util.LazyLoader, because a second `import` statement triggers the load, trio has
two of them, and every importer would hold the unfinished module.

trio also asks ctypes for the C library's threads, and ctypes runs ldconfig: 1 to 2 ms. With glibc
there is one answer. With musl there is none, which ctypes would find out by running ldconfig, gcc
and ld; trio handles a missing library.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any

from .late_trio import import_late
from .late_validators import LATE_MODULES, LateInstanceOf, import_validators_when_used

# Not tokenize and traceback: an error report uses them, and a user may have such a file.
UNUSED_AT_START = (
    "ast", "hmac", "idna", "locale", "platform", "shutil", "ssl", "subprocess", "tempfile",
    *LATE_MODULES,
)  # fmt: skip
# Values of modules, by module and name, that need no import.
KNOWN: dict[str, dict[str, object]] = {LATE_MODULES[0]: {"instance_of": LateInstanceOf}}
if sys.implementation.name == "cpython":
    # attrs asks for it when it is imported.
    KNOWN["platform"] = {"python_implementation": lambda: "CPython"}


def import_trio() -> None:
    """Import trio without the modules of UNUSED_AT_START; all of trio works as usual.

    Beside another thread (`sitecustomize` may start one) this is a plain import.
    """
    if threading.active_count() > 1:
        __import__("trio")
        return
    import_without("ctypes.util", UNUSED_AT_START)
    util: Any = sys.modules["ctypes.util"]
    find = util.find_library
    if sys.platform == "linux":
        util.find_library = partial(_find_library, find)
    try:
        import_late(partial(import_without, "trio", UNUSED_AT_START))
        import_validators_when_used(Placeholder)
    finally:
        util.find_library = find


def _find_library(find: Callable[[str], str | None], name: str) -> str | None:
    """Replace `ctypes.util.find_library`, with a known answer for the C library's threads."""
    if name != "pthread":
        return find(name)
    try:
        is_glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        # musl, whose threads are part of libc.
        is_glibc = False
    return "libpthread.so.0" if is_glibc else None


def import_without(module: str, unneeded: Iterable[str]) -> None:
    """Import a module, with placeholders for some of the modules that it imports.

    Args:
        module: the module's name.
        unneeded: names of the modules to replace. A module that is already imported stays; a
            placeholder that is used at once imports the real module.

    Raises:
        ImportError: the import failed.
    """
    placeholders = [Placeholder(name) for name in unneeded if name not in sys.modules]
    sys.modules.update({each.__name__: each for each in placeholders})
    try:
        # Not `import_module`, which `-X importtime` does not report.
        __import__(module)
    finally:
        for each in placeholders:
            each.remove_placeholder()


class Placeholder(ModuleType):
    """Stands in for a module that has not been used yet."""

    def __getattr__(self, name: str) -> object:
        if name in KNOWN.get(self.__name__, ()):
            return KNOWN[self.__name__][name]
        self.remove_placeholder()
        __import__(self.__name__)
        module = sys.modules[self.__name__]
        vars(self).update(vars(module))
        value: object = getattr(module, name)
        return value

    def remove_placeholder(self) -> None:
        """Remove the placeholder from sys.modules, so that the next `import` finds the module."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
