"""Import trio without the submodules that a Lambda start does not use.

`import trio` imports all of trio: streams, sockets, TLS, DTLS, processes, paths, signals. okibi
uses the scheduler. During the import a stand-in takes the place of each submodule of LATE, and each
name that trio takes from a stand-in is noted. Afterwards the first use of such a name (`trio.Path`)
imports the submodule, by the `__getattr__` of the module (PEP 562).

trio has the same public names as after a plain import, in `dir(trio)` too, and each has the same
`__module__`. Only `vars(trio)` lacks those that have not been used.

If anything here fails, because a release of trio is built in another way, `lean_trio` imports trio
plainly.
"""

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

# Submodules of trio. One that a release does not have changes nothing.
LATE = (
    "_channel", "_core._mock_clock", "_core._unbounded_queue", "_dtls", "_file_io",
    "_highlevel_generic", "_highlevel_open_tcp_listeners", "_highlevel_open_tcp_stream",
    "_highlevel_open_unix_stream", "_highlevel_serve_listeners", "_highlevel_socket",
    "_highlevel_ssl_helpers", "_path", "_signals", "_socket", "_ssl", "_subprocess",
    "_subprocess_platform", "_unix_pipes", "socket",
)  # fmt: skip
# Modules that only collect names. Code elsewhere in trio uses the names it imports.
REEXPORTING = ("trio", "trio._core", "trio.lowlevel")


class LateName:
    """Notes where a name is to be imported from.

    Args:
        module: the submodule.
        name: the name in it.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name


class StandIn(ModuleType):
    """Stands in for a submodule while trio is imported."""

    def __getattr__(self, name: str) -> LateName:
        if name.startswith("__"):
            raise AttributeError(name)
        return LateName(self.__name__, name)


class NotLate(Exception):
    """This release of trio uses a submodule when it is imported."""


def import_late(import_module: Callable[[], object]) -> None:
    """Import trio without the submodules of LATE.

    Args:
        import_module: imports trio.

    Raises:
        Exception: this release of trio is built in another way. It is not imported then.
    """
    if "trio" in sys.modules:
        return
    names = [f"trio.{name}" for name in LATE]
    sys.modules.update({name: StandIn(name) for name in names})
    try:
        import_module()
        _add_late_names(names)
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == "trio"]:
            del sys.modules[name]
        raise
    finally:
        for name in names:
            if isinstance(sys.modules.get(name), StandIn):
                del sys.modules[name]


def _add_late_names(stand_ins: list[str]) -> None:
    """Let the names that come from stand-ins be imported when first used.

    Raises:
        NotLate: code of trio would find a stand-in.
    """
    found: dict[str, dict[str, LateName]] = {}
    for module_name, module in [*sys.modules.items()]:
        if module_name.partition(".")[0] == "trio" and module_name not in stand_ins:
            late = {
                name: value if isinstance(value, LateName) else LateName(value.__name__, "")
                for name, value in vars(module).items()
                if isinstance(value, LateName | StandIn)
            }
            if late:
                found[module_name] = late
    if not found.keys() <= {*REEXPORTING}:
        raise NotLate
    fix = sys.modules["trio._util"].fixup_module_metadata
    for module_name, late in found.items():
        LateNames(sys.modules[module_name], late, fix).install()


class LateNames:
    """The names of a module that are imported when first used.

    Args:
        module: the module.
        late: the names, each with its place. A LateName with an empty name is a submodule.
        fix: gives objects the module of their public name, as trio does when it is imported.
    """

    def __init__(
        self, module: ModuleType, late: Mapping[str, LateName], fix: Callable[..., object]
    ) -> None:
        self._module = module
        self._late = late
        self._fix = fix
        self._before: Callable[[str], object] | None = vars(module).get("__getattr__")

    def install(self) -> None:
        """Replace the stand-ins by `__getattr__` and `__dir__`."""
        names = vars(self._module)
        for name in self._late:
            del names[name]
        names["__getattr__"] = self.get
        names["__dir__"] = self.list_names
        # For `from trio import *`.
        names.setdefault("__all__", [name for name in self.list_names() if name[:1] != "_"])

    def get(self, name: str) -> object:
        """Import a name. The module has it from then on.

        Raises:
            AttributeError: the module has no such name.
        """
        late = self._late.get(name)
        if late is None:
            if self._before is not None:
                return self._before(name)
            words = f"module {self._module.__name__!r} has no attribute {name!r}"
            raise AttributeError(words, name=name, obj=self._module)
        __import__(late.module)
        submodule = sys.modules[late.module]
        if late.name:
            value: Any = getattr(submodule, late.name)
            # All names of the submodule, as a function of one may return another.
            values = {
                each: getattr(submodule, other.name)
                for each, other in self._late.items()
                if other.module == late.module and other.name
            }
            # trio names no object after a private module.
            if "._" not in self._module.__name__:
                self._fix(self._module.__name__, values)
        else:
            value = submodule
            if not name.startswith("_"):
                self._fix(late.module, vars(submodule))
        vars(self._module)[name] = value
        return value

    def list_names(self) -> list[str]:
        """Return the names of the module, also those that have not been imported."""
        return sorted({*vars(self._module), *self._late})
