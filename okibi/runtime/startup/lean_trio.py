"""Import trio and okibi without the modules that a Lambda start does not use.

trio imports ssl, hmac (both OpenSSL), idna, shutil, tempfile and locale, for TLS, DTLS and host
names. They cost 10 ms and 2 MB per start (6 MB if no other process has OpenSSL loaded), and most
functions never use them. Modules of the standard library that trio and attrs need import ast and
subprocess: 2 ms. attrs imports platform to ask whether this is PyPy: 0.5 ms. inspect, queue,
random, socket and sortedcontainers are for rare cases: 7 ms. attrs' validators make 14 classes of
attrs, 1.5 ms, and signal makes three enums, 0.4 ms. During the start's imports a placeholder stands
in for each.
Afterwards `import ssl` imports the real module; only the modules that the start imported keep the
placeholder. The first attribute access imports the real module and copies its names into the
placeholder. A later patch of the real module does not reach the placeholder.

`KNOWN` has the names that the start does use. Each of its functions imports the real module for
anything but the common case.

`late_trio` leaves out submodules of trio itself.

Drawback: a module that is imported this late is searched for in the user's folder first. A user's
`ssl.py` then becomes trio's `ssl` too, as in any program with that folder on its path. The modules
of LIBRARY_FIRST always come from the standard library: every Python program imports them early, so
a user's `queue.py` never took their place.

If another thread is already running, this module falls back to plain imports: the other thread
could otherwise import a placeholder.

Rejected: a late traceback, because a process without free descriptors could no longer report an
error, and `logging` would lose the record.
Rejected: importlib.util.LazyLoader, because a second `import` statement triggers the load, trio has
two of them, and every importer would hold the unfinished module.

trio also asks ctypes for the function that names threads. The compiled module has it, so a start
does not import ctypes, which runs ldconfig: 3 ms. Without the module trio gets the real ctypes.
"""

import _queue
import _random
import _signal  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]
import _socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, MethodWrapperType, ModuleType, SimpleNamespace
from typing import Any

from .late_trio import LateName, LateNames, import_late
from .library_finder import LIBRARY

# Modules that are always found in the standard library, with what they import.
LIBRARY_FIRST = frozenset((
    "_bisect", "_ctypes", "_opcode", "_opcode_metadata", "_sha2", "_sha512", "_struct", "_tokenize",
    "annotationlib", "array", "bisect", "ctypes", "dis", "inspect", "math", "opcode", "queue",
    "random", "select", "selectors", "signal", "socket", "struct", "token", "tokenize",
))  # fmt: skip
try:
    from ..system.native import name_thread as _  # noqa: F401
except ImportError:
    late_ctypes: tuple[str, ...] = ()
else:
    late_ctypes = ("ctypes", "ctypes.util")
VALIDATORS = ("attr.validators", "attrs.validators")
UNUSED_AT_START = (
    "ast", "hmac", "idna", "inspect", "locale", "platform", "queue", "random", "shutil", "signal",
    "socket", "sortedcontainers", "ssl", "subprocess", "tempfile", *late_ctypes, *VALIDATORS,
)  # fmt: skip


def call_late(module: str, name: str) -> Callable[..., Any]:
    """Return a function that imports a function of a module when called."""

    def call(*args: Any) -> Any:
        return getattr(_import(module), name)(*args)

    return call


def has_flag(name: str, flag: int) -> Callable[[object], Any]:
    """Return the function of `inspect` that looks for a flag of a function's code.

    Args:
        name: the function's name in `inspect`.
        flag: the flag.
    """
    ask = call_late("inspect", name)

    def has(value: object) -> Any:
        # A mark of `inspect` or `functools` would be in the dict.
        if type(value) is FunctionType and not value.__dict__:
            return bool(value.__code__.co_flags & flag)
        return type(value) is not MethodWrapperType and ask(value)

    return has


class LateRandom(_random.Random):
    """`random.Random`, imported when more than `random()` is called."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = _import("random").Random
        vars(self)["gauss_next"] = None
        return getattr(self, name)


class LateSortedDict(dict[Any, Any]):
    """`sortedcontainers.SortedDict`, imported when it gets a value."""

    def __new__(cls, *args: Any) -> Any:
        return _import("sortedcontainers").SortedDict(*args) if args else super().__new__(cls)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__class__ = _import("sortedcontainers").SortedDict
        self.__init__()  # type: ignore[misc]
        self[key] = value


def instance_of(accepted: Any) -> Callable[..., None]:
    """Return `attr.validators.instance_of(accepted)`, imported when it refuses a value.

    Of all validators, a start makes this one, for outcome's class `Error`.
    """

    def check(instance: object, attribute: object, value: object) -> None:
        if not isinstance(value, accepted):
            _import(VALIDATORS[0]).instance_of(accepted)(instance, attribute, value)

    return check


def is_class(value: object) -> bool:
    """Return what `inspect.isclass` does."""
    return isinstance(value, type)


def _import(name: str) -> Any:
    # Not `import_module`, which `-X importtime` does not report.
    __import__(name)
    return sys.modules[name]


def _refuse(*_: object) -> None:
    raise OSError


# Values of modules, by module and name, that need no import.
KNOWN: dict[str, Mapping[str, object]] = {
    VALIDATORS[0]: {"instance_of": instance_of},
    "inspect": {
        "CO_COROUTINE": 0x80,
        "CO_ITERABLE_COROUTINE": 0x100,
        "CO_ASYNC_GENERATOR": 0x200,
        "CORO_CREATED": "CORO_CREATED",
        "isclass": is_class,
        "isgeneratorfunction": has_flag("isgeneratorfunction", 0x20),
        "iscoroutinefunction": has_flag("iscoroutinefunction", 0x80),
        "isasyncgenfunction": has_flag("isasyncgenfunction", 0x200),
        **{
            name: call_late("inspect", name)
            for name in ("getcoroutinestate", "isawaitable", "isdatadescriptor")
        },
    },
    "queue": {"Empty": _queue.Empty, "SimpleQueue": _queue.SimpleQueue},
    "random": {"Random": LateRandom},
    "signal": vars(_signal),
    # trio expects that the library may not load.
    "ctypes": {"CDLL": _refuse, "util": SimpleNamespace(find_library=str)},
    # `socket.socket` adds to its base class what only servers and files need.
    "socket": vars(_socket),
    "sortedcontainers": {"SortedDict": LateSortedDict},
}
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
    try:
        with imports_when_used():
            import_late(partial(__import__, "trio"))
        _import_validators_when_used()
        threads: Any = sys.modules.get("trio._core._thread_cache")
        if isinstance(getattr(threads, "ctypes", None), Placeholder):
            threads.set_os_thread_name = _name_thread
    except Exception as error:
        __import__("trio")
        sys.stderr.write(f"okibi: trio is imported plainly: {error!r}\n")


def _import_validators_when_used() -> None:
    """Let `attrs.validators` import the module (PEP 562), where attrs has a placeholder of it."""
    for late in VALIDATORS:
        package, _, name = late.partition(".")
        module = sys.modules.get(package)
        if module is not None and isinstance(vars(module).get(name), Placeholder):
            LateNames(module, {name: LateName(late, "")}, lambda *_: None).install()


def _name_thread(thread: int | None, name: str) -> None:
    """Name a thread: trio's function of the C library, by the compiled module."""
    from ..system.native import name_thread

    if thread is not None:
        name_thread(thread, name.encode("ascii", "replace")[:15])


@contextmanager
def imports_when_used(unneeded: Sequence[str] = UNUSED_AT_START) -> Generator[None]:
    """Use placeholders for modules that the block imports and does not use.

    Beside another thread (`sitecustomize` may start one) nothing changes.

    Args:
        unneeded: names of the modules to replace. A module that is already imported stays; a
            placeholder that is used at once imports the real module.
    """
    if threading.active_count() > 1:
        yield
        return
    if LibraryFirst not in sys.meta_path and PathFinder in sys.meta_path:
        sys.meta_path.insert(sys.meta_path.index(PathFinder), LibraryFirst)
    placeholders = [Placeholder(name) for name in unneeded if name not in sys.modules]
    sys.modules.update({each.__name__: each for each in placeholders})
    try:
        yield
    finally:
        for each in placeholders:
            each.remove_placeholder()


class LibraryFirst:
    """Finds the modules of LIBRARY_FIRST (a finder of `sys.meta_path`)."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module of LIBRARY_FIRST."""
        if name not in LIBRARY_FIRST:
            return None
        spec = PathFinder.find_spec(name, [LIBRARY, f"{LIBRARY}/lib-dynload"], target)
        if spec is not None and name == "inspect":
            loader: Any = spec.loader
            loader.exec_module = partial(_execute_without, ("ast",), loader.exec_module)
        return spec


def _execute_without(unneeded: Sequence[str], execute: Any, module: ModuleType) -> None:
    with imports_when_used(unneeded):
        execute(module)


class Placeholder(ModuleType):
    """Stands in for a module that has not been used yet."""

    def __getattr__(self, name: str) -> object:
        if name in KNOWN.get(self.__name__, ()):
            return KNOWN[self.__name__][name]
        if name == "__path__":
            # `from` asks for it.
            raise AttributeError(name)
        self.remove_placeholder()
        module: ModuleType = _import(self.__name__)
        vars(self).update(vars(module))
        value: object = getattr(module, name)
        return value

    def remove_placeholder(self) -> None:
        """Remove a placeholder from sys.modules, so that the next `import` finds the module."""
        if type(sys.modules.get(self.__name__)) is Placeholder:
            del sys.modules[self.__name__]
