"""Import submodules of a package without the locks and searches of the import system.

For each module, Python takes two locks, asks the finders of `sys.meta_path`, and asks of each
attribute whether the module has it already. While a packaged start imports okibi, there is one
thread, and the start image has the module. `LeanImports` builds the spec, has Python load it, and
binds the module in its package: 3 % fewer instructions for the start.

It imports only submodules of packages that have one folder, which is in the image. Python finds
top-level modules, so the order of `sys.path` decides. Python's function is back before the user's
code is imported.

This module owns two private names of importlib: `_find_and_load`, which `import` calls for each
module that is not in `sys.modules`, and `_load_unlocked`, which loads a spec. Without one of them,
modules are imported plainly.
"""

import _frozen_importlib as importlib
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

FIND_AND_LOAD, LOAD = "_find_and_load", "_load_unlocked"


class LeanImports:
    """Imports submodules in fewer steps (a context manager).

    Nothing changes if another thread runs, or with `python -v`.

    Args:
        find: returns the spec of a submodule in a folder of the image, or None. Its arguments are
            the module's name and the folder. None if another finder is asked before the image.
    """

    def __init__(self, find: Callable[[str, str], ModuleSpec | None] | None) -> None:
        self._find = find
        self._find_and_load = self.find_and_load
        self._plain: Any = getattr(importlib, FIND_AND_LOAD, None)
        self._load: Any = getattr(importlib, LOAD, None)

    def __enter__(self) -> None:
        is_possible = None not in (self._find, self._plain, self._load)
        if is_possible and threading.active_count() == 1 and not sys.flags.verbose:
            setattr(importlib, FIND_AND_LOAD, self._find_and_load)

    def __exit__(self, *_: object) -> None:
        if getattr(importlib, FIND_AND_LOAD, None) is self._find_and_load:
            setattr(importlib, FIND_AND_LOAD, self._plain)

    def find_and_load(self, name: str, import_: Callable[..., Any]) -> ModuleType:
        """Import a module: Python's function of this name, for one thread.

        Args:
            name: the absolute name.
            import_: imports a package.
        """
        package, _, child = name.rpartition(".")
        if package:
            if package not in sys.modules:
                import_(package)
            parent = sys.modules.get(package)
            path: Any = getattr(parent, "__path__", None)
            # The package may have imported it.
            if path.__class__ is list and len(path) == 1 and name not in sys.modules:
                spec = self._find(name, path[0]) if self._find else None
                if spec is not None:
                    module: ModuleType = self._load(spec)
                    setattr(parent, child, module)
                    return module
        return self._plain(name, import_)  # type: ignore[no-any-return]
