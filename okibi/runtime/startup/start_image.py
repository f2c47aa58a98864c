"""Import modules from `okibi.image`, the start image that `okibi package` writes.

The image is one file beside okibi's folder. It has the bytecode of the modules that a start
imports, so a start reads one file instead of hundreds. It also has what attrs, `re`, `namedtuple`
and `typing` would make during the imports, and a list of the files of the standard library that the
start reads. `sys.path` decides as usual: the image has a finder for each of the package's
folders, and for no other folder. A module that is not in the image is found in its folder as usual.

The file: a line of text that says what the image was built for, the length of the index in 8 bytes,
the index, and the code of the modules (both `marshal`). The modules that the recorded start has
imported stand in groups. A start reads a group at once, and the modules of a group share their
names. The package's manifest holds the checksum of everything before the code, and the index holds
the checksum of each group. Each checksum is compared before `marshal` reads the bytes. These are
the checksums with which CPython validates bytecode: they find damage and a mix of two packages.
They do not stop an attacker, who could as well write to the modules.

Only `lib/okibi_start.py` uses an image. `okibi dev` and `okibi invoke` never do.
"""

import _imp
import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from .class_recipes import ATTRS_MODULE, ClassRecipes
from .expression_cache import ExpressionCache
from .lean_imports import LeanImports
from .library_finder import (
    NO_SUFFIX,
    FolderFinder,
    read_ahead,
    read_library_ahead,
    rename_file,
)
from .pattern_cache import add_patterns

IMAGE, MANIFEST = "okibi.image", "okibi-package.json"
FORMAT = "okibi-image-6"
LENGTH_BYTES = 8
# Bytes of the first read: the first line and the length. Each new page of memory costs time.
FIRST_READ = 512

# `importlib.util.source_hash`. A start does not import that module.
source_hash = partial(_imp.source_hash, int.from_bytes(MAGIC_NUMBER, "little"))

# A module: whether it is a package, the place, length and checksum of its group, the checksum of
# its source, its place in the group. The checksum of the source is empty for modules of installed
# packages.
Entry = tuple[bool, int, int, bytes, bytes, int]
# The modules by folder and last part of the name. A folder is relative to the package.
Folders = Mapping[str, Mapping[str, Entry]]


class NotUsed(Exception):
    """The image does not fit. The message says why."""


def use_start_image(lib: str) -> "StartImage | None":
    """Import from the image of a package, from now on. Without an image, do nothing.

    An image that does not fit is not used; one line on stderr says why.

    Args:
        lib: the folder of okibi and the image; the package's root is above it.

    Returns:
        The image, or None.
    """
    try:
        image = StartImage(lib)
    except FileNotFoundError:
        return None
    except (NotUsed, OSError, ValueError, EOFError, TypeError) as error:
        log(f"{lib}/{IMAGE} is not used: {error}")
        return None
    read_library_ahead(image.library)
    image.install()
    return image


def log(message: str) -> None:
    """Write a line to stderr, in one write."""
    sys.stderr.write(f"okibi: {message}\n")


class StartImage:
    """An open image.

    Args:
        lib: the image's folder.

    Raises:
        NotUsed: the image was built for something else, or is damaged.
        OSError: a file cannot be read.
    """

    def __init__(self, lib: str) -> None:
        self.root = lib.rpartition("/")[0]
        self.hits = 0
        self._file = os.open(f"{lib}/{IMAGE}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with open(f"{lib}/{MANIFEST}", "rb") as file:
                index, start = read_index(self._file, file.read())
        except BaseException:
            os.close(self._file)
            raise
        self._start = start
        self.built_at: str = index["root"]
        self.folders: Folders = index["folders"]
        self.library: Sequence[str] = index["library"]
        self.recipes = ClassRecipes(index["attrs"], index["recipes"], log)
        self.expressions = ExpressionCache(index["expressions"])
        self._patterns: tuple[Any, ...] = index["patterns"]
        self._failed = False
        self._groups: dict[int, list[Any]] = {}
        read_ahead(self._file)

    def install(self) -> None:
        """Serve the package's folders in all later imports."""
        sys.path_hooks.insert(0, self.finder)
        # What Python has imported so far has left finders without the image.
        for folder in self.folders:
            sys.path_importer_cache.pop(self._absolute(folder), None)
        self.expressions.attach()
        add_patterns(*self._patterns)
        self._patterns = ()

    def lean_imports(self) -> LeanImports:
        """Return the context in which submodules are imported in fewer steps."""
        is_first = sys.path_hooks[0] == self.finder and sys.meta_path[0] is BuiltinImporter
        return LeanImports(self.find_submodule if is_first else None)

    def find_submodule(self, fullname: str, folder: str) -> ModuleSpec | None:
        """Return the spec of a submodule; None if the image does not have it.

        Args:
            fullname: the submodule.
            folder: the only folder of its package.
        """
        if folder not in sys.path_importer_cache and folder.startswith(f"{self.root}/"):
            with suppress(ImportError):
                sys.path_importer_cache[folder] = self.finder(folder)
        finder = sys.path_importer_cache.get(folder)
        if type(finder) is not ImageFinder or not finder.has(fullname):
            return None
        spec = finder.find_spec(fullname)
        return spec if spec is not None and type(spec.loader) is ImageLoader else None

    def finder(self, path: str) -> "ImageFinder":
        """Return the finder of a folder (a hook of `sys.path_hooks`).

        Raises:
            ImportError: the folder has no modules in the image.
        """
        if path == self.root or path.startswith(f"{self.root}/"):
            modules = self.folders.get(path[len(self.root) + 1 :])
            if modules is not None:
                return ImageFinder(self, path, modules)
        raise ImportError(f"{path} is not in the start image", path=path)

    def read_code(self, entry: Entry, path: str) -> CodeType | None:
        """Return the code of a module; None if its bytes are damaged.

        Args:
            entry: the module.
            path: the module's file.
        """
        _, offset, size, expected, _, place = entry
        group = self._groups.get(offset)
        # The module is imported again, if its code was taken out.
        if group is None or group[place] is None:
            try:
                data = os.pread(self._file, size, self._start + offset)
                # The file's number may belong to another file, if the user's code closed all files.
                if source_hash(data) != expected:
                    raise NotUsed("its checksum differs")
                group = [*marshal.loads(data)]
            except (NotUsed, OSError, ValueError, EOFError, TypeError) as error:
                if not self._failed:
                    self._failed = True
                    log(f"{path} is not imported from {IMAGE}: {error}")
                return None
            if len(group) > 1:
                self._groups[offset] = group
        self.hits += 1
        # A module's code is freed once the module is executed.
        code, group[place] = group[place], None
        return code if self.root == self.built_at else with_file(code, path)

    def end_start(self) -> None:
        """Let attrs, `namedtuple` and `typing` compile again. Later imports still use the image."""
        self._groups.clear()
        self.recipes.detach()
        self.expressions.detach()

    def _absolute(self, folder: str) -> str:
        return f"{self.root}/{folder}" if folder else self.root


def with_file(code: CodeType, path: str) -> CodeType:
    """Return code with another file in its tracebacks.

    Args:
        code: the code of a module; CPython's own function changes it in place.
        path: the path of the other file.
    """
    if rename_file is not None:
        rename_file(code, path)
        return code
    consts = (with_file(c, path) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_filename=path, co_consts=tuple(consts))


def read_index(file: int, manifest: bytes) -> tuple[dict[str, Any], int]:
    """Read the part of an image before the code.

    Args:
        file: the open image.
        manifest: the package's manifest.

    Returns:
        The index, and the place of the code.

    Raises:
        NotUsed: the image does not fit.
    """
    line, _, rest = os.pread(file, FIRST_READ, 0).partition(b"\n")
    if problem := explain_mismatch(line.decode("ascii", "replace"), manifest):
        raise NotUsed(problem)
    size = int.from_bytes(rest[:LENGTH_BYTES], "little")
    start = len(line) + 1 + LENGTH_BYTES + size
    # A damaged length may be larger than the memory.
    head = memoryview(os.pread(file, start, 0) if start <= os.fstat(file).st_size else b"")
    if len(head) < start or b'"%s"' % source_hash(head).hex().encode() not in manifest:
        raise NotUsed(f"its checksum is not the one in {MANIFEST}")
    index: dict[str, Any] = marshal.loads(head[start - size :])
    return index, start


def explain_mismatch(line: str, manifest: bytes) -> str:
    """Compare the first line of an image with this process; return "" if they fit.

    Args:
        line: the first line of the image.
        manifest: the package's manifest.
    """
    words = line.split(" ")
    if len(words) != 5 or words[0] != FORMAT:
        return f"it is no image of this okibi ({FORMAT})"
    _, cache_tag, magic, machine, package = words
    here = f"{sys.implementation.cache_tag}"
    if (cache_tag, magic) != (here, MAGIC_NUMBER.hex()):
        return f"it was built for {cache_tag}, and this is {here}"
    if machine != os.uname().machine:
        return f"it was built for {machine}, and this is {os.uname().machine}"
    if b'"%s"' % package.encode() not in manifest:
        return f"it was built for another package than the one of {MANIFEST}"
    if sys.flags.optimize:
        return "Python runs with -O"
    return ""


class ImageFinder(FolderFinder):
    """Finds the modules of one folder: first in the image, then in the folder.

    Args:
        image: the image.
        folder: the folder's path.
        modules: the folder's modules in the image.
    """

    def __init__(self, image: StartImage, folder: str, modules: Mapping[str, Entry]) -> None:
        super().__init__(folder)
        self._image = image
        self._modules = modules
        # Python computes this path for each module, in ten times the time of an addition.
        self._cached = f"{self.path}/__pycache__/" if sys.pycache_prefix is None else ""

    def has(self, fullname: str) -> bool:
        """Return whether the image has a module of this folder."""
        return fullname.rpartition(".")[2] in self._modules

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a module. `importlib.reload`, which has a target, reads the folder."""
        name = fullname.rpartition(".")[2]
        entry = self._modules.get(name)
        if entry is None or target is not None:
            # Each import of the standard library asks the package's folders first.
            if self._suffixes(name) is NO_SUFFIX:
                return None
            return super().find_spec(fullname, target)
        is_package = entry[0]
        file = f"{name}/__init__.py" if is_package else f"{name}.py"
        path = f"{self.path}/{file}"
        # A file of the user's may have been removed from the unpacked package.
        if entry[4] and not os.path.exists(path):
            return super().find_spec(fullname, target)
        spec = ModuleSpec(fullname, ImageLoader(fullname, path, self._image, entry), origin=path)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [f"{self.path}/{name}"]
        elif self._cached:
            spec.cached = f"{self._cached}{name}.{sys.implementation.cache_tag}.pyc"
        return spec


class ImageLoader(SourceFileLoader):
    """Loads a module's code from the image, and all else (source, resources) from its file.

    The methods of the base class execute the module, so that tracebacks look as usual.

    Args:
        name: the module.
        path: the module's file.
        image: the image.
        entry: the module in the image.
    """

    def __init__(self, name: str, path: str, image: StartImage, entry: Entry) -> None:
        super().__init__(name, path)
        self._image = image
        self._entry = entry

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the module's code: from its file, if the source or the image has changed."""
        source, code = self._entry[4], None
        if not source or source_hash(self.get_data(self.path)) == source:
            code = self._image.read_code(self._entry, self.path)
        if code is None:
            return super().get_code(fullname)
        self._image.recipes.add_module(fullname)
        if fullname == ATTRS_MODULE:
            self._image.recipes.attach(vars(sys.modules[fullname]))
        return code
