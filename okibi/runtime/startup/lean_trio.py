"""`import trio`, without what a start does not need of it.

trio brings `ssl`, `hmac` (with it `hashlib`: both are OpenSSL) and the tables of `idna`, for TLS,
DTLS and the names of hosts; and what it imports brings `shutil`, `tempfile` and `locale`. okibi
uses none of them, nor does many a function: 10 ms of each start, and 2 MB, 6 where no other process
has OpenSSL. While trio is imported a stand-in takes the place of each; when trio is there, none
does. Whoever imports `ssl` then, imports it. Those alone that trio has brought keep the stand-ins.
Once one is used it imports the module, and has from then on all that the module has. What is
patched in the module later is not patched in the stand-in.

The price: used that late, it is looked for where the user's code comes first. An `ssl.py` of a
user's is then trio's `ssl` too, as in a program that has the folder on its path from the start.

`importlib.util.LazyLoader` is no such thing: a second `import` of the same module makes it load,
and trio has two; and everybody would hold the half-made module.

trio also asks for the C library's threads by name, and ctypes has a process look for it (ldconfig):
1 to 2 ms. In glibc there is one answer. In musl there is none, to which ctypes comes once it has
asked ldconfig, gcc and ld, whichever there are; trio knows what to do then.

msgspec takes three names from `typing_extensions` where that is installed. From Python 3.11 on they
are `typing`'s own. Imported here, okibi's copy would be the one that the user's code finds, however
new the copy is that the user bundles. So msgspec is imported without it.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any

UNUSED_AT_START = ("hmac", "idna", "locale", "shutil", "ssl", "tempfile")


def import_trio() -> None:
    """Import trio as a start needs it; all of it works as ever.

    Not beside a thread, which `sitecustomize` may have started: what it imports meanwhile would be
    a stand-in, a submodule twice, or an error. Then it is the plain import.
    """
    if threading.active_count() > 1:
        __import__("trio")
        return
    import_without("ctypes.util", UNUSED_AT_START)
    util: Any = sys.modules["ctypes.util"]
    find = util.find_library
    if sys.platform == "linux":
        util.find_library = partial(_find, find)
    try:
        import_without("trio", UNUSED_AT_START)
    finally:
        util.find_library = find


def _find(find: Callable[[str], str | None], name: str) -> str | None:
    """What ctypes finds, with one answer known: where the C library has its threads."""
    if name != "pthread":
        return find(name)
    try:
        is_glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        # musl, which has them in itself.
        is_glibc = False
    return "libpthread.so.0" if is_glibc else None


def import_msgspec() -> None:
    """Import msgspec, and leave `typing_extensions` to the user's code.

    Beside a thread this is the plain import, as for trio.
    """
    name = "typing_extensions"
    if threading.active_count() > 1 or name in sys.modules:
        __import__("msgspec")
        return
    # So Python marks a module that cannot be imported.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        __import__("msgspec")
    finally:
        del sys.modules[name]


def import_without(module: str, unneeded: Iterable[str]) -> None:
    """Import a module without some of those that it imports for later.

    Args:
        module: its name.
        unneeded: their names. One that is imported already, or is used at once, is as ever.

    Raises:
        ImportError: from the import.
    """
    standing = [Placeholder(name) for name in unneeded if name not in sys.modules]
    sys.modules.update({each.__name__: each for each in standing})
    try:
        # Not `import_module`, of which `-X importtime` does not tell.
        __import__(module)
    finally:
        for each in standing:
            each.step_aside()


class Placeholder(ModuleType):
    """In the place of a module that nobody has used yet."""

    def __getattr__(self, name: str) -> object:
        self.step_aside()
        __import__(self.__name__)
        module = sys.modules[self.__name__]
        vars(self).update(vars(module))
        value: object = getattr(module, name)
        return value

    def step_aside(self) -> None:
        """Let the next `import` find the module itself."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
