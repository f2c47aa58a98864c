"""Import modules of the standard library in fewer steps.

AWS updates the Python of its managed runtimes, so the start image cannot have the standard library.
A start imports some 80 of its modules, and boto3 some 70 more. For each, Python makes 12 system
calls and computes paths. The finder of this module makes 6 system calls: it stats the folder,
compares the bytecode's header with the source as Python does, and reads the bytecode in one read.

It also finds the packages that lie beside the standard library, which the image does not have
either: on Lambda, AWS's copy of boto3.

It answers for a source with bytecode beside it. For everything else (extension modules, bytecode
with the hash of its source, a source that has changed) Python's own finder and loader answer.

The start image has the list of the files of the standard library that the recorded start read.
`read_library_ahead` asks the system for all of them at once. The system reads them while the first
modules run, so a start does not wait for one after the other. A file that this Python does not have
is left out.

A start imports this module first, so it imports only what Python has built in.
"""

import _imp
import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, ModuleType
    from typing import Any

# CPython's own function, which gives code another file.
rename_file: "Any" = getattr(_imp, "_fix_co_filename", None)
LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
# The first 8 bytes of bytecode that is compared with the time and size of its source.
HEADER = MAGIC_NUMBER + bytes(4)
CACHE_TAG = sys.implementation.cache_tag
# The folder of the standard library.
LIBRARY = (getattr(os, "__file__", None) or "").rpartition("/")[0]
# The folder of Python's own packages.
PACKAGES = f"{sys.prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
NOT_OF_LIBRARY = ("/site-packages", "/dist-packages", "/lib-dynload")


def use_library_finder() -> None:
    """Find the modules of the standard library by `LibraryFinder`, from now on."""
    if LIBRARY and sys.pycache_prefix is None and not sys.flags.optimize:
        sys.path_hooks.insert(0, library_hook)
        for folder in (LIBRARY, PACKAGES):
            sys.path_importer_cache.pop(folder, None)


def library_hook(path: str) -> "LibraryFinder":
    """Return the finder of a folder (a hook of `sys.path_hooks`).

    Raises:
        ImportError: the folder is not one of the standard library, or of Python's packages.
    """
    if path == PACKAGES or path.startswith(f"{PACKAGES}/"):
        return LibraryFinder(path)
    if path == LIBRARY or path.startswith(f"{LIBRARY}/"):
        inner = path[len(LIBRARY) :]
        if not inner.startswith(NOT_OF_LIBRARY):
            return LibraryFinder(path)
    raise ImportError(f"{path} is not a folder of this Python", path=path)


def read_library_ahead(files: "Iterable[str]") -> None:
    """Let the system read files of the standard library ahead.

    Args:
        files: relative to the folder of the standard library. Missing ones are left out.
    """
    if not LIBRARY:
        return
    for name in files:
        try:
            file = os.open(f"{LIBRARY}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            # The import finds out what is wrong with a file that it needs.
            continue
        read_ahead(file)
        os.close(file)


def read_ahead(file: int) -> None:
    """Let the system read an open file into its page cache, and do not wait.

    On a system that does not read ahead, nothing happens.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    try:  # noqa: SIM105 (contextlib is not imported yet)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
    except OSError:
        pass


class FolderFinder(FileFinder):
    """Python's finder of one folder, with a faster answer for names that the folder has not.

    Args:
        folder: the folder's path.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, *LOADERS)
        self._names: dict[str, set[str]] = {}
        self._read_at = -1.0

    def invalidate_caches(self) -> None:
        """Read the folder again at the next import."""
        super().invalidate_caches()
        self._read_at = -1.0

    def _suffixes(self, name: str) -> "set[str] | None":
        """Return what follows a name in the files of the folder; None if the folder cannot be read.

        The folder is read again when it has changed, as by the base class.
        """
        try:
            changed = os.stat(self.path).st_mtime
            if changed != self._read_at:
                self._names.clear()
                for file in os.listdir(self.path):
                    stem, _, suffix = file.partition(".")
                    self._names.setdefault(stem, set()).add(suffix)
                self._read_at = changed
        except OSError:
            return None
        return self._names.get(name, NO_SUFFIX)


NO_SUFFIX: "set[str]" = set()
ONLY_SOURCE = {"py"}
ONLY_FOLDER = {""}


class LibraryFinder(FolderFinder):
    """Finds the modules of one folder of the standard library, or of Python's packages."""

    def find_spec(self, fullname: str, target: "ModuleType | None" = None) -> "ModuleSpec | None":
        """Return the spec of a module. A target comes from `importlib.reload`: Python finds it."""
        name = fullname.rpartition(".")[2]
        suffixes = self._suffixes(name)
        if suffixes is NO_SUFFIX:
            return None
        folder = self.path
        if suffixes == ONLY_FOLDER:
            folder = f"{folder}/{name}"
            path = f"{folder}/__init__.py"
            is_package, stem = os.path.exists(path) and not self._is_compiled(folder), "__init__"
        else:
            is_package, path, stem = False, f"{folder}/{name}.py", name
        if target is not None or not (is_package or suffixes == ONLY_SOURCE):
            return super().find_spec(fullname, target)
        cached = f"{folder}/__pycache__/{stem}.{CACHE_TAG}.pyc"
        spec = ModuleSpec(fullname, LibraryLoader(fullname, path, cached), origin=path)
        spec.has_location = True
        spec.cached = cached
        if is_package:
            spec.submodule_search_locations = [folder]
        return spec

    def _is_compiled(self, package: str) -> bool:
        """Return whether a package has an extension module, which comes before its source."""
        if not self.path.startswith(PACKAGES):
            return False
        return any(os.path.exists(f"{package}/__init__{each}") for each in EXTENSION_SUFFIXES)


class LibraryLoader(SourceFileLoader):
    """Reads the bytecode of a module; all else is done by the base class.

    Args:
        name: the name of the module.
        path: the path of the source.
        cached: the path of the bytecode.
    """

    def __init__(self, name: str, path: str, cached: str) -> None:
        super().__init__(name, path)
        self._cached = cached

    def get_code(self, fullname: str) -> "CodeType | None":
        """Return the module's code."""
        code = read_bytecode(self._cached, self.path)
        return super().get_code(fullname) if code is None else code


def read_bytecode(cached: str, path: str) -> "CodeType | None":
    """Return the code of a module; None if its bytecode is not that of its source.

    Args:
        cached: the file of bytecode.
        path: the path of the source.
    """
    try:
        file = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(file, os.fstat(file).st_size)
        finally:
            os.close(file)
        source = os.stat(path)
        stamp = int(source.st_mtime) & 0xFFFFFFFF | (source.st_size & 0xFFFFFFFF) << 32
        if data[:8] != HEADER or int.from_bytes(data[8:16], "little") != stamp:
            return None
        code: CodeType = marshal.loads(memoryview(data)[16:])
    except (OSError, ValueError, EOFError, TypeError):
        # The base class raises the error, or compiles the source.
        return None
    if code.co_filename != path:
        if rename_file is None:
            return None
        rename_file(code, path)
    return code
