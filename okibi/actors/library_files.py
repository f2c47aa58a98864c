"""Tell the files of okibi and of its dependencies from the user's files.

Logs leave out frames of these files. A file belongs to a dependency only if it lies in the folder
of that package. The user's own package in the same site-packages stays the user's.
"""

import contextlib
import os
import sys

# The packages that a message to an actor passes through.
_DEPENDENCIES = ("attr", "attrs", "outcome", "sniffio", "sortedcontainers", "trio")
# attrs compiles methods from strings. A context manager made by contextlib adds a frame per `with`.
_ALSO = ("<attrs generated", contextlib.__file__)


def _package_folders() -> tuple[str, ...]:
    okibi = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    loaded = (sys.modules.get(name) for name in _DEPENDENCIES)
    folders = [okibi, *(folder for module in loaded for folder in getattr(module, "__path__", ()))]
    return tuple(os.path.join(folder, "") for folder in folders)


_LIBRARY = (*_package_folders(), *_ALSO)


def is_library_file(filename: str) -> bool:
    """Whether a frame's file belongs to okibi or to one of its dependencies."""
    return filename.startswith(_LIBRARY)
